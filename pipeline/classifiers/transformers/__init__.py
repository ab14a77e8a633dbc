"""Classify with a sequence-classification model that runs in the task."""
