"""A server for tests and demonstrations."""
