"""`session.applications`: the applications of an organization."""
