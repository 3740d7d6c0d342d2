"""`File` against a store whose connections break, lie and count."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import pickle
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from PIL import Image

from edge_core.errors import BadResponse, ChecksumError, ConnectionFailed
from edge_vfs import File, digests

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
    with pytest.raises(OSError, match="before the beginning"):
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


def outcome(call: Callable[[Any], Any], file: Any) -> Any:
    """What a call of a file gives: its result, or the class of its error and the error number."""
    try:
        return call(file)
    except Exception as error:
        return type(error), getattr(error, "errno", None)


def text_of(file: Any, encoding: str) -> str:
    with io.TextIOWrapper(file, encoding, newline="") as text:
        return text.read()


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    """Content of each kind, whole and cut short."""
    text = b'{"sample": "007", "value": 1.5}\n' * 400
    archive, array, picture, packed = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as zipped:
        zipped.writestr("one.txt", "one")
    with tarfile.open(fileobj=archive, mode="w:gz") as tarred:
        tarred.addfile(tarfile.TarInfo("one.txt"))
    numpy.save(array, numpy.arange(3000))
    Image.effect_noise((40, 30), 50).save(picture, "PNG")
    whole = {
        "text": text,
        "json": b"[1, null]",
        "csv": b"a,b\n1,2\n",
        "latin-1": b"gr\xfcn",
        "gz": gzip.compress(text),
        "zip": packed.getvalue(),
        "tar": archive.getvalue(),
        "npy": array.getvalue(),
        "png": picture.getvalue(),
    }
    cut = {f"half of {name}": content[: len(content) // 2] for name, content in whole.items()}
    return {**whole, **cut, "nothing": b"", "a byte": b"P", "a head": b"PK\3\4"}


READERS: dict[str, Callable[[Any], Any]] = {
    "gzip": lambda file: gzip.GzipFile(fileobj=file).read(),
    "zip": lambda file: zipfile.ZipFile(file).read("one.txt"),
    "is_zipfile": zipfile.is_zipfile,
    "tar": lambda file: tarfile.TarFile.open(fileobj=file).getnames(),
    "text": lambda file: text_of(file, "utf-8"),
    "csv": lambda file: list(csv.reader(io.StringIO(text_of(file, "latin-1"), newline=""))),
    "json": json.load,
    "pickle": pickle.load,
    "pandas": lambda file: pandas.read_csv(file).to_dict("list"),
    "numpy": lambda file: numpy.load(file).tolist(),
    "pillow": lambda file: Image.open(file).tobytes(),
    "before the beginning": lambda file: file.seek(-1),
    "from the end": lambda file: (file.seek(-10, os.SEEK_END), file.read()),
    "before the position": lambda file: file.seek(-1, os.SEEK_CUR),
    "a fraction": lambda file: file.seek(1.0),
    "no offset": lambda file: file.seek(None),
    "whence": lambda file: file.seek(0, 9),
    "beyond the end": lambda file: (file.seek(10**6), file.read(), file.tell()),
}


@pytest.mark.parametrize("reader", READERS)
def test_readers_get_what_a_local_file_gives(contents: dict[str, bytes], reader: str, tmp_path: Path) -> None:
    local = tmp_path / "a.bin"
    for name, content in contents.items():
        local.write_bytes(content)
        with local.open("rb") as file:
            expected = outcome(READERS[reader], file)
        assert outcome(READERS[reader], opened(Store(content), content)) == expected, name


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


@pytest.mark.parametrize("block", [-1, 1, 70_001])
@pytest.mark.parametrize("part_size", [1000, 35_000, 70_000, 70_001])
def test_content_in_parts_is_checked_against_its_digest(block: int, part_size: int) -> None:
    content = CONTENT[:70_001]
    content_hash = digests.Hash(part_size)
    content_hash.update(content)
    stat = {"sha256": None, "digest": content_hash.hexdigest(), "part_size": part_size}
    file = opened(Store(content), content, **stat)
    assert b"".join(iter(lambda: file.read(block), b"")) == content
    damaged = opened(Store(content[:-1] + b"?"), content, **stat)
    with pytest.raises(ChecksumError, match=r"a\.bin arrived, but is not what was uploaded"):
        while damaged.read(block):
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
