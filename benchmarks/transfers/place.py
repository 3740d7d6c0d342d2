"""Where transfers are measured: running servers, the object store, and how much is transferred."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.measuring import Row
from benchmarks.transfers.objects import Objects
from benchmarks.transfers.programs import (
    MIB,
    Cost,
    nothing,
    python_run,
    warm,
)
from tools.local_server import LocalServer

SMALL_FILE = 4096

EACH = 100
"""Files of a folder."""

OURS = "edge"
CURL = "curl"
REQUESTS = "requests"

PART = 5
"""Slow clients have this part of the small files, as their time of a file does not depend on how many there are."""

SEQUENCE = 2000

THREADS, CALLS = 32, 1600


class Sizes(NamedTuple):
    """How much is transferred.

    Attributes:
        large: bytes of the large file.
        files: small files.
        sequence: small files that are transferred one after another.
        listed: files in the listing, ten in a folder.
        calls: calls to the late server.
        rounds: how often each client has its turn.
    """

    large: int = 1 << 30
    files: int = 10_000
    sequence: int = SEQUENCE
    listed: int = 50_000
    calls: int = CALLS
    rounds: int = 3


SMALL = Sizes(32 * MIB, 500, 200, 1000, 320, 1)


class Site(NamedTuple):
    """A running server of ours, and the client of the same version.

    Attributes:
        name: the client's in tables.
        python: the interpreter that has both.
        server: its process and the variables of clients.
    """

    name: str
    python: Path
    server: LocalServer

    @property
    def url(self) -> str:
        return self.server.environment["EDGE_API_SERVICE_URL"]

    def run(
        self,
        code: str,
        *arguments: object,
        environment: dict[str, str] | None = None,
        before: Callable[[], None] = nothing,
    ) -> Cost:
        """Run a client of it."""
        return python_run(
            code,
            *arguments,
            python=self.python,
            environment={**self.server.environment, **(environment or {})},
            server=self.server.pid,
            before=before,
        )

    def files_url(self, path: str) -> str:
        return f"{self.url}/v1/orgs/{self.server.environment['EDGE_API_ORG']}/files/{path}"


class Place(NamedTuple):
    """Where everything is measured.

    Attributes:
        folder: for files.
        sites: today's server, and the older one.
        objects: the object store; None where it cannot be run.
        sizes: how much is transferred.
        source: the large file.
    """

    folder: Path
    sites: list[Site]
    objects: Objects | None
    sizes: Sizes
    source: Path

    @property
    def ours(self) -> Site:
        return self.sites[0]

    @property
    def older(self) -> Site | None:
        return self.sites[1] if len(self.sites) > 1 else None

    def warm(self) -> None:
        warm(self.folder, self.sizes.large)


class Result(NamedTuple):
    """What a section gives: lines of tables, and rows with their bars."""

    lines: list[str]
    rows: list[Row]
