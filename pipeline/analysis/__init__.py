"""Compare the labels of two names: measures, intervals, calibration."""
