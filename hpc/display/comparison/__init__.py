"""Describe comparisons of labels for a person."""
