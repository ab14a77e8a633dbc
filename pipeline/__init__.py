"""Handle posts and labels, and run on a compute node. Never imports `hpc`."""

__version__ = "0.1.0"
