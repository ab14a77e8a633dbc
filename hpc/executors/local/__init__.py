"""Run tasks on this machine, one process each."""
