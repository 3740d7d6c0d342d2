"""What the type checkers say to a user who has edge-core alone."""

from typing import Any, assert_type

from edge.api import EdgeSession, WhoAmI

edge = EdgeSession()

# The eight documented properties are Any without their plugins.
assert_type(edge.files, Any)
assert_type(edge.sources, Any)
assert_type(edge.applications, Any)
assert_type(edge.tokens, Any)
assert_type(edge.admin, Any)
assert_type(edge.billing, Any)
assert_type(edge.compute, Any)
assert_type(edge.secrets, Any)

# What the core gives is typed all the same, and misspelt names are caught.
assert_type(edge.organization, str)
assert_type(edge.whoami(), WhoAmI)
print(edge.fles)  # error
print(edge.whoamI())  # error
EdgeSession(api_tokn="edg_x")  # error
