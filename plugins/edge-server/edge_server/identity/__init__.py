"""Who a caller is: users, organizations, memberships and tokens."""
