"""Read Parquet, CSV and JSON Lines files, and the typed columns of tables."""
