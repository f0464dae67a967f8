"""Korean texts as eojeol with their parts of speech: which belong together, and which carry the meaning."""
