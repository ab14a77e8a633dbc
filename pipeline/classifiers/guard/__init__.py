"""Labels from guard models: the user's own template, and an answer of one declared word."""
