"""Small odd files, as laboratories and instruments leave them, each with its exact content or what is said about it.

A module per family of formats yields them as cases. Their bytes are made when the tests run, so that a reader sees what
is odd about each.
"""
