"""Runs and Slurm, on the login node: observe, judge, plan, act."""
