"""The one place that knows what is secret, and how to show something without it."""

from __future__ import annotations

import logging
import re

TOKEN_PREFIX = "edg_"  # noqa: S105  # the public part
PUBLIC_CHARACTERS = 8

HIDDEN = "***"

_SIGNED_QUERY = re.compile(r"\?[^\s\"']*(?:signature|credential|security-token|sig)=[^\s\"']*", re.IGNORECASE)
# Of the Authorization header of S3, and of the lines that botocore writes as it makes one.
_SIGNATURE = re.compile(r"\b(Credential=|Signature=|Signature:\s*)[^\s,&\"']+")
# Tokens, and codes of invitations.
_TOKEN = re.compile(r"ed[gi]_[0-9A-Za-z]{20,}")
# What a person types may be a part of one, or end in what another program has made of it.
_TYPED = re.compile(r"(?<![0-9A-Za-z])ed[gi]_[^\s\"'(),;]+")
_USER_INFO = re.compile(r"//[^/@\s]+@")


def bare(url: str) -> str:
    """An address without its query, which may hold a signature, and without user name and password."""
    return _USER_INFO.sub("//", url.partition("?")[0])


def public_part(token: str) -> str:
    """What may be shown of a token: enough for its owner to find it, nothing anyone can use."""
    return token[:PUBLIC_CHARACTERS] + HIDDEN if token.startswith(TOKEN_PREFIX) else HIDDEN


def scrub(text: str) -> str:
    """A text of somebody else's, without tokens of ours, signed queries, and passwords in addresses."""
    text = _SIGNED_QUERY.sub(f"?{HIDDEN}", text)
    text = _SIGNATURE.sub(rf"\g<1>{HIDDEN}", text)
    text = _TOKEN.sub(lambda match: public_part(match[0]), text)
    return _USER_INFO.sub(f"//{HIDDEN}@", text)


def scrub_typed(text: str) -> str:
    """A text about what a person typed, without what `scrub` takes out, and without anything like a token."""
    return scrub(_TYPED.sub(lambda match: match[0][: len(TOKEN_PREFIX)] + HIDDEN, text))


class _Unsigned(logging.Filter):
    """Takes signatures out of what a library logs at DEBUG: whole addresses, and headers."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = scrub(record.getMessage()), None
        return True


def guard(*names: str) -> None:
    """Make the loggers of a library that writes down signatures safe to turn on; once is enough."""
    for name in names:
        logger = logging.getLogger(name)
        if not any(isinstance(other, _Unsigned) for other in logger.filters):
            logger.addFilter(_Unsigned())
