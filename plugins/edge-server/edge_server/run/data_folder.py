"""The data folder: whose it is, who runs on it, and where."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import os
import shlex
from collections.abc import Collection, Iterator
from pathlib import Path

import filelock
import sqlalchemy.exc

from edge_core.replacing import replacing
from edge_server.base import configuration
from edge_server.base.problems import CannotStart
from edge_server.data import database, postgresql
from edge_server.data.database import SERVER
from edge_server.data.store import StoreFailure
from edge_server.identity import directory, kinds, operator_audit

ORGANIZATION = "default"
ADMIN = "admin"
LOCK = "server.lock"
RUNNING = "server.json"
MOVED = "moved.json"
RESTORING = "restore.unfinished"
"""The file that says that a restore into the folder is not complete."""

LOCK_WAIT = 3.0
"""Seconds. A killed server's processes notice it within one or two, and `env` looks at the lock for a moment."""

LOCAL_NOTE = "local-env"
LOCAL_LIFETIME = dt.timedelta(days=30)


@dataclasses.dataclass(frozen=True)
class Access:
    """What a client needs to know."""

    url: str
    organization: str
    token: str

    def exports(self) -> str:
        """The settings as lines for a shell."""
        return (
            f"export EDGE_API_SERVICE_URL={shlex.quote(self.url)}\n"
            f"export EDGE_API_ORG={shlex.quote(self.organization)}\n"
            f"export EDGE_API_TOKEN={shlex.quote(self.token)}"
        )


@dataclasses.dataclass
class Moved:
    """Where the server of a data folder has moved, or is being moved.

    Attributes:
        id: the move's.
        config: the file of settings that it has there.
        folder: the data folder that it has there.
        begun_at: when the move began; in UTC, as text.
        moved_at: when it had ended; None if it has not.
    """

    id: str
    config: str
    folder: str
    begun_at: str
    moved_at: str | None = None

    def keep(self, folder: Path) -> None:
        """Note it in the data folder that it moves from, for good."""
        with replacing(folder / MOVED, mode=0o600) as file:
            file.write(json.dumps(dataclasses.asdict(self), indent=2).encode() + b"\n")


def moved_from(data: Path) -> Moved | None:
    """Where the server of `data` has moved, or is being moved, if it is.

    Raises:
        CannotStart: what says so cannot be read.
    """
    try:
        return Moved(**json.loads((data / MOVED).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise CannotStart(
            f"{data / MOVED} says that the server was moved, and not where to; remove it to go on in {data}"
        ) from None


def require_not_moved(data: Path) -> None:
    """See that the server of `data` was not moved, and is not being moved.

    Raises:
        CannotStart: it was, or is.
    """
    moved = moved_from(data)
    if moved is None:
        return
    options = f"--config {shlex.quote(moved.config)} --data {shlex.quote(moved.folder)}"
    if moved.moved_at is not None:
        raise CannotStart(
            f"the server of {data} has moved at {moved.moved_at}; start it with `edge server run {options}` (to go "
            f"back to {data} as it was then, stop that one for good and remove {data / MOVED})"
        )
    again = f"edge server move --data {shlex.quote(str(data))} --to {shlex.quote(moved.config)}"
    again = f"{again} --to-data {shlex.quote(moved.folder)}"
    raise CannotStart(
        f"the server of {data} is being moved to that of {moved.config}; run `{again}` once more, which goes on where "
        f"it was (to stay in {data}, remove {data / MOVED}, and empty the database and the store that it was moved to)"
    )


def require_restored(data: Path) -> None:
    """See that `data` is not half restored.

    Raises:
        CannotStart: it is, or is being restored.
    """
    if (data / RESTORING).exists():
        with explained(data), filelock.FileLock(data / LOCK, timeout=0):
            raise CannotStart(f"a restore into {data} was not completed; remove that folder and restore once more")


@contextlib.contextmanager
def locked(data: Path, *, also: Collection[str] = ()) -> Iterator[None]:
    """Make `data` if it is missing, and be the only server on it during the block.

    Args:
        data: the data folder.
        also: names that it may hold, beside those of a server.

    Raises:
        CannotStart: it is no folder of a server, is half restored, cannot be written, another server runs on it, or
            it was moved.
    """
    with alone_in(data, also=also):
        require_not_moved(data)
        yield


@contextlib.contextmanager
def alone_in(data: Path, *, also: Collection[str] = ()) -> Iterator[None]:
    """What `locked` does, also in a folder whose server was moved or is being moved."""
    from edge_server.keys import sealing  # here, as each start of a shell would wait for it with `env`

    lock = filelock.FileLock(data / LOCK)
    with explained(data):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.name == "posix" and data.stat().st_mode & 0o077:
            data.chmod(0o700)  # it was made by other means, and the database in it would be open to all
        names = {path.name for path in data.iterdir()}
        require_restored(data)
        # With the database elsewhere, all that was put back from a backup may be the keys.
        own = {database.FILE_NAME, LOCK, configuration.FILE_NAME, sealing.FILE_NAME}
        if names - set(also) and not names & own:
            raise CannotStart(f"{data} holds other things than a server's data; choose an empty folder with --data")
        lock.acquire(timeout=LOCK_WAIT, poll_interval=0.05)
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def explained(data: Path) -> Iterator[None]:
    """Say in one sentence why the data folder, or the database, cannot be used."""
    try:
        yield
    except filelock.Timeout:
        if (data / RESTORING).exists():
            raise CannotStart(f"a restore into {data} is running; wait for that") from None
        where = running_url(data)
        raise CannotStart(
            f"a server is running on {data} already{f', at {where}' if where else ''}; stop it or choose another --data"
        ) from None
    except (FileExistsError, NotADirectoryError):
        raise CannotStart(f"{data} is a file; choose a folder with --data") from None
    except StoreFailure as error:
        raise CannotStart(str(error)) from None
    except OSError as error:
        raise CannotStart(
            f"{error.filename or data} cannot be used ({error.strerror}); fix it or choose another folder with --data"
        ) from None
    except (sqlalchemy.exc.DatabaseError, sqlalchemy.exc.TimeoutError) as error:
        of_file = f"the database {data / database.FILE_NAME} cannot be used ({getattr(error, 'orig', error)})"
        raise CannotStart(postgresql.explanation(error) or f"{of_file}; put back a backup of it") from None


@contextlib.contextmanager
def announced(data: Path, url: str, monitoring_url: str | None = None) -> Iterator[None]:
    """Let others find the running server in the data folder during the block.

    Args:
        data: the data folder.
        url: where it answers.
        monitoring_url: where it answers those who watch it; None if nowhere.

    Raises:
        CannotStart: nothing can be written there.
    """
    path = data / RUNNING
    with explained(data), replacing(path, mode=0o644) as file:
        where = {"url": url, "pid": os.getpid()} | ({"monitoring_url": monitoring_url} if monitoring_url else {})
        file.write(json.dumps(where).encode() + b"\n")
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


def local_access(data: Path, user_name: str | None = None, config: Path | None = None) -> Access:
    """Access to the server running on `data`, with a token of its own.

    Args:
        data: the data folder.
        config: the file of the operator's settings; by default that of the data folder.
        user_name: as which user; by default as the server's admin.

    Raises:
        CannotStart: no server is running on it, or the user is not on it.
    """
    require_not_moved(data)
    settings = configuration.of_server(data, config)
    if kinds.kind_of(settings) == kinds.JUPYTERHUB:
        raise CannotStart(
            "this server's tokens are those of its JupyterHub; make one on the hub's Token page, and set it as "
            "EDGE_API_TOKEN"
        )
    url = running_url(data)
    if url is None or not is_locked(data):
        start = f"edge server run --data {shlex.quote(str(data))}"
        raise CannotStart(f"no server is running on {data}; start one with `{start}`")
    with (
        explained(data),
        contextlib.closing(database.of_server(settings, data)) as opened,
        opened.write(SERVER) as session,
    ):
        user = directory.find_user(session, user_name or ADMIN)
        if user_name is not None and user is None:
            raise CannotStart(f"the user {user_name!r} is not on this server; `edge admin users list` shows who is")
        if user is None or (user_name is None and not user.server_admin):
            # The one that the first start made is gone, so whoever runs the server since.
            user = directory.server_admins(session)[0]
        directory.prune_tokens(session, user, LOCAL_NOTE)
        token, value = directory.add_token(session, user, note=LOCAL_NOTE, expires_in=LOCAL_LIFETIME)
        about = {"user_name": user.user_name, "token": token.uid}
        operator_audit.note(session.connection(), operator_audit.CREATE_TOKEN, about)
        names = [organization.name for _, organization in directory.memberships(session, user.id)]
    return Access(url, ORGANIZATION if ORGANIZATION in names else (names or [ORGANIZATION])[0], value)


def is_locked(data: Path) -> bool:
    """Whether a server, or another command that is alone there, is on `data` just now."""
    lock = filelock.FileLock(data / LOCK)
    try:
        with lock.acquire(blocking=False):
            return False
    except filelock.Timeout:
        return True
