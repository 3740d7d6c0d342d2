"""The subsystem of users, organizations, members, invitations and tokens."""
