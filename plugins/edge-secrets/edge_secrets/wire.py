"""Records of requests and answers of secrets, and what a secret can be; the server imports them."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from typing import Any

from edge_core.errors import BadEntry
from edge_core.records import Pattern, Record, field

MAX_NAME = 128
"""The longest name of a secret, in characters."""

NAME = Pattern(f"^[A-Za-z0-9_-]{{1,{MAX_NAME}}}$", f"use 1 to {MAX_NAME} ASCII letters, digits, - and _")

MAX_BYTES = 64 << 10
"""The largest secret, in bytes as JSON in UTF-8 without blanks."""

MAX_DEPTH = 32
"""The deepest nesting of dictionaries and lists, the secret itself included."""

_NAME = re.compile(NAME)


class SecretEntry(Record):
    """A secret in a list, without its content."""

    name: str
    created_at: dt.datetime = field(doc="UTC.")
    modified_at: dt.datetime = field(doc="UTC. When its content was last changed.")


class SecretPage(Record):
    """One page of a listing."""

    items: list[SecretEntry]
    next: str | None = field(default=None, doc="Cursor of the next page; null on the last one.")


class ListSecrets(Record):
    """Query for a page of secrets, in the order of their names."""

    limit: int = field(default=1000, minimum=1, maximum=1000, doc="Most items of one page.")
    cursor: str | None = field(default=None, doc="The `next` of the page before this.")


class OpenSecret(SecretEntry):
    """A secret with its content."""

    _hidden = frozenset({"content"})

    content: dict[str, Any]


class CreateSecret(Record):
    """A new secret."""

    _hidden = frozenset({"content"})

    name: str = field(pattern=NAME, max_length=MAX_NAME)
    content: dict[str, Any] = field(doc=f"At most {MAX_BYTES} bytes as JSON, {MAX_DEPTH} levels deep.")


class ReplaceSecret(Record):
    """The new content of a secret."""

    _hidden = frozenset({"content"})

    content: dict[str, Any]


def is_name(name: object) -> bool:
    """Whether the name can be that of a secret."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def check_name(name: object) -> str:
    """The name, if it is valid.

    Raises:
        BadEntry: the name is not valid.
    """
    if not isinstance(name, str) or not is_name(name):
        # The argument is not shown: it may be the secret, passed in the wrong place.
        raise BadEntry(f"a secret's name is 1 to {MAX_NAME} letters, digits, - and _ (ASCII); choose such a name")
    return name


def encode(content: object) -> bytes:
    """The content of a secret as JSON in UTF-8.

    Raises:
        BadEntry: the content is not a dictionary, holds what JSON cannot express, or is too large or too deep.
    """
    if not isinstance(content, dict):
        raise BadEntry(f"a secret is a dictionary, not a {type(content).__name__}; put the value under a name in one")
    _check_values(content)
    try:
        encoded = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise BadEntry("the secret holds text that is not valid Unicode; correct it") from None
    except ValueError:
        raise BadEntry("the secret holds a number too long for JSON; make it a text") from None
    if len(encoded) > MAX_BYTES:
        raise BadEntry(
            f"the secret has {len(encoded)} bytes as JSON, and {MAX_BYTES} are the most; "
            "keep large content in a file of the organization"
        )
    return encoded


def _check_values(content: Any) -> None:
    level: list[Any] = [content]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                if not all(isinstance(name, str) for name in value):
                    raise BadEntry("a dictionary in the secret has a name that is not text; make it text")
                below += value.values()
            elif isinstance(value, (list, tuple)):
                below += value
            elif isinstance(value, float) and not math.isfinite(value):
                raise BadEntry("the secret holds infinity or NaN, which JSON cannot express; leave it out")
            elif value is not None and not isinstance(value, (str, int, float)):
                raise BadEntry(f"the secret holds a {type(value).__name__}, which JSON cannot express; make it text")
        if not below:
            return
        level = below
    raise BadEntry(f"the secret is more than {MAX_DEPTH} levels deep; simplify it")
