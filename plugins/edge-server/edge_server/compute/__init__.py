"""The subsystem of compute."""
