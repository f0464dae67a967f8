"""Run folders that exist: listing, comparing and pruning them."""
