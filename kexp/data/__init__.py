"""From files to batches: reading, cleaning, splitting, tokenising into ragged arrays, batching by length."""
