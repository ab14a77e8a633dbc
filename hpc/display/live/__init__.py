"""Describe a run that is being watched, for a live screen or as plain lines."""
