"""Records of requests and answers beside `Token`; the server imports them."""

from __future__ import annotations

from typing import ClassVar

from edge_core.records import PLAIN_TEXT, Record, field
from edge_tokens.token import Token

LONGEST_LIFE = 100 * 366 * 24 * 3600
"""The longest validity in seconds; with more, the expiry would be after the year 9999."""


class CreateToken(Record):
    """A token to create."""

    note: str | None = field(default=None, max_length=200, pattern=PLAIN_TEXT, doc="What it is for.")
    expires_in: int | None = field(
        default=None,
        minimum=0,
        maximum=LONGEST_LIFE,
        doc="Seconds the token is valid; null for ever, 0 not at all. No longer than the token it is made with.",
    )
    scopes: list[str] | None = field(
        default=None,
        max_length=100,
        doc='What it is limited to: "read", "org:NAME", or parts of the API such as "files" or "files:read"; null for '
        "what the token it is made with is.",
    )


class TokenQuery(Record):
    """Query for a page of the tokens, the oldest first."""

    limit: int = field(default=100, minimum=1, maximum=1000, doc="Most items of one page.")
    cursor: str | None = field(default=None, doc="The `next` of the page before this.")


class TokenPage(Record):
    """One page of the user's tokens."""

    items: list[Token]
    next: str | None = field(default=None, doc="Cursor of the page after it; null on the last one.")


class AcceptInvitation(Record):
    """Accepts an invitation."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"code"})

    code: str = field(max_length=100, doc="The one-time code.")


class Accepted(Record):
    """The answer to an accepted invitation."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"token"})

    user_name: str = field(doc="Who accepted it.")
    organization_name: str = field(doc="Where they are a member now.")
    token: str | None = field(default=None, doc="A new user's first token; null for one who has tokens already.")
