"""Name runs and their jobs, and find what a user types for them."""
