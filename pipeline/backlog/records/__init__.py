"""Read texts that are inside serialized records, and recognize such records."""
