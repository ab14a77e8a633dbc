"""Read what the tasks of a run left in its folder, opening as few files as possible."""
