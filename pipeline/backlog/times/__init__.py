"""Timestamps of posts that cannot be read."""
