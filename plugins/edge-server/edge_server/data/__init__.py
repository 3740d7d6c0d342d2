"""Where data lasts: the database with its migrations, and the store of content."""
