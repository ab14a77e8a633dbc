"""Predict the next tasks of a configuration from its earlier ones."""
