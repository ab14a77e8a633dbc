"""Keep the labels of a name in a table of the database, or in a folder of Parquet files."""
