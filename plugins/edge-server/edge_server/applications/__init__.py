"""The subsystem of applications."""
