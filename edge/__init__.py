"""The documented import paths; each resolves its names when they are asked for."""
