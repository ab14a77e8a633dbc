"""A run's folder and what is known of a run: values and rules, with no Slurm and no database."""
