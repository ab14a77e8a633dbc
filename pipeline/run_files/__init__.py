"""Read and write the files of a run that the login node and the compute nodes share."""
