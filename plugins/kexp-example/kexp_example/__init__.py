"""An example of a package for kexp: a loss for wrong labels, texts without particles, and a diary of every run."""
