"""``kexp plugins new``: a package of one's own, with a component per kind that works and passes its tests."""
