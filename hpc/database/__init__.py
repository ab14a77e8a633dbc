"""Gather a run's outputs and its history into DuckDB."""
