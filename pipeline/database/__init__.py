"""The DuckDB file: label tables, history, watermark."""
