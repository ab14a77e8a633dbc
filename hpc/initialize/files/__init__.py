"""Plan and write the files of a new project."""
