"""What a person reads about a run: tables, attempts, logs, posts, costs."""
