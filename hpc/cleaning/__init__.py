"""The code of `clean`: archiving the runs that are complete and gathered, and unpacking them."""
