"""The way of a request, and the door that every subsystem enters by."""
