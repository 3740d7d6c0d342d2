"""session.tokens: the API tokens of the current user, and logging in."""
