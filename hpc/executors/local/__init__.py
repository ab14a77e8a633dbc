"""This machine as an executor: one process per task."""
