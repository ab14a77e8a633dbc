"""Define the configuration of a run: its sections, and how they are described."""
