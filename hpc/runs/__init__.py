"""The runs under a run root: find them, and name those that cannot be read."""
