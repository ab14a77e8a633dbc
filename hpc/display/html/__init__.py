"""What a browser shows: every text is escaped, and reports become elements."""
