"""`File` against a store whose connections break, lie and count."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import random
import zipfile
from typing import Any, NamedTuple

import pytest

from edge_core.errors import BadResponse, ChecksumError, ConnectionFailed
from edge_vfs import File

CONTENT = random.Random(7).randbytes(300_000)


class Stat(NamedTuple):
    name: str
    size: int | None
    sha256: str | None
    kind: str = "file"
    version: str | None = "v1"
    modified_at: dt.datetime = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Stream:
    def __init__(self, content: bytes, breaks_after: int | None) -> None:
        self._inner = io.BytesIO(content)
        self._left = breaks_after

    def read(self, size: int, /) -> bytes:
        if self._left is not None:
            if self._left == 0:
                raise ConnectionFailed("the answer broke off")
            size = min(size, self._left)
            self._left -= size
        return self._inner.read(size)

    def close(self) -> None:
        pass


class Reader:
    """Counts its requests; each stream breaks after as many bytes as it is told."""

    def __init__(self, content: bytes, breaks_after: int | None) -> None:
        self._content = content
        self._breaks_after = breaks_after
        self.starts: list[int] = []

    def open(self, start: int, /) -> Stream:
        self.starts.append(start)
        return Stream(self._content[start:], self._breaks_after)

    def url(self, expires_in: int, /) -> str:
        return f"https://store.example.com/k?expires_in={expires_in}"


class Store:
    def __init__(self, content: bytes = CONTENT, breaks_after: int | None = None) -> None:
        self.made = Reader(content, breaks_after)

    def reader(self, path: str, stat: Any, /) -> Reader:
        return self.made


def opened(store: Store, content: bytes = CONTENT, **stat: Any) -> File:
    known = {"name": "a.bin", "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), **stat}
    return File(store, "runs/a.bin", Stat(**known))  # type: ignore[arg-type]


def test_opening_asks_nothing_and_reading_on_is_one_request() -> None:
    store = Store()
    with opened(store) as file:
        assert (file.basename, file.size, file.tell()) == ("a.bin", len(CONTENT), 0)
        assert store.made.starts == []
        read = b"".join(iter(lambda: file.read(10_000), b""))
    assert read == CONTENT
    assert store.made.starts == [0]


def test_a_seek_costs_a_request_at_the_next_read_only() -> None:
    store = Store()
    file = opened(store)
    file.seek(100)
    file.seek(-10, 2)
    assert store.made.starts == []
    assert file.read() == CONTENT[-10:]
    file.seek(5)
    assert file.read(5) == CONTENT[5:10]
    assert file.seek(10, 1) == 20
    assert file.read(1) == CONTENT[20:21]
    assert store.made.starts == [len(CONTENT) - 10, 5, 20]


def test_it_is_a_raw_binary_file_as_python_knows_them() -> None:
    file = opened(Store())
    assert isinstance(file, io.RawIOBase)
    assert file.readable()
    assert file.seekable()
    assert not file.writable()
    with pytest.raises(io.UnsupportedOperation):
        file.write(b"x")
    buffer = bytearray(7)
    assert file.readinto(buffer) == 7
    assert bytes(buffer) == CONTENT[:7]
    assert file.read(0) == b""
    assert type(file.read(3)) is bytes
    assert file.seek(len(CONTENT) + 5) == len(CONTENT) + 5
    assert file.read() == b""
    with pytest.raises(ValueError, match="before the beginning"):
        file.seek(-1)
    with pytest.raises(ValueError, match="whence"):
        file.seek(0, 9)
    file.close()
    file.close()
    for call in (file.read, file.tell, lambda: file.seek(0)):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_a_zip_file_inside_can_be_read() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("one.txt", "one")
        archive.writestr("two.txt", "two" * 10_000)
    content = packed.getvalue()
    with zipfile.ZipFile(opened(Store(content), content)) as archive:
        assert archive.read("two.txt") == b"two" * 10_000
        assert archive.testzip() is None


def test_a_connection_that_breaks_is_replaced_where_it_broke() -> None:
    store = Store(breaks_after=70_000)
    assert opened(store).readall() == CONTENT
    assert store.made.starts == [0, 70_000, 140_000, 210_000, 280_000]


def test_a_connection_that_gives_nothing_is_given_up() -> None:
    store = Store(breaks_after=0)
    with pytest.raises(ConnectionFailed):
        opened(store).read(10)
    assert len(store.made.starts) == 4


def test_a_connection_that_gives_a_few_bytes_at_a_time_is_given_up() -> None:
    store = Store(breaks_after=20)
    with pytest.raises(ConnectionFailed):
        opened(store).readall()
    assert store.made.starts == [0, 20, 40, 60]


def test_an_answer_that_ends_too_early_is_asked_for_again_from_there() -> None:
    class Short(Reader):
        def open(self, start: int, /) -> Stream:
            self.starts.append(start)
            return Stream(self._content[start : start + 100_000], None)

    store = Store()
    store.made = Short(CONTENT, None)
    assert opened(store).readall() == CONTENT
    assert store.made.starts == [0, 100_000, 200_000]


def test_a_store_that_cannot_be_reached_is_not_asked_again() -> None:
    class Gone(Reader):
        def open(self, start: int, /) -> Stream:
            self.starts.append(start)
            raise ConnectionFailed("nothing listens there")

    store = Store()
    store.made = Gone(CONTENT, None)
    with pytest.raises(ConnectionFailed):
        opened(store).read(10)
    assert store.made.starts == [0]


@pytest.mark.parametrize("block", [-1, 1, 70_001])
def test_a_flipped_bit_is_never_handed_out_as_whole(block: int) -> None:
    content = CONTENT[:70_001]
    damaged = bytes([content[0] ^ 1]) + content[1:]
    file = opened(Store(damaged), content)
    with pytest.raises(ChecksumError, match=r"a\.bin arrived, but is not what was uploaded"):
        while file.read(block):
            pass


def test_content_shorter_than_stated_is_an_error() -> None:
    with pytest.raises(BadResponse, match="less of a.bin"):
        opened(Store(CONTENT[:-1])).readall()


def test_an_empty_file_asks_nothing() -> None:
    store = Store(b"")
    assert opened(store, b"").read() == b""
    assert store.made.starts == []


def test_the_address_lives_as_long_as_asked() -> None:
    assert opened(Store()).download_url(60).endswith("expires_in=60")


def test_the_repr_says_what_it_is() -> None:
    assert repr(opened(Store())) == "<File 'runs/a.bin', 300000 bytes>"
