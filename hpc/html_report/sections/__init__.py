"""Describe each section of the page as elements."""
