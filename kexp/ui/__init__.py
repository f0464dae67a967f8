"""A local web page over the run folders: what was run, how it compares, and what a model says to a sentence."""
