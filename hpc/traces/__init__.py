"""What the tasks of a run left in its folder, read with as few files opened as possible."""
