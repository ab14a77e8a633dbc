"""Slurm: its commands, what they print, and arrays submitted through submitit."""
