"""Posts and labels, and what runs on a compute node. Never imports `hpc`."""

__version__ = "0.1.0"
