"""A first spec from a file or folder of data: what is found in it, and what is written."""
