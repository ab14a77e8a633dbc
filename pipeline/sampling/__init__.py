"""Draw random samples of posts with known inclusion probabilities."""
