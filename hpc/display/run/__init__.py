"""Describe a run: its shards and attempts, its labels, what it costs and waits for."""
