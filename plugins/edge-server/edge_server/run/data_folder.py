"""The data folder: whose it is, who runs on it, and what a server finds or makes in it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import sqlalchemy.exc
from sqlalchemy.orm import Session

from edge_server.base import configuration
from edge_server.data import database
from edge_server.data.database import Database
from edge_server.data.migration import migrate
from edge_server.data.store import Store
from edge_server.files import fsck
from edge_server.files.uploads import Uploads
from edge_server.identity import accounts
from edge_server.keys import rotation, sealing
from edge_server.keys.signing import read_key
from edge_server.web import idempotency

if TYPE_CHECKING:
    from edge_server.web.subsystems import Subsystem

ORGANIZATION = "default"
ADMIN = "admin"
LOCK = "server.lock"
RUNNING = "server.json"

LOCK_WAIT = 3.0
"""Seconds. A killed server's processes notice it within one or two, and `env` looks at the lock for a moment."""

LOCAL_NOTE = "local-env"
LOCAL_LIFETIME = dt.timedelta(days=30)


class BadFolder(Exception):
    """The data folder cannot be used; the message is one sentence for the user."""


@dataclasses.dataclass(frozen=True)
class Access:
    """What a client needs to know."""

    url: str
    organization: str
    token: str

    def exports(self) -> str:
        """The settings as lines for a shell."""
        return (
            f"export EDGE_API_SERVICE_URL={self.url}\n"
            f"export EDGE_API_ORG={self.organization}\n"
            f"export EDGE_API_TOKEN={self.token}"
        )


@contextlib.contextmanager
def locked(data: Path) -> Iterator[None]:
    """Make `data` if it is missing, and be the only server on it during the block.

    Raises:
        BadFolder: it is no folder of a server, cannot be written, or another server runs on it.
    """
    lock = filelock.FileLock(data / LOCK)
    with _explained(data):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {path.name for path in data.iterdir()}
        if names and not names & {database.FILE_NAME, LOCK, configuration.FILE_NAME}:
            raise BadFolder(f"{data} holds other things than a server's data; choose an empty folder with --data")
        lock.acquire(timeout=LOCK_WAIT, poll_interval=0.05)
    try:
        yield
    finally:
        lock.release()


def prepare(data: Path, added: Sequence[Subsystem] | None = None) -> str | None:
    """Make ready what a server needs in `data`; returns the first token, if this is the first start.

    Args:
        data: the data folder.
        added: what plugins add, whose tables are migrated as well; None for all that are installed.

    Raises:
        BrokenSubsystem: what a plugin adds cannot be used, or its migration fails.
        BadFolder: something in it cannot be read or written.
        BadKeyFile: the key file is damaged, or missing though something is sealed, or others can
            read it.
        NotMigrated: a newer server made the database.
    """
    if added is None:
        from edge_server.web import subsystems

        added = subsystems.installed()
    with _explained(data), contextlib.closing(Database(data / database.FILE_NAME)) as opened:
        store = Store(data)
        store.create()
        read_key(data)
        migrate(opened, data / "backups", added)
        _prepare_sealing(opened, data)
        Uploads(opened, store).drop_orphans()
        with opened.write() as session:
            idempotency.release_all(session)
            return _first_token(session)


@contextlib.contextmanager
def _explained(data: Path) -> Iterator[None]:
    """Say in one sentence why the data folder cannot be used."""
    try:
        yield
    except filelock.Timeout:
        where = running_url(data)
        raise BadFolder(
            f"a server is running on {data} already{f', at {where}' if where else ''}; stop it or choose another --data"
        ) from None
    except (FileExistsError, NotADirectoryError):
        raise BadFolder(f"{data} is a file; choose a folder with --data") from None
    except OSError as error:
        raise BadFolder(
            f"{error.filename or data} cannot be used ({error.strerror}); mend it or choose another folder with --data"
        ) from None
    except sqlalchemy.exc.DatabaseError as error:
        raise BadFolder(
            f"the database {data / database.FILE_NAME} cannot be used ({error.orig}); put back a backup of it"
        ) from None


def _prepare_sealing(opened: Database, data: Path) -> None:
    """Make the key file, unless there once was another that is needed."""
    file = sealing.KeyFile(data / sealing.FILE_NAME)
    with file.locked(LOCK_WAIT):
        if not file.path.exists():
            if rotation.any_sealed(opened):
                raise sealing.BadKeyFile(
                    f"the key file {file.path} is missing, without which nothing that is sealed in the database can "
                    "be read; put it back from its backup, or, if it is lost for good, go on without it by "
                    f"`edge server rotate-keys --lost --data {shlex.quote(str(data))}`"
                )
            file.create()
        file.check_mode()
        file.read()


def rotate_keys(data: Path, *, kept: dt.timedelta, lost: bool = False) -> rotation.Rotation:
    """Seal everything in `data` with a new key; a server may be running on it.

    Args:
        data: the data folder.
        kept: how long older keys stay for copies of the database.
        lost: the key file is gone for good, so begin with a new one; what it sealed stays closed.

    Raises:
        BadFolder: there is no server's data, or another rotation is running.
        BadKeyFile: the key file cannot be used.
        NotMigrated: the database is not at the revision this code works with.
    """
    if not (data / database.FILE_NAME).exists():
        raise BadFolder(f"{data} holds no server's data; say where that is with --data")
    file = sealing.KeyFile(data / sealing.FILE_NAME)
    try:
        with contextlib.closing(Database(data / database.FILE_NAME)) as opened:
            opened.require_migrated()
            if lost:
                with file.locked():
                    file.create_lost()
            return rotation.rotate(opened, file, kept=kept)
    except filelock.Timeout:
        raise BadFolder(f"the keys of {data} are being rotated already; wait for that") from None


def _first_token(session: Session) -> str | None:
    if accounts.server_admins(session):
        return None
    organization = accounts.create_organization(session, ORGANIZATION, "Default")
    admin = accounts.create_user(session, ADMIN, server_admin=True)
    accounts.add_member(session, admin, organization, accounts.ROLES)
    return accounts.create_token(session, admin, note="first-start")


def check(data: Path, *, deep: bool) -> fsck.Report:
    """Check a server's content, whether or not it runs; see `fsck`.

    Raises:
        BadFolder: there is no server's data, or it cannot be used.
        NotMigrated: another version's server made the database.
    """
    if not (data / database.FILE_NAME).is_file():
        raise BadFolder(f"{data} holds no server's data; name its folder with --data")
    with _explained(data), contextlib.closing(Database(data / database.FILE_NAME)) as opened:
        opened.require_migrated()
        return fsck.check(opened, Store(data), deep=deep)


@contextlib.contextmanager
def announced(data: Path, url: str) -> Iterator[None]:
    """Let others find the running server in the data folder during the block."""
    path, beside = data / RUNNING, data / f"{RUNNING}.new"
    beside.write_text(json.dumps({"url": url, "pid": os.getpid()}) + "\n", encoding="utf-8")
    os.replace(beside, path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def running_url(data: Path) -> str | None:
    """The address that the server on `data` wrote, whether or not it still runs."""
    try:
        url: str = json.loads((data / RUNNING).read_text(encoding="utf-8"))["url"]
    except (OSError, ValueError, KeyError):
        return None
    return url


def local_access(data: Path, user_name: str | None = None) -> Access:
    """Access to the server running on `data`, with a token of its own.

    Args:
        data: the data folder.
        user_name: as which user; by default as the server's admin.

    Raises:
        BadFolder: no server is running on it, or there is no such user.
    """
    url = running_url(data)
    if url is None or not _is_locked(data):
        start = f"edge server run --data {shlex.quote(str(data))}"
        raise BadFolder(f"no server is running on {data}; start one with `{start}`")
    with contextlib.closing(Database(data / database.FILE_NAME)) as opened, opened.write() as session:
        user = accounts.find_user(session, user_name or ADMIN)
        if user_name is not None and user is None:
            raise BadFolder(f"there is no user {user_name!r} on this server; `edge admin users` names those there are")
        if user is None or (user_name is None and not user.server_admin):
            # The one that the first start made is gone, so whoever runs the server since.
            user = accounts.server_admins(session)[0]
        accounts.prune_tokens(session, user, LOCAL_NOTE)
        token = accounts.create_token(session, user, note=LOCAL_NOTE, expires_in=LOCAL_LIFETIME)
        names = [organization.name for _, organization in accounts.memberships(session, user.id)]
    return Access(url, ORGANIZATION if ORGANIZATION in names else (names or [ORGANIZATION])[0], token)


def _is_locked(data: Path) -> bool:
    lock = filelock.FileLock(data / LOCK)
    try:
        with lock.acquire(blocking=False):
            return False
    except filelock.Timeout:
        return True
