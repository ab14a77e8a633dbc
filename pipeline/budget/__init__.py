"""One per-minute quota, shared by all tasks of all runs that use a key."""
