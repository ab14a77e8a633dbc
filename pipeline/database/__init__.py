"""Keep labels and history in a DuckDB file, and compute the watermark."""
