"""What a spec file can state: its sections, reading and writing TOML, and the space of a search."""
