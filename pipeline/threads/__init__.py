"""Do work in several threads, for the part of it that needs no lock of Python's."""
