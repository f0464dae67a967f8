"""SLURM for kexp: the runs of an experiment and the trials of a search as jobs of a cluster."""
