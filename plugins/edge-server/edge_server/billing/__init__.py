"""The subsystem of billing."""
