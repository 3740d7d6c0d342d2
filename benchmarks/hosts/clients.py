"""Users who work, each with a folder and secrets of their own, and know all that was acknowledged to them.

A program, since a process has threads for a few of them only: it takes the service URL, the organization and the
seconds to work as arguments and a token for each user from standard input. It prints, as JSON, how often something was
sent again, and what each user knows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import random
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.api import EdgeSession
from edge_core.errors import ApiError, ConnectionFailed

MIB = 1 << 20

LARGE = 20 * MIB
"""Bytes of a file that goes in parts."""

KEPT = 40
"""Files that a user has, beyond which some are deleted."""


@dataclasses.dataclass
class Known:
    """What a user knows.

    Attributes:
        folder: of their own.
        files: SHA-256 of each file, by its name in the folder.
        secrets: value of each secret, by its name.
        unsure: names of files and secrets of which a call ended with an error, so that it may have taken place.
        done: how often each operation was.
        errors: operations that ended with an error, and its text.
        wrong: what was read that is not what was acknowledged.
        sent: bytes of content that were acknowledged.
        seconds: that each operation took, with its name.
    """

    folder: str
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    secrets: dict[str, str] = dataclasses.field(default_factory=dict)
    unsure: list[str] = dataclasses.field(default_factory=list)
    done: Counter[str] = dataclasses.field(default_factory=Counter)
    errors: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    wrong: list[str] = dataclasses.field(default_factory=list)
    sent: int = 0
    seconds: list[tuple[float, str]] = dataclasses.field(default_factory=list)


class Client:
    """A user at work.

    Args:
        number: of the user, for the folder's name.
        access: token, service URL and organization.
        until: moment of the monotonic clock at which to stop.
        retries: how often a request is sent again.

    Attributes:
        known: what they know.
    """

    def __init__(self, number: int, access: tuple[str, str, str], until: float, retries: int) -> None:
        self.known = Known(f"user-{number}")
        self._access = access
        self._until = until
        self._retries = retries
        self._chance = random.Random(number)
        self._number = 0
        self._touched: tuple[str, ...] = ()
        self._kinds: list[tuple[int, Callable[[EdgeSession], None]]] = [
            (20, self._put),
            (15, self._put_over),
            (20, self._read),
            (10, self._move),
            (10, self._delete),
            (10, self._list),
            (3, self._send_large),
            (6, self._keep_secret),
            (6, self._read_secret),
            (3, self._change_secret),
            (3, self._delete_secret),
        ]

    def work(self) -> None:
        """Do one operation after another until the time is over."""
        weights = [weight for weight, _ in self._kinds]
        with EdgeSession(*self._access, retries=self._retries) as edge, tempfile.TemporaryDirectory() as folder:
            self._folder = Path(folder)
            while time.monotonic() < self._until:
                _, operation = self._chance.choices(self._kinds, weights)[0]
                self._do(operation, edge)

    def _do(self, operation: Callable[[EdgeSession], None], edge: EdgeSession) -> None:
        name = operation.__name__.strip("_")
        self._touched = ()
        begun = time.monotonic()
        try:
            operation(edge)
        except Exception as error:
            self.known.errors.append((name, _described(error)))
            self._forget()
        self.known.seconds.append((time.monotonic() - begun, name))
        self.known.done[name] += 1

    def _forget(self) -> None:
        """No longer count on what the operation may or may not have changed."""
        self.known.unsure += self._touched
        for name in self._touched:
            self.known.files.pop(name, None)
            self.known.secrets.pop(name, None)

    def _new_name(self) -> str:
        self._number += 1
        return f"{self._number:06}"

    def _some_file(self) -> str | None:
        return self._chance.choice(list(self.known.files)) if self.known.files else None

    def _path(self, name: str) -> str:
        return f"{self.known.folder}/{name}"

    def _upload(self, edge: EdgeSession, name: str, content: bytes) -> None:
        is_new = name not in self.known.files
        self._touched = (name,)
        edge.files.upload(self._path(name), content, overwrite=not is_new)
        self.known.files[name] = hashlib.sha256(content).hexdigest()
        self.known.sent += len(content)

    def _put(self, edge: EdgeSession) -> None:
        self._upload(edge, self._new_name(), self._chance.randbytes(self._chance.randrange(1, 64 << 10)))

    def _put_over(self, edge: EdgeSession) -> None:
        name = self._some_file()
        if name is not None:
            self._upload(edge, name, self._chance.randbytes(self._chance.randrange(1, 64 << 10)))

    def _send_large(self, edge: EdgeSession) -> None:
        name = self._new_name()
        content = self._chance.randbytes(LARGE)
        file = self._folder / name
        file.write_bytes(content)
        self._touched = (name,)
        edge.files.upload(self._path(name), file, overwrite=False)
        file.unlink()
        self.known.files[name] = hashlib.sha256(content).hexdigest()
        self.known.sent += len(content)

    def _read(self, edge: EdgeSession) -> None:
        name = self._some_file()
        if name is not None:
            digest = hashlib.sha256(edge.files.read_bytes(self._path(name))).hexdigest()
            self._compare(f"content of {self._path(name)}", digest, self.known.files[name])

    def _move(self, edge: EdgeSession) -> None:
        name = self._some_file()
        if name is not None:
            to = self._new_name()
            self._touched = (name, to)
            edge.files.move(self._path(name), self._path(to))
            self.known.files[to] = self.known.files.pop(name)

    def _delete(self, edge: EdgeSession) -> None:
        name = self._some_file()
        if name is not None and len(self.known.files) > KEPT:
            self._touched = (name,)
            edge.files.delete(self._path(name))
            del self.known.files[name]

    def _list(self, edge: EdgeSession) -> None:
        if self.known.files:
            _, _, names = next(edge.files.walk(self.known.folder))
            there = set(names)
            self._compare(
                f"names in {self.known.folder}",
                sorted(there - set(self.known.unsure)),
                sorted(set(self.known.files) - set(self.known.unsure)),
            )

    def _keep_secret(self, edge: EdgeSession) -> None:
        name = self._new_name()
        self._touched = (name,)
        edge.secrets.create_user_secret(name, {"value": name})
        self.known.secrets[name] = name

    def _some_secret(self) -> str | None:
        return self._chance.choice(list(self.known.secrets)) if self.known.secrets else None

    def _change_secret(self, edge: EdgeSession) -> None:
        name = self._some_secret()
        if name is not None:
            value = self._new_name()
            self._touched = (name,)
            edge.secrets.update_user_secret(name, {"value": value})
            self.known.secrets[name] = value

    def _delete_secret(self, edge: EdgeSession) -> None:
        name = self._some_secret()
        if name is not None:
            self._touched = (name,)
            edge.secrets.delete_user_secret(name)
            del self.known.secrets[name]

    def _read_secret(self, edge: EdgeSession) -> None:
        name = self._some_secret()
        if name is not None:
            self._compare(f"secret {name}", edge.secrets.read_user_secret(name), {"value": self.known.secrets[name]})

    def _compare(self, what: str, is_: Any, must_be: Any) -> None:
        if is_ != must_be:
            self.known.wrong.append(f"{what} is {is_!r} and must be {must_be!r}"[:500])


def _described(error: Exception) -> str:
    """The error, and of one from the server what was asked."""
    request = f"{error.method} {error.url}: " if isinstance(error, ApiError | ConnectionFailed) else ""
    return f"{request}{type(error).__name__}: {error}"


class Retries(logging.Handler):
    """Counts what the sessions of this process sent again."""

    def __init__(self) -> None:
        super().__init__()
        self.counted = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.counted += 1


def main(url: str, organization: str, seconds: str, first: str, retries: str) -> None:
    """Let a user work for each token on standard input."""
    log = logging.getLogger("edge.retries")
    log.propagate = False
    again = Retries()
    log.addHandler(again)
    warnings.filterwarnings("ignore", "the API token travels in clear")  # within this machine
    until = time.monotonic() + float(seconds)
    tokens = sys.stdin.read().split()
    clients = [
        Client(int(first) + n, (token, url, organization), until, int(retries)) for n, token in enumerate(tokens)
    ]
    threads = [threading.Thread(target=client.work) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"retries": again.counted, "known": [vars(client.known) for client in clients]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
