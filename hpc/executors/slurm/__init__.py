"""Talk to Slurm: run its commands, parse what they print, and submit arrays through submitit."""
