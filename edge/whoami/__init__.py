"""Documented import paths of what `whoami` returns."""
