"""Where the labels of a name are kept: in a table of the database, or in a folder of Parquet."""
