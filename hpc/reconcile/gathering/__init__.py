"""Bring a run's outputs into the database, pack what its tasks left, and rebuild the database."""
