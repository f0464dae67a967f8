"""Run folders and their pages: files, the summary over variants and seeds, the HTML report."""
