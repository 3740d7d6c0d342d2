"""The subsystem of files."""
