"""Sealing: encryption of what the database keeps and must not give away, bound to where it is kept.

Whoever has a copy of the database reads nothing of it without the key file, and whoever can write
to the database cannot pass one row's content off as another's: organization, owner and name are
part of what is authenticated (AES-256-GCM, NIST SP 800-38D), so a blob opens nowhere but where it
was sealed. A blob is

    format (1 byte) | key id (8) | nonce (12) | ciphertext, as long as the content | tag (16)

The key file holds several keys, one of which seals; the others open what was sealed before. It is
read anew for each content, which costs a few hundredths of a millisecond: a process that remembered
keys would go on sealing with one that has been replaced. For the same reason sealing belongs inside
the writing transaction that stores the blob, where `edge_server.keys.rotation` explains what follows.

Nonces are random, which is safe for 2**32 contents under one key; at a hundred writes a second that
is more than a year. Rotating the keys starts the count anew.

`Sealer` is also the place for another keeper of keys: its two methods are what Vault's transit
engine offers (encryption with associated data), and nothing else knows how a blob is made.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime as dt
import json
import logging
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict

import filelock
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge_core.replacing import replacing
from edge_server.base import clock
from edge_server.base.problems import CannotStart, Refusal, is_failing, storage_failing

log = logging.getLogger("edge_server")

FILE_NAME = "sealing.keys"

_FORMAT = b"\x01"
_ID_BYTES = 8
_NONCE_BYTES = 12
_TAG_BYTES = 16
_HEADER_BYTES = len(_FORMAT) + _ID_BYTES
_CONTENT_AT = _HEADER_BYTES + _NONCE_BYTES

_ABOUT = (
    "These keys open what the database keeps sealed. Copies of the database do not hold them: "
    "back this file up as well, and not in the same place."
)


class BadKeyFile(CannotStart):
    """The key file cannot be used; the message is one sentence for the operator."""


class UnreadableKeyFile(BadKeyFile):
    """The disk that the key file is on fails, so that it may be read again later."""


class Unsealable(Refusal):
    """Content cannot be sealed or opened: a failure of the server, whose log says which."""

    def __init__(self, detail: str) -> None:
        super().__init__(500, "unsealable", detail)


@dataclasses.dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        id: what blobs name it by.
        secret: the key itself, 32 bytes.
        created_at: UTC.
        retired_at: UTC; since when nothing is sealed with it. None for the one that seals, and for
            others until a rotation has sealed anew what they had sealed.
    """

    id: bytes
    secret: bytes = dataclasses.field(repr=False)
    created_at: dt.datetime
    retired_at: dt.datetime | None = None


@dataclasses.dataclass(frozen=True)
class Ring:
    """The keys of a key file at one moment."""

    keys: tuple[Key, ...]
    seals: bytes

    @property
    def newest(self) -> Key:
        """The key that seals."""
        return next(key for key in self.keys if key.id == self.seals)

    def find(self, key_id: bytes) -> Key | None:
        """The key of that id."""
        return next((key for key in self.keys if key.id == key_id), None)


class Place(TypedDict):
    """Where content is kept, as `Sealer` binds it."""

    organization: str
    owner: str
    name: str


class KeyFile:
    """The file that holds the keys; only its owner may read it.

    It is replaced as a whole and is on disk before anyone can see it, so that a crash at any moment
    leaves the old file or the new one.

    Args:
        path: where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Ring:
        """The keys as they are now.

        Raises:
            BadKeyFile: it is missing or is not a key file.
        """
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            raise BadKeyFile(f"the key file {self.path} is missing; put it back from its backup") from None
        except OSError as error:
            text = f"the key file {self.path} cannot be read ({error.strerror}); fix that"
            raise (UnreadableKeyFile if is_failing(error) else BadKeyFile)(text) from None
        try:
            content = json.loads(raw)
            ring = Ring(tuple(_key(plain) for plain in content["keys"]), bytes.fromhex(content["seals"]))
            ids = {key.id for key in ring.keys}
            if ring.seals not in ids or len(ids) < len(ring.keys):
                raise ValueError
        except (ValueError, TypeError, KeyError):
            raise BadKeyFile(f"{self.path} is not a whole key file; put it back from its backup") from None
        return ring

    def create(self) -> None:
        """Make the file, with one key."""
        key = _new_key()
        self._write((key,), key.id)

    def create_lost(self) -> None:
        """Make the file in place of one that is lost.

        Raises:
            BadKeyFile: it is there.
        """
        if self.path.exists():
            raise BadKeyFile(f"the key file {self.path} is there; rotate the keys without --lost")
        self.create()

    def check_mode(self) -> None:
        """See that nobody else can read the file.

        Raises:
            BadKeyFile: others can.
        """
        if os.name == "posix" and stat.S_IMODE(self.path.stat().st_mode) & 0o077:
            raise BadKeyFile(
                f"other users can read the key file {self.path}; run `chmod 600` on it, "
                "and `edge server rotate-keys` if one of them may have done so"
            )

    def renew(self) -> Key:
        """Add a key and let it seal from now on; returns it.

        The key is on disk before it seals anything: were it added and used at once, a power failure
        could take back the file but not what was sealed meanwhile.
        """
        ring, key = self.read(), _new_key()
        self._write((*ring.keys, key), ring.seals)
        self._write((*ring.keys, key), key.id)
        return key

    def keep(self, keys: Sequence[Key]) -> None:
        """Hold just these keys, the one that seals among them."""
        self._write(keys, self.read().seals)

    @contextlib.contextmanager
    def locked(self, timeout: float = 0) -> Iterator[None]:
        """Be the only one to change the file during the block.

        Raises:
            filelock.Timeout: another process changes it.
        """
        with filelock.FileLock(self.path.with_suffix(".lock"), timeout=timeout):
            yield

    def _write(self, keys: Sequence[Key], seals: bytes) -> None:
        content = {"about": _ABOUT, "seals": seals.hex(), "keys": [_plain(key) for key in keys]}
        with replacing(self.path, mode=0o600) as file:
            file.write(json.dumps(content, indent=2).encode() + b"\n")


class Sealer:
    """Seals content and opens it.

    Args:
        file: the keys.

    Attributes:
        file: the keys.
    """

    def __init__(self, file: KeyFile) -> None:
        self.file = file

    def seal(self, content: bytes, *, organization: str, owner: str, name: str) -> bytes:
        """The blob of `content`; to be called in the writing transaction that stores it.

        The column it is stored in must be one that a subsystem has named by `Context.sealed`.

        Args:
            content: what to seal.
            organization: uid of the organization it belongs to; empty if it belongs to none.
            owner: whose it is there, beginning with what it is, as in ``secrets/user/UID``, so that
                a blob of one table opens in no other.
            name: its name, or what else never changes while the blob stays where it is.

        Raises:
            Unsealable: the key file cannot be used.
        """
        try:
            key = self.file.read().newest
        except UnreadableKeyFile as error:
            log.error("nothing can be sealed: %s", error)
            raise storage_failing() from None
        except BadKeyFile as error:
            log.error("nothing can be sealed: %s", error)
            raise Unsealable(
                "the server cannot use its sealing keys, so nothing was stored; tell its operator, whose log says why"
            ) from None
        nonce = secrets.token_bytes(_NONCE_BYTES)
        header = _FORMAT + key.id
        return header + nonce + AESGCM(key.secret).encrypt(nonce, content, _bound(header, organization, owner, name))

    def open(self, blob: bytes, *, organization: str, owner: str, name: str) -> bytes:
        """The content of a blob that was sealed for exactly this organization, owner and name.

        Raises:
            Unsealable: it was sealed for another place, was changed, or its key is gone.
        """
        try:
            return self._open(blob, organization, owner, name)
        except UnreadableKeyFile as error:
            log.error("nothing that is sealed can be opened: %s", error)
            raise storage_failing() from None
        except (BadKeyFile, InvalidTag) as error:
            why = str(error) or "it is not what was sealed there"
            log.error("%r of %s in organization %s cannot be opened: %s", name, owner, organization or "(none)", why)
            raise Unsealable(
                "the server cannot open what it keeps sealed under this name; tell its operator, whose log says why"
            ) from None

    def _open(self, blob: bytes, organization: str, owner: str, name: str) -> bytes:
        header, nonce, rest = blob[:_HEADER_BYTES], blob[_HEADER_BYTES:_CONTENT_AT], blob[_CONTENT_AT:]
        if len(rest) < _TAG_BYTES or not blob.startswith(_FORMAT):
            raise InvalidTag
        key = self.file.read().find(key_id(blob))
        if key is None:
            raise BadKeyFile(f"its key {key_id(blob).hex()} is not in the key file; put back the file that has it")
        return AESGCM(key.secret).decrypt(nonce, rest, _bound(header, organization, owner, name))


def key_id(blob: bytes) -> bytes:
    """The id of the key that a blob says it was sealed with."""
    return blob[len(_FORMAT) : _HEADER_BYTES]


def _bound(header: bytes, organization: str, owner: str, name: str) -> bytes:
    """The associated data; JSON, since joined texts could be cut elsewhere and still be the same text."""
    return header + json.dumps([organization, owner, name]).encode()


def _new_key() -> Key:
    return Key(secrets.token_bytes(_ID_BYTES), AESGCM.generate_key(256), clock.now())


def _plain(key: Key) -> dict[str, str | None]:
    return {
        "id": key.id.hex(),
        "created_at": key.created_at.isoformat(),
        "retired_at": None if key.retired_at is None else key.retired_at.isoformat(),
        "key": base64.b64encode(key.secret).decode(),
    }


def _key(plain: dict[str, str | None]) -> Key:
    key_id, secret = bytes.fromhex(plain["id"] or ""), base64.b64decode(plain["key"] or "", validate=True)
    if len(key_id) != _ID_BYTES or len(secret) != 32:
        raise ValueError
    retired_at = plain["retired_at"]
    return Key(
        key_id,
        secret,
        dt.datetime.fromisoformat(plain["created_at"] or ""),
        None if retired_at is None else dt.datetime.fromisoformat(retired_at),
    )
