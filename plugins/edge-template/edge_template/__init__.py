"""Log books of instruments."""
