"""What messages of both packages have in common."""
