"""Share what messages of both packages have in common."""
