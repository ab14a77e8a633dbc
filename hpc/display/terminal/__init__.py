"""Show colors, bars, and lines that are redrawn in place on a terminal."""
