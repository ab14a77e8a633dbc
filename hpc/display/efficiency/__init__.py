"""Describe what tasks requested and used."""
