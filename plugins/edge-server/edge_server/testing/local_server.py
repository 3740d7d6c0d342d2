"""A server in a process of its own, on a free port: for tests and for demonstrations."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_server.data.database import Database
    from edge_server.testing.simulation import SimulatedTime
    from edge_server.web.lifecycle import Lifecycle

START_SECONDS = 60.0
STOP_SECONDS = 60.0


class EdgeServer:
    """A server of its own process group, and its accounts.

    Args:
        data: its data folder.
        time: the time it is to have; by default that of the machine.
        database_url: address of a database on PostgreSQL, in place of the file in the data folder.

    Attributes:
        data: its data folder.
        database_url: address of its database; None for the file in the data folder.
        url: its service URL; another one after each start.
        pid: its process.
    """

    def __init__(self, data: Path, *, time: SimulatedTime | None = None, database_url: str | None = None) -> None:
        self.data: Path = data
        self.database_url = database_url
        self._program = ("edge_server",) if time is None else ("edge_server.testing.simulation", str(time.path))
        self.url = ""
        self._options: tuple[str, ...] = ()
        self._log = data.with_name(f"{data.name}.log")
        self._process: subprocess.Popen[bytes] | None = None
        self._database: Database | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was not started"
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server wrote so far, to standard output and error."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def start(self, *options: str) -> None:
        """Start the server and wait until it answers.

        Args:
            options: further options of `edge server run`.

        Raises:
            RuntimeError: it does not; the message has what it wrote.
        """
        from edge_server.run.data_folder import RUNNING

        self._options = options
        command = [sys.executable, "-m", *self._program, "run", "--data", str(self.data), "--port", "0", *options]
        with contextlib.suppress(OSError):
            # Left by a server that was killed; it would send us to where that one was.
            (self.data / RUNNING).unlink()
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                command, stdout=log, stderr=log, start_new_session=True, env=os.environ | self._environment
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the Edge server did not start; it wrote:\n{self.log}")
            time.sleep(0.02)

    def stop(self) -> int:
        """Stop the server as Ctrl-C would, after the requests it is answering; returns its exit code."""
        assert self._process is not None, "the server was not started"
        self._process.terminate()
        return self._process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """Stop the server in the middle of whatever it does."""
        assert self._process is not None, "the server was not started"
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait(STOP_SECONDS)

    def restart(self) -> None:
        """Stop the server and start it again with the same options; `url` is another one then."""
        self.stop()
        self.start(*self._options)

    def create_user(
        self,
        name: str | None = None,
        *,
        organization: str | None = None,
        roles: Collection[str] = (),
        server_admin: bool = False,
    ) -> str:
        """Add a user, and return the name.

        Args:
            name: by default a fresh one.
            organization: one to be a member of.
            roles: "admin", "developer", both or neither.
            server_admin: whether they run the server.
        """
        from edge_server.data.database import SERVER
        from edge_server.identity import directory

        name = name or f"user-{secrets.token_hex(4)}"
        with self.database.write(SERVER) as session:
            user = directory.create_user(session, name, server_admin=server_admin)
            if organization is not None:
                row = directory.find_organization(session, organization)
                if row is None:
                    raise LookupError(f"the organization {organization!r} cannot be found; create it first")
                directory.add_member(session, user, row, roles)
        return name

    def create_organization(self, name: str | None = None) -> str:
        """Add an organization, by default of a fresh name, and return the name."""
        from edge_server.data.database import SERVER
        from edge_server.identity import directory

        name = name or f"org-{secrets.token_hex(4)}"
        with self.database.write(SERVER) as session:
            directory.create_organization(session, self._lifecycle.organization_added, name)
        return name

    def create_token(self, user_name: str, *, note: str | None = None, expires_in: float | None = None) -> str:
        """Add an API token, and return its value.

        Args:
            user_name: whom it acts for.
            note: what it is for.
            expires_in: seconds; a negative number for a token that has expired.
        """
        from edge_server.data.database import SERVER
        from edge_server.identity import directory

        lifetime = None if expires_in is None else dt.timedelta(seconds=expires_in)
        with self.database.write(SERVER) as session:
            user = directory.find_user(session, user_name)
            if user is None:
                raise LookupError(f"the user {user_name!r} cannot be found; create them first")
            return directory.create_token(session, user, note=note, expires_in=lifetime)

    @property
    def database(self) -> Database:
        """The server's database, for what no address gives."""
        import sqlalchemy as sa

        from edge_server.data import database

        if self._database is None:
            url = self.database_url
            self._database = database.Database(self.data / database.FILE_NAME if url is None else sa.make_url(url), 4)
        return self._database

    @property
    def _environment(self) -> dict[str, str]:
        return {} if self.database_url is None else {"EDGE_SERVER_DATABASE_URL": self.database_url}

    @functools.cached_property
    def _lifecycle(self) -> Lifecycle:
        """What the server's subsystems do when an organization is added."""
        from edge_server.keys.signing import Signer
        from edge_server.run import app

        engines = app.engines_at(self.data, Signer(b""), database=self.database)
        app.load(engines)
        return engines.lifecycle

    def close(self) -> None:
        """Stop the server if it runs, and let go of its database."""
        if self._process is not None and self._process.poll() is None:
            self.stop()
        if self._database is not None:
            self._database.close()

    def _answers(self) -> bool:
        from edge_server.run.data_folder import running_url

        url = running_url(self.data)
        if url is None:
            return False
        # Without the environment's proxies, which do not lead here.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            opener.open(f"{url}/healthz", timeout=5).close()
        except (urllib.error.URLError, OSError):
            return False
        self.url = url
        return True
