"""Who the session acts as."""

from __future__ import annotations

import datetime as dt

from edge_core.config import checked_organization, command_line
from edge_core.errors import ConfigurationError
from edge_core.records import PLAIN_TEXT, Record, field

NEAR = dt.timedelta(days=14)
"""How long before its end a token is called near to it."""


class Organization(Record):
    """An organization the user belongs to."""

    organization_name: str = field(doc="Short name, as in the browser's address.")
    title: str = field(doc="Name for display.")
    roles: list[str] = field(default_factory=list, doc='"admin", "developer", both or neither.')


class CurrentToken(Record):
    """The token that a session uses."""

    id: str = field(doc="The token's id, which is not secret.")
    scopes: list[str] | None = field(default=None, doc="What it is limited to; null if it is not.")
    expires_at: dt.datetime | None = field(default=None, doc="UTC; null if it never expires.")
    renewable: bool = field(default=False, doc="Whether `edge login --renew` moves its end.")


def end_hint(token: CurrentToken | None, profile: str | None = None, variable: str | None = None) -> str | None:
    """What to do about the end of a session's token; None if it is not near.

    Args:
        token: what the server tells of it; None where it does not.
        profile: name of the profile that has the token.
        variable: the environment variable that has it instead, where no command can put another one.
    """
    if token is None or token.expires_at is None or token.expires_at - dt.datetime.now(dt.UTC) > NEAR:
        return None
    if variable is not None:
        advice = f"make a new one before that, and set {variable} to it"
    elif token.renewable:
        advice = f"renew it: {command_line(profile, 'login --renew')}"
    else:
        advice = "make a new one before that"
    return f"This token expires {token.expires_at:%Y-%m-%d %H:%M}Z; {advice}"


class WhoAmI(Record):
    """The user a token belongs to."""

    user_name: str = field(doc="The user's id across all Edge systems.")
    first_name: str | None = field(default=None, doc="Null if it is not set.")
    last_name: str | None = field(default=None, doc="Null if it is not set.")
    email: str | None = field(default=None, doc="Null if it is not set.")
    server_admin: bool = field(default=False, doc="Whether they run the server.")
    license_name: str | None = field(default=None, doc="Of the license they have; null for none.")
    organizations: list[Organization] = field(
        default_factory=list, doc="Those the user is a member of, and the token is not kept from."
    )
    token: CurrentToken | None = field(default=None, doc="The token at hand; null if the server does not tell.")


class WhoAmIAnswer(WhoAmI):
    """What the server sends of it: the first organizations, and where the others begin."""

    organizations_next: str | None = field(
        default=None, doc="Cursor of the page of organizations after these; null if there are no more."
    )


class OwnOrganizationQuery(Record):
    """Query for a page of the organizations the user is a member of, by name."""

    limit: int = field(default=100, minimum=1, maximum=1000, doc="Most items of one page.")
    cursor: str | None = field(
        default=None, doc="The `next` of the page before this, or the `organizations_next` of the user's record."
    )


class OwnOrganizationPage(Record):
    """One page of the organizations the user is a member of."""

    items: list[Organization]
    next: str | None = field(default=None, doc="Cursor of the page after it; null on the last one.")


class Profile(Record):
    """What a user may change of their own record; None erases."""

    first_name: str | None = field(default=None, max_length=200, pattern=PLAIN_TEXT)
    last_name: str | None = field(default=None, max_length=200, pattern=PLAIN_TEXT)
    email: str | None = field(default=None, max_length=320, pattern=PLAIN_TEXT)


def only_organization(me: WhoAmI) -> str:
    """The short name of a user's only organization.

    Raises:
        ConfigurationError: the user is in none, or in several.
    """
    names = [organization.organization_name for organization in me.organizations]
    if len(names) == 1:
        return checked_organization(names[0])
    if not names:
        raise ConfigurationError(
            f"{me.user_name} is in no organization; have the operator of your JupyterHub put you into its group"
        )
    raise ConfigurationError(
        f"{me.user_name} is in several organizations; name one by EDGE_API_ORG or organization=: {', '.join(names)}"
    )
