"""Handle timestamps of posts that cannot be read."""
