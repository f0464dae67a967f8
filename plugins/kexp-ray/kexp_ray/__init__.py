"""Ray for kexp: the trials of a search on the machines of a cluster."""
