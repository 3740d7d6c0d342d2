"""The local and self-hosted Edge server."""
