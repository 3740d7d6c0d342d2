"""The subsystem of search by name."""
