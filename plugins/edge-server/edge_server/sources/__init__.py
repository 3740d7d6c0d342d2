"""The subsystem of connectors."""
