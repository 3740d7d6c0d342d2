"""What keeps secrets secret: sealing, signed addresses, and the rotation of keys."""
