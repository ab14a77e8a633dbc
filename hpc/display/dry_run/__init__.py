"""Show what only a dry run shows: the batch script, and the columns of the labels."""
