"""Two hosts of one server on this machine: processes with a data folder each, on one database on PostgreSQL."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from edge_server.testing.local_server import EdgeServer

from .engines import url_of
from .pairs import single
from .postgresql import scratch_postgresql
from .wire import Api, client


@dataclasses.dataclass
class Hosts:
    """The two; they share the folders of content and of keys.

    Attributes:
        a: one.
        b: the other.
        shared: the folder that holds what they share.
    """

    a: EdgeServer
    b: EdgeServer
    shared: Path

    def member(self) -> tuple[Api, Api]:
        """A member of a fresh organization, with one token at both."""
        organization = self.a.create_organization()
        token = self.a.create_token(self.a.create_user(organization=organization))
        return client(self.a, token, organization), client(self.b, token, organization)


@contextlib.contextmanager
def two_hosts(folder: Path) -> Iterator[Hosts]:
    """Two hosts that are not started; skipped where no PostgreSQL answers.

    Args:
        folder: an empty one.
    """
    with scratch_postgresql() as opened, contextlib.ExitStack() as stack:
        shared = folder / "shared"
        a, b = (single(EdgeServer(folder / name, database_url=url_of(opened))) for name in ("a", "b"))
        for host in (a, b):
            stack.callback(host.close)
            host.data.mkdir(mode=0o700, parents=True)
            places = {"storage": shared / "content", "keys": shared / "keys"}
            sections = [f"[{section}]\ndirectory = {json.dumps(str(place))}\n" for section, place in places.items()]
            (host.data / "server.toml").write_text("".join(sections))
        yield Hosts(a, b, shared)
