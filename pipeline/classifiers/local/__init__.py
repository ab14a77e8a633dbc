"""Sequence classifiers that run in the task itself, by transformers."""
