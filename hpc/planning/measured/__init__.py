"""What earlier tasks of a configuration show about the next ones."""
