"""Label posts with guard models: the user's own template, and an answer of one declared word."""
