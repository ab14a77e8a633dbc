"""Describing what tasks requested and used."""
