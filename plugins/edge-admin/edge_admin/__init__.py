"""session.admin: organizations, users, members and invitations."""
