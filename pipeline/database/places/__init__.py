"""Where each post of a backlog is."""
