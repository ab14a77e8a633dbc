"""The files of a run that the login node and the compute nodes share."""
