"""A local web page over the run folders: runs, comparisons, studies and predictions."""
