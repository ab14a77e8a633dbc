"""Compare what tasks requested with what they used."""
