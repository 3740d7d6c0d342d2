"""Signed addresses: whoever holds one may do this one thing with it, until it expires.

The signature covers the method, the address and every query parameter, so that nothing can be
changed, added or left out. The addresses are relative to the service URL: no Host header is
trusted, and they hold behind any prefix.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

import filelock

from edge_core.replacing import replacing
from edge_server.base import clock
from edge_server.base.problems import CannotStart, Refusal

FILE_NAME = "signing.key"
LOCK = "signing.lock"

LOCK_WAIT = 10.0
"""Seconds to wait for another host that makes the key."""

KEY_BYTES = 32


class Signer:
    """Signs and checks addresses.

    Args:
        key: the secret; whoever has it can sign.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def address(self, method: str, path: str, expires_at: dt.datetime, query: Mapping[str, str]) -> str:
        """The signed address of `path`, which is relative to the service URL, like the result."""
        values = {**query, "expires": str(int(expires_at.timestamp()))}
        values["signature"] = self._signature(method, path, values)
        return f"{quote(path)}?{urlencode(values)}"

    def check(self, method: str, path: str, query: Mapping[str, list[str]]) -> dict[str, str]:
        """The query parameters as they were signed.

        Raises:
            Refusal: this is not what was signed, or it has expired.
        """
        signed = {name: values[0] for name, values in query.items() if len(values) == 1}
        signature = signed.pop("signature", "")
        expected = self._signature(method, path, signed)
        if len(signed) + 1 != len(query) or not hmac.compare_digest(signature.encode(), expected.encode()):
            raise Refusal(
                403, "bad_signature", "this address is not as it was signed; ask for a new one and use it unchanged"
            )
        if int(signed["expires"]) <= clock.now().timestamp():
            raise Refusal(403, "expired", "this address has expired; ask for a new one")
        return signed

    def digest(self, text: bytes) -> str:
        """A digest of `text` that nobody can compute without the key, so that a guess cannot be checked."""
        # What is signed is JSON, which never begins like this.
        return hmac.digest(self._key, b"digest\n" + text, hashlib.sha256).hex()

    def _signature(self, method: str, path: str, values: Mapping[str, str]) -> str:
        # JSON, since joined texts could be cut elsewhere and still be the same text.
        # Those of the first kind named no signer, and count no more.
        signed = json.dumps(["2", method, path, sorted(values.items())]).encode()
        return base64.urlsafe_b64encode(hmac.digest(self._key, signed, hashlib.sha256)).decode().rstrip("=")


def renew_key(folder: Path) -> bytes:
    """Another signing key, in place of the one there is, if any."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with filelock.FileLock(folder / LOCK, timeout=LOCK_WAIT):
        key = _make_key(folder / FILE_NAME)
    return key


def _make_key(path: Path) -> bytes:
    key = secrets.token_bytes(KEY_BYTES)
    with replacing(path, mode=0o600) as file:
        file.write(key)
    return key


def read_key(folder: Path) -> bytes:
    """The server's signing key, made if it is missing; only its owner may read the file.

    Raises:
        CannotStart: the file is not whole.
    """
    path = folder / FILE_NAME
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Another host that shares the folder may start this moment, and all sign with one key.
        with filelock.FileLock(folder / LOCK, timeout=LOCK_WAIT):
            if not path.exists():
                _make_key(path)
    key = path.read_bytes()
    if len(key) < KEY_BYTES:
        raise CannotStart(
            f"the signing key {path} has {len(key)} bytes instead of {KEY_BYTES}; put it back from a backup or another "
            "host, or remove it: a new one makes the addresses invalid that were given out"
        )
    return key
