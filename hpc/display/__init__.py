"""What a person reads about a run, and the JSON documents that programs read."""
