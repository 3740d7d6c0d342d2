"""Sealing: encryption of what the database keeps and must not give away, bound to where it is kept.

Whoever has a copy of the database reads nothing of it without the key file, and whoever can write
to the database cannot pass one row's content off as another's: organization, owner and name are
part of what is authenticated (AES-256-GCM, NIST SP 800-38D), so a blob opens nowhere but where it
was sealed. A blob is

    format (1 byte) | key id (8) | nonce (12) | ciphertext, as long as the content | tag (16)

The key file holds several keys, one of which seals; the others open what was sealed before. It is
read anew for each content, which costs a few hundredths of a millisecond: a process that remembered
keys would go on sealing with one that has been replaced. For the same reason it seals inside the
writing transaction that stores the blob, where `edge_server.keys.rotation` explains what follows.

Nonces are random, which is safe for 2**32 contents under one key; at a hundred writes a second that
is more than a year. Rotating the keys starts the count anew.

A key can also be kept by another machine (`edge_server.keys.transit`), which must be waited for and may
not answer. So whoever seals does so in two steps, as `Sealer` says: before the transaction, and within it.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime as dt
import functools
import json
import logging
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypedDict

import filelock
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge_core.replacing import replacing
from edge_server.base import clock
from edge_server.base.problems import CannotStart, Refusal, is_failing, storage_failing

log = logging.getLogger("edge_server")

FILE_NAME = "sealing.keys"

FORMAT = b"\x01"
"""What a blob begins with that a key of the file has sealed."""

_ID_BYTES = 8
_NONCE_BYTES = 12
_TAG_BYTES = 16
HEADER_BYTES = len(FORMAT) + _ID_BYTES
_CONTENT_AT = HEADER_BYTES + _NONCE_BYTES

_ABOUT = (
    "These keys open what the database keeps sealed. Copies of the database do not hold them: "
    "back this file up as well, and not in the same place."
)


NOT_SEALED_THERE = "it is not what was sealed there"


class BadKeyFile(CannotStart):
    """The key file cannot be used; the message is one sentence for the operator."""


class UnreadableKeyFile(BadKeyFile):
    """The disk that the key file is on fails, so that it may be read again later."""


class Unsealable(Refusal):
    """Content cannot be sealed or opened: a failure of the server, whose log says which."""

    def __init__(self, detail: str) -> None:
        super().__init__(500, "unsealable", detail)


class KeeperAway(Refusal):
    """The keeper of the key cannot be used just now.

    Args:
        why: one sentence for the operator.
    """

    def __init__(self, why: str) -> None:
        super().__init__(
            503,
            "secrets_unavailable",
            "the server cannot use the key of its secrets just now, so that no secret, connector or password of a "
            "registry is opened or stored; try again later, and tell its operator if it lasts, whose log says why",
            {"Retry-After": "5"},
        )
        self.why = why


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
    """Where content is kept, to which it is sealed.

    Attributes:
        organization: uid of the organization it belongs to; empty if it belongs to none.
        owner: whose it is there, beginning with what it is, as in ``secrets/user/UID``, so that
            a blob of one table opens in no other.
        name: its name, or what else never changes while the blob stays where it is.
    """

    organization: str
    owner: str
    name: str


Prepared = Callable[[], bytes]
"""What gives the blob of a content in the writing transaction that stores it, where it waits for nobody."""


class Sealer(Protocol):
    """Seals content and opens it."""

    def prepare(self, content: bytes, *, organization: str, owner: str, name: str) -> Prepared:
        """Seal `content` for a `Place`, before the transaction that stores it: the key may be on another machine.

        The column it is stored in must be one that a subsystem has named by `Context.sealed`.

        Raises:
            Unsealable: the keys cannot be used.
            KeeperAway: the keeper of the key cannot be used just now.
        """
        ...

    def open(self, blob: bytes, *, organization: str, owner: str, name: str) -> bytes:
        """The content of a blob that was sealed for exactly this `Place`; never in a transaction that writes.

        Raises:
            Unsealable: it was sealed for another place, was changed, or its key is gone.
            KeeperAway: the keeper of the key cannot be used just now.
        """
        ...


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


class FileSealer:
    """Seals with the keys of a key file.

    Args:
        file: the keys.

    Attributes:
        file: the keys.
    """

    def __init__(self, file: KeyFile) -> None:
        self.file = file

    def prepare(self, content: bytes, *, organization: str, owner: str, name: str) -> Prepared:
        """What seals `content`, with the key of the moment at which the blob is asked for."""
        return functools.partial(self.seal, content, organization=organization, owner=owner, name=name)

    def seal(self, content: bytes, *, organization: str, owner: str, name: str) -> bytes:
        """The blob of `content`; to be called in the writing transaction that stores it.

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
        header = FORMAT + key.id
        return header + nonce + AESGCM(key.secret).encrypt(nonce, content, bound(header, organization, owner, name))

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
            why = str(error) or NOT_SEALED_THERE
            raise unopened(why, Place(organization=organization, owner=owner, name=name)) from None

    def _open(self, blob: bytes, organization: str, owner: str, name: str) -> bytes:
        header, nonce, rest = blob[:HEADER_BYTES], blob[HEADER_BYTES:_CONTENT_AT], blob[_CONTENT_AT:]
        if len(rest) < _TAG_BYTES or not blob.startswith(FORMAT):
            raise InvalidTag
        key = self.file.read().find(key_id(blob))
        if key is None:
            raise BadKeyFile(f"its key {key_id(blob).hex()} is not in the key file; put back the file that has it")
        return AESGCM(key.secret).decrypt(nonce, rest, bound(header, organization, owner, name))


def key_id(blob: bytes) -> bytes:
    """The id of the key that a blob says it was sealed with."""
    return blob[len(FORMAT) : HEADER_BYTES]


def unopened(why: str, place: Place) -> Unsealable:
    """That a blob cannot be opened; the operator reads in the log why, and which one."""
    log.error(
        "%r of %s in organization %s cannot be opened: %s",
        place["name"],
        place["owner"],
        place["organization"] or "(none)",
        why,
    )
    return Unsealable(
        "the server cannot open what it keeps sealed under this name; tell its operator, whose log says why"
    )


def bound(header: bytes, organization: str, owner: str, name: str) -> bytes:
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
