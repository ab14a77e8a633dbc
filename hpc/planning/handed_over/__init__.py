"""Plan a run whose posts another engine labels, and take it back."""
