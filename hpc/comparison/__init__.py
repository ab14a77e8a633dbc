"""Compare labels: choose the names, the columns and the sample, and put a report together."""
