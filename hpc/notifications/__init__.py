"""Notify a person of what happened to a run."""
