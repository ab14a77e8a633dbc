"""The ids of runs, the names of their jobs, and what a user may type for them."""
