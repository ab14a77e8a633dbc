"""Ask Slurm what it says before a run exists: about a script, and from a node."""
