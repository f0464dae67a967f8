"""What a spec file can contain: its sections, reading and writing TOML, and the space of a search."""
