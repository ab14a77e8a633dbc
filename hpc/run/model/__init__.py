"""Runs, shards, arrays and attempts as values."""
