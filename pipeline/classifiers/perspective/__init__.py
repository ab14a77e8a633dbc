"""Label posts with the Perspective API."""
