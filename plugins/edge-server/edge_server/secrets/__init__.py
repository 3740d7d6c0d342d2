"""The subsystem of secrets."""
