"""API tokens: how they look, and what is kept of them.

A token is ``edg_``, 33 random base62 characters (196 bits) and six that check the rest, so that a
token cut or mistyped is told apart without asking the database, and a scanner for leaked secrets
can find one in a text. The database keeps its SHA-256; no slow hash is needed, since a random
value of this length cannot be guessed. The code of an invitation is made and kept in the same way,
with ``edi_`` before it.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib

PREFIX = "edg_"
INVITATION_PREFIX = "edi_"
RANDOM_CHARACTERS = 33
CHECK_CHARACTERS = 6
PUBLIC_CHARACTERS = 8
"""How many characters of a token may be shown, `PREFIX` included."""

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_CHARACTERS = frozenset(_BASE62)


def new_token(prefix: str = PREFIX) -> str:
    """A fresh token, or with another prefix another secret of the same making."""
    body = prefix + "".join(secrets.choice(_BASE62) for _ in range(RANDOM_CHARACTERS))
    return body + _check(body)


def is_well_formed(token: str, prefix: str = PREFIX) -> bool:
    """Whether `token` has the form of a token and its check characters are right."""
    body, check = token[:-CHECK_CHARACTERS], token[-CHECK_CHARACTERS:]
    return (
        len(token) == len(prefix) + RANDOM_CHARACTERS + CHECK_CHARACTERS
        and token.startswith(prefix)
        and _CHARACTERS.issuperset(token[len(prefix) :])
        and check == _check(body)
    )


def digest(token: str) -> str:
    """What the database knows a token by."""
    return hashlib.sha256(token.encode()).hexdigest()


def public_prefix(token: str) -> str:
    """The start of a token, by which its owner can tell it from others."""
    return token[:PUBLIC_CHARACTERS]


def _check(body: str) -> str:
    value = zlib.crc32(body.encode())
    characters = ""
    for _ in range(CHECK_CHARACTERS):
        value, index = divmod(value, len(_BASE62))
        characters = _BASE62[index] + characters
    return characters
