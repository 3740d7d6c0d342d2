"""Real engines for the tests: the machine's databases."""

from __future__ import annotations

import os
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.object_stores import answers


class Server(NamedTuple):
    """A database server that is running."""

    kind: str
    host: str
    port: int
    admin: str
    admin_password: str


class Database(NamedTuple):
    """A scratch database and its user."""

    kind: str
    host: str
    port: int
    name: str
    username: str
    password: str


def server(kind: str, variable: str, default: str) -> Server:
    """The machine's database server; the test is skipped only where nobody listens at its address.

    Whatever else is wrong fails the test, so that a server that is there is a server that was tested.
    """
    parts = urlsplit(f"//{os.environ.get(variable, default)}")
    host, port = parts.hostname or "127.0.0.1", parts.port or 0
    if not answers(host, port):
        pytest.skip(f"nobody answers for {kind} at {host}:{port}; name another in {variable}")
    return Server(kind, host, port, parts.username or "", parts.password or "")
