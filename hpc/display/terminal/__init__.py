"""What a terminal shows: colors, bars, and lines that are drawn again in place."""
