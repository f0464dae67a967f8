"""Listing, comparing and pruning run folders."""
