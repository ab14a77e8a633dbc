"""Find where each post of a backlog is."""
