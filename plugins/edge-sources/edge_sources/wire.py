"""The records of connectors on the wire. The server imports them, so that each is declared in a single place."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from edge_core.errors import BadEntry
from edge_core.records import PLAIN_TEXT, Pattern, Record, field

MAX_NAME = 128
"""Maximum length of a connector's name, in characters."""

NAME = Pattern(
    rf"^[A-Za-z0-9_][A-Za-z0-9_.-]{{0,{MAX_NAME - 1}}}$",
    f"use 1 to {MAX_NAME} ASCII letters, digits and . _ -, the first one neither . nor -",
)

KIND = Pattern(
    "^[a-z][a-z0-9_]{0,49}$", "use 1 to 50 lower-case ASCII letters, digits and _, the first one a letter, as in s3"
)

MAX_BYTES = 1 << 20
"""Maximum size of a definition as JSON, secret fields included, in bytes; a whole API description fits."""

_NAME = re.compile(NAME)
_UID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)


class ConnectorEntry(Record):
    """A connector in a listing, without its definition."""

    uid: str = field(doc="Universally unique id; it stays when the connector is renamed.")
    name: str
    title: str
    kind: str = field(doc="Which class of the client it is for.")
    created_at: dt.datetime = field(doc="UTC.")
    modified_at: dt.datetime = field(doc="UTC. When it was last changed.")


class ConnectorPage(Record):
    """One page of a listing."""

    items: list[ConnectorEntry]
    next: str | None = field(default=None, doc="Cursor of the next page; null on the last one.")


class ListConnectors(Record):
    """Asks for connectors, in the order of their names."""

    limit: int = field(default=1000, minimum=1, maximum=1000, doc="Most items of one page.")
    cursor: str | None = field(default=None, doc="The `next` of the page before.")


class OpenConnector(ConnectorEntry):
    """A connector with all that a client needs to connect."""

    _hidden = frozenset({"secret"})

    definition: dict[str, Any] = field(doc="What may be seen of it.")
    secret: dict[str, Any] = field(doc="Its credentials, which the server keeps encrypted.")


class ConnectorDefinition(Record):
    """A connector to be stored."""

    _hidden = frozenset({"secret"})

    name: str = field(pattern=NAME, max_length=MAX_NAME, doc="Not in the form of a uid.")
    title: str = field(pattern=PLAIN_TEXT, max_length=200)
    kind: str = field(pattern=KIND, doc="Which class of the client it is for; it stays.")
    definition: dict[str, Any] = field(default_factory=dict, doc="What may be seen of it.")
    secret: dict[str, Any] = field(default_factory=dict, doc="Its credentials, which the server keeps encrypted.")


def is_name(text: object) -> bool:
    """Return whether a connector can have a name; a name in the form of a uid could hide another connector."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None and not is_uid(text)


def is_uid(text: str) -> bool:
    """Return whether a text has the form of a uid."""
    return _UID.fullmatch(text) is not None


def check_name(name: object) -> str:
    """Return `name` if a connector can have it.

    Raises:
        BadEntry: a connector cannot have the name.
    """
    if not isinstance(name, str) or not is_name(name):
        raise BadEntry(
            f"{name!r} cannot be a connector's name; use 1 to {MAX_NAME} ASCII letters, digits, _, - and ., "
            "the first neither - nor ., and not in the form of a uid"
        )
    return name
