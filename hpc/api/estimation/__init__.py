"""Hand labels over to estimators that correct for a classifier's errors."""
