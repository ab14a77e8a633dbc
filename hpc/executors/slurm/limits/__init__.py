"""Find out what Slurm lets a user submit, and what its partitions can give."""
