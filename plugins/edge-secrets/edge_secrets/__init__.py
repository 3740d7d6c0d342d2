"""session.secrets: secrets of users and of an Edge organization."""
