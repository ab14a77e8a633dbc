"""Parse what Slurm prints, and say what it means."""
