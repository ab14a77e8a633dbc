"""Decide who may change a run: lock its folder, and tell who holds it."""
