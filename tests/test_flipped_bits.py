"""A flipped bit of content, stored or on its way: always `ChecksumError`, or cured by sending it once more.

Nothing wrong is ever left under the final name.

`EDGE_FLIPPED_BITS` says how many bits are flipped: 100 here, 10,000 for a thorough run.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import sqlalchemy as sa

from edge_core.errors import ChecksumError, NotFound
from edge_core.session import EdgeSession
from edge_server.files.models import Version
from edge_server.testing.local_server import EdgeServer
from edge_testing.chaos import ChaosProxy, Exchange, Fault

pytestmark = pytest.mark.slow

FLIPS = int(os.environ.get("EDGE_FLIPPED_BITS", "100"))

CHANCE = random.Random(5)

SMALL = CHANCE.randbytes(30_000)
"""Travels through the API itself."""

LARGE = CHANCE.randbytes(1_200_000)
"""Travels by signed addresses, as soon as it has more than 1 MiB."""


class Place(NamedTuple):
    """Where bits are flipped."""

    server: EdgeServer
    direct: EdgeSession
    passing: EdgeSession
    """Through the proxy."""
    proxy: ChaosProxy
    folder: Path


@pytest.fixture
def place(edge_server: EdgeServer, edge_session: EdgeSession, tmp_path: Path) -> Iterator[Place]:
    settings = edge_session.config
    with (
        ChaosProxy(settings.service_url) as proxy,
        EdgeSession(api_token=settings.api_token, service_url=proxy.url, organization=settings.organization) as passing,
    ):
        edge_session.files.upload("stored/small", SMALL)
        edge_session.files.upload("stored/large", LARGE)
        yield Place(edge_server, edge_session, passing, proxy, tmp_path)


def flipped(blocks: Iterator[bytes], bit: int) -> Iterator[bytes]:
    """The blocks of a body with one bit changed; the last bit if it has fewer."""
    content = bytearray(b"".join(blocks))
    at = bit % (8 * len(content))
    content[at // 8] ^= 1 << at % 8
    yield bytes(content)


def in_the_request(bit: int) -> Fault:
    def fault(exchange: Exchange) -> None:
        exchange._left = flipped(exchange._left, bit)
        for block in exchange.answer():
            exchange.send(block)

    return fault


def in_the_answer(bit: int) -> Fault:
    def fault(exchange: Exchange) -> None:
        answer = exchange.answer()
        exchange.send(next(answer))
        for block in flipped(answer, bit):
            exchange.send(block)

    return fault


# --- the ways that content goes, each with the size of its content and the request that is struck


def read_whole(edge: EdgeSession, path: str, folder: Path) -> None:
    edge.files.read_bytes(path)


def read_file(edge: EdgeSession, path: str, folder: Path) -> None:
    with edge.files.open(path, open_with="file") as file:
        while file.read(70_000):
            pass


def download(edge: EdgeSession, path: str, folder: Path) -> None:
    try:
        edge.files.download(path, folder / "local")
    finally:
        assert list(folder.iterdir()) == [], "not even a part is left"


def download_over(edge: EdgeSession, path: str, folder: Path) -> None:
    (folder / "local").write_bytes(b"older")
    try:
        edge.files.download(path, folder / "local")
    finally:
        assert [(each.name, each.read_bytes()) for each in folder.iterdir()] == [("local", b"older")]
        (folder / "local").unlink()


def download_folder(edge: EdgeSession, path: str, folder: Path) -> None:
    try:
        edge.files.download_folder("stored", folder / "stored", on_error="stop")
    finally:
        whole = {"small": SMALL, "large": LARGE}
        del whole[path.rpartition("/")[2]]
        for each in (folder / "stored").iterdir():
            assert each.read_bytes() == whole[each.name]
            each.unlink()
        (folder / "stored").rmdir()


READS = (read_whole, read_file, download, download_over, download_folder)

ADDRESSES = {
    "small": r"GET \S+/files/content\?\S*small",
    "large": r"GET /v1/content/",
}


def flip_what_is_stored(place: Place, name: str, read: Callable[[EdgeSession, str, Path], None]) -> None:
    path = f"stored/{name}"
    uid = next(version.version for version in place.direct.files.versions(path))
    with place.server.database.read() as session:
        key = session.scalars(sa.select(Version.key).where(Version.uid == uid)).one()
    stored = place.server.data / "content" / key[:2] / key
    content = stored.read_bytes()
    at = CHANCE.randrange(8 * len(content))
    changed = bytearray(content)
    changed[at // 8] ^= 1 << at % 8
    with open(stored, "r+b") as file:
        file.write(changed)
    try:
        with pytest.raises(ChecksumError):
            read(place.direct, path, place.folder)
    finally:
        with open(stored, "r+b") as file:
            file.write(content)


def flip_what_is_read(place: Place, name: str, read: Callable[[EdgeSession, str, Path], None]) -> None:
    if read is download_folder:
        read = download  # in which files come at the same time
    before = place.proxy.struck
    place.proxy.inject(in_the_answer(CHANCE.getrandbits(40)), times=1, only=ADDRESSES[name])
    with pytest.raises(ChecksumError):
        read(place.passing, f"stored/{name}", place.folder)
    assert place.proxy.struck == before + 1
    place.proxy.calm()


def flip_what_is_sent(place: Place, name: str, overwrite: bool) -> None:
    content = CHANCE.randbytes(len(SMALL if name == "small" else LARGE))
    if overwrite:
        place.direct.files.upload("sent", b"older")
    only = r"PUT \S+/files/content\?" if name == "small" else "PUT /v1/parts/"
    before = place.proxy.struck
    # Large content is sent once more where its parts are not what was sent, since they may be another process's.
    times = 1 if name == "small" else None
    place.proxy.inject(in_the_request(CHANCE.getrandbits(40)), times=times, only=only)
    with pytest.raises(ChecksumError):
        place.passing.files.upload("sent", content)
    assert place.proxy.struck == before + (1 if name == "small" else 2)
    place.proxy.calm()
    if overwrite:
        assert place.direct.files.read_bytes("sent") == b"older"
        place.direct.files.delete("sent")
    else:
        with pytest.raises(NotFound):
            place.direct.files.read_bytes("sent")
    assert place.direct.files.uploads() == []


def flip_what_is_sent_once(place: Place, overwrite: bool) -> None:
    """A single flipped bit of large content is noticed and cured."""
    content = CHANCE.randbytes(len(LARGE))
    if overwrite:
        place.direct.files.upload("sent", b"older")
    before = place.proxy.struck
    place.proxy.inject(in_the_request(CHANCE.getrandbits(40)), times=1, only="PUT /v1/parts/")
    place.passing.files.upload("sent", content)
    assert place.proxy.struck == before + 1
    assert place.direct.files.read_bytes("sent") == content
    assert place.direct.files.uploads() == []
    place.direct.files.delete("sent")


def test_a_flipped_bit_is_always_noticed(place: Place) -> None:
    done = 0
    while done < FLIPS:
        for name in ("small", "large"):
            for read in READS:
                flip_what_is_stored(place, name, read)
                flip_what_is_read(place, name, read)
                done += 2
            for overwrite in (False, True):
                flip_what_is_sent(place, name, overwrite)
                done += 1
        for overwrite in (False, True):
            flip_what_is_sent_once(place, overwrite)
            done += 1
    assert place.direct.files.read_bytes("stored/small") == SMALL
    assert place.direct.files.read_bytes("stored/large") == LARGE
    print(f"{done} flipped bits, each a ChecksumError or cured")
