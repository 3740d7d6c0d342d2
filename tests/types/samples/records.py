"""What the type checkers say to a user of records: fields are declared once, and typed by that."""

from typing import assert_type

from edge.api import WhoAmI
from edge.whoami.organization import Organization

me = WhoAmI(user_name="ada", organizations=[Organization("lab", "The lab")])

assert_type(me.user_name, str)
assert_type(me.email, str | None)
assert_type(me.organizations, list[Organization])
me.email = "ada@example.org"
me.email = None

me.server_admin = "yes"  # error
me.emial = "ada@example.org"  # error
WhoAmI(user_nam="ada")  # error
WhoAmI(user_name=1)  # error
WhoAmI()  # error
