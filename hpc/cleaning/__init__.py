"""Archive the runs that are complete and gathered, and unpack them: the code of `clean`."""
