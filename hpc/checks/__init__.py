"""What can be known before anything is spent: observed, and judged as findings."""
