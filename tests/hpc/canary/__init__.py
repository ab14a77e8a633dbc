"""Canaries, and shards sized by time."""
