"""Render what a browser shows: escape every text, and turn reports into elements."""
