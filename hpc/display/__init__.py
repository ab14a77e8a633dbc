"""Describe a run for a person to read, and as JSON documents for programs."""
