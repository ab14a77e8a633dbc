"""Tests of `hpc check` on a real Slurm."""
