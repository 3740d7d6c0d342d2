"""Documented import paths of the application records."""
