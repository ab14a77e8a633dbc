"""Find the runs under a run root, and name those that cannot be read."""
