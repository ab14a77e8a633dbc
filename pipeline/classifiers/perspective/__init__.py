"""The Perspective API."""
