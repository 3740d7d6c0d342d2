"""`File` against a store whose connections break, lie and count."""

from __future__ import annotations

import hashlib
import io
import random
import zipfile
from typing import Any

import pytest

from edge_core.errors import BadResponse, ChecksumError, ConnectionFailed
from edge_vfs import File

from .stores import Reader, Stat, Store, Stream

CONTENT = random.Random(7).randbytes(300_000)


def opened(store: Store, content: bytes = CONTENT, **stat: Any) -> File:
    known = {"name": "a.bin", "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), **stat}
    return File(store, "runs/a.bin", Stat(**known))  # type: ignore[arg-type]


def test_opening_sends_nothing_and_reading_on_is_a_single_request() -> None:
    store = Store(CONTENT)
    with opened(store) as file:
        assert (file.basename, file.size, file.tell()) == ("a.bin", len(CONTENT), 0)
        assert store.content_reader.starts == []
        read = b"".join(iter(lambda: file.read(10_000), b""))
    assert read == CONTENT
    assert store.content_reader.starts == [0]


def test_a_seek_costs_a_request_at_the_next_read_only() -> None:
    store = Store(CONTENT)
    file = opened(store)
    file.seek(100)
    file.seek(150_000)
    assert store.content_reader.starts == []
    assert file.read(5000) == CONTENT[150_000:155_000]
    file.seek(-1000, 1)
    assert file.tell() == 154_000
    assert file.read(3) == CONTENT[154_000:154_003], "what was just read is kept"
    file.seek(100)
    assert file.read(5000) == CONTENT[100:5100]
    assert store.content_reader.ranges == [(150_000, 155_000), (100, 5100)], "and no more is asked for than is read"


def test_it_is_a_raw_binary_file_as_python_knows_them() -> None:
    file = opened(Store(CONTENT))
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
    store = Store(CONTENT, breaks_after=70_000)
    assert opened(store).readall() == CONTENT
    assert store.content_reader.starts == [0, 70_000, 140_000, 210_000, 280_000]


def test_a_connection_without_progress_is_an_error() -> None:
    store = Store(CONTENT, breaks_after=0)
    with pytest.raises(ConnectionFailed):
        opened(store).read(10)
    assert len(store.content_reader.starts) == 4


def test_a_connection_that_breaks_after_every_few_bytes_is_an_error() -> None:
    store = Store(CONTENT, breaks_after=20)
    with pytest.raises(ConnectionFailed):
        opened(store).readall()
    assert store.content_reader.starts == [0, 20, 40, 60]


def test_an_answer_that_ends_too_early_is_requested_again_from_there() -> None:
    class Short(Reader):
        def open(self, start: int, stop: int, /) -> Stream:
            return super().open(start, min(stop, start + 100_000))

    store = Store(CONTENT)
    store.content_reader = Short(CONTENT, None)
    assert opened(store).readall() == CONTENT
    assert store.content_reader.starts == [0, 100_000, 200_000]


def test_a_store_that_cannot_be_reached_is_not_called_again() -> None:
    class Gone(Reader):
        def open(self, start: int, stop: int, /) -> Stream:
            super().open(start, stop)
            raise ConnectionFailed("nothing listens there")

    store = Store(CONTENT)
    store.content_reader = Gone(CONTENT, None)
    with pytest.raises(ConnectionFailed):
        opened(store).read(10)
    assert store.content_reader.starts == [0]


@pytest.mark.parametrize("block", [-1, 1, 70_001])
def test_a_flipped_bit_is_never_handed_out_as_whole(block: int) -> None:
    content = CONTENT[:70_001]
    damaged = bytes([content[0] ^ 1]) + content[1:]
    file = opened(Store(damaged), content)
    with pytest.raises(ChecksumError, match=r"a\.bin arrived, but is not what was uploaded"):
        while file.read(block):
            pass


def test_content_shorter_than_its_size_is_an_error() -> None:
    with pytest.raises(BadResponse, match="less of a.bin"):
        opened(Store(CONTENT[:-1])).readall()


def test_an_empty_file_sends_no_request() -> None:
    store = Store(b"")
    assert opened(store, b"").read() == b""
    assert store.content_reader.starts == []


def test_the_address_lives_as_long_as_requested() -> None:
    assert opened(Store(CONTENT)).download_url(60).endswith("expires_in=60")


def test_the_repr_has_path_and_size() -> None:
    assert repr(opened(Store(CONTENT))) == "<File '/runs/a.bin', 300000 bytes>"
