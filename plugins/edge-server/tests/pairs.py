"""The tests' servers as two hosts behind nginx, if EDGE_TEST_HOSTS says so: each request is answered by either."""

from __future__ import annotations

import contextlib
import os
import shutil
import tomllib
import weakref
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from edge_server.base import configuration
from edge_server.files import storage
from edge_server.testing.local_server import EdgeServer
from tests.object_stores import free_port

from . import nginx, stores
from .engines import is_postgresql

VARIABLE = "EDGE_TEST_HOSTS"

_IN_TURN = """
upstream hosts {{
    server {a};
    server {b};
    keepalive 16;
}}
server {{
    listen 127.0.0.1:{port};
    client_max_body_size 0;
    large_client_header_buffers 4 128k;
    location / {{
        proxy_pass http://hosts;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_request_buffering off;
        proxy_buffering off;
    }}
}}
"""


_single: weakref.WeakSet[EdgeServer] = weakref.WeakSet()


def single(server: EdgeServer) -> EdgeServer:
    """Have a server that is not started yet be a single host in any case, as where a test has several of its own."""
    _single.add(server)
    return server


def single_host_only(why: str) -> pytest.MarkDecorator:
    """Leave out a test of what a single host has, where the servers of the tests are two.

    Args:
        why: what it looks into.
    """
    return pytest.mark.skipif(are_two(), reason=f"{VARIABLE} is 2, and this looks into a single host: {why}")


def are_two() -> bool:
    """Whether the servers of the tests are two hosts each."""
    hosts = os.environ.get(VARIABLE, "1")
    assert hosts in ("1", "2"), f"{VARIABLE} is 1 or 2"
    assert hosts == "1" or is_postgresql(), f"{VARIABLE}=2 needs EDGE_TEST_ENGINE=postgresql, which hosts can share"
    return hosts == "2"


@pytest.fixture(scope="session", autouse=True)
def _hosts(_engine: object, _store: object) -> Iterator[None]:
    """Have each server that a test starts be two, if the environment says so."""
    if not are_two():
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        _patch(patch)
        yield


def _patch(patch: pytest.MonkeyPatch) -> None:
    start, stop, kill, close = EdgeServer.start, EdgeServer.stop, EdgeServer.kill, EdgeServer.close
    environment_of = EdgeServer._environment.__get__
    others: dict[EdgeServer, EdgeServer] = {}
    first: dict[EdgeServer, EdgeServer] = {}
    proxies: dict[EdgeServer, contextlib.ExitStack] = {}

    def environment(self: EdgeServer) -> dict[str, str]:
        own: dict[str, str] = environment_of(first.get(self, self))
        if self in _single:
            return own
        folder = first.get(self, self).data
        shared = {f"{configuration.PREFIX}KEYS_DIRECTORY": str(folder)}
        if stores.kind() == stores.FOLDER and not _is_on_a_bucket(folder):
            shared[f"{configuration.PREFIX}STORAGE_DIRECTORY"] = str(folder)
        return shared | own

    def start_both(self: EdgeServer, *options: str) -> None:
        start(self, *options)
        if self in first or self in _single:
            return
        if self not in others:
            other = EdgeServer(self.data.with_name(f"{self.data.name}-b"), database_url=self.database_url)
            other._program = self._program
            others[self], first[other] = other, self
        other = others[self]
        other.data.mkdir(mode=0o700, exist_ok=True)
        for path in self.data.glob("*.toml"):
            shutil.copy(path, other.data)
        other.start(*options)
        proxies[self] = contextlib.ExitStack()
        self.url = proxies[self].enter_context(_in_turn(self, other))

    def without_proxy(self: EdgeServer) -> None:
        if self in proxies:
            proxies.pop(self).close()

    def stop_both(self: EdgeServer) -> int:
        without_proxy(self)
        if self in others:
            stop(others[self])
        return stop(self)

    def kill_both(self: EdgeServer) -> None:
        without_proxy(self)
        kill(self)
        if self in others and others[self]._process is not None:
            kill(others[self])

    def close_both(self: EdgeServer) -> None:
        without_proxy(self)
        if self in others:
            close(others[self])
        close(self)

    patch.setattr(EdgeServer, "_environment", property(environment))
    patch.setattr(EdgeServer, "start", start_both)
    patch.setattr(EdgeServer, "stop", stop_both)
    patch.setattr(EdgeServer, "kill", kill_both)
    patch.setattr(EdgeServer, "close", close_both)


def _is_on_a_bucket(data: Path) -> bool:
    settings = data / configuration.FILE_NAME
    section = tomllib.loads(settings.read_text()).get(storage.SECTION, {}) if settings.exists() else {}
    return bool(section.get("kind") == storage.S3)


@contextlib.contextmanager
def _in_turn(a: EdgeServer, b: EdgeServer) -> Iterator[str]:
    """What passes requests on to two hosts in turn; gives its address, with the prefix of theirs."""
    port = free_port()
    folder = Path(f"{a.data}-nginx-{port}")
    folder.mkdir()
    hosts = {"a": urlsplit(a.url).netloc, "b": urlsplit(b.url).netloc}
    with nginx.running(folder, port, _IN_TURN.format(port=port, **hosts)):
        yield f"http://127.0.0.1:{port}{urlsplit(a.url).path}"
