"""Compare a classifier with human gold: weighted measures, prevalence, and their intervals."""
