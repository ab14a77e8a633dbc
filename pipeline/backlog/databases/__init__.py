"""Read posts from the tables of SQLite and DuckDB databases."""
