"""Define runs, shards, arrays and attempts as values."""
