"""What a run folder tells: the summary over variants and seeds, and the page that a person reads."""
