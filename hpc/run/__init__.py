"""Define a run's folder and what is known of a run, with no Slurm and no database."""
