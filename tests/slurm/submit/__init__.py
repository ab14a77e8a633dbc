"""Submit on a real Slurm: behind other jobs, and a canary first."""
