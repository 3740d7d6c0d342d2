"""What authors of plugins test with; nothing of it is loaded unless it is imported."""
