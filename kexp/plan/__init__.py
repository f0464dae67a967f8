"""From a spec to a checked plan: components looked up, every section checked, every problem reported at once."""
