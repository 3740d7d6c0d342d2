"""What of the content that is read is checked: parts in any order where their digests are known, else all of it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import Any

import pytest

from edge_core.errors import BadResponse, ChecksumError
from edge_vfs import File, content, digests

from . import stores
from .test_fetching import Stat

PART = 1 << 20

CONTENT = random.Random(3).randbytes(5 * PART - 77)

PARTS = [hashlib.sha256(CONTENT[at : at + PART]).digest() for at in range(0, len(CONTENT), PART)]

DAMAGED = CONTENT[: 2 * PART + 5] + bytes([CONTENT[2 * PART + 5] ^ 1]) + CONTENT[2 * PART + 6 :]
"""In the third part."""


class KeepingReader(stores.Reader):
    def __init__(self, content: bytes, known: Sequence[bytes]) -> None:
        super().__init__(content, None)
        self.known = known
        self.digest_requests = 0

    def digests(self) -> Sequence[bytes]:
        self.digest_requests += 1
        return self.known


class Store:
    def __init__(self, reader: stores.Reader) -> None:
        self._reader = reader

    def reader(self, path: str, stat: Any, /) -> stores.Reader:
        return self._reader


def opened(reader: stores.Reader) -> File:
    stat = Stat("a.bin", len(CONTENT), None, digests.of_parts(PARTS), PART)
    return File(Store(reader), "a.bin", stat)  # type: ignore[arg-type]


def test_parts_are_checked_in_any_order() -> None:
    reader = KeepingReader(DAMAGED, PARTS)
    file = opened(reader)
    for n in (4, 1, 3, 0):
        file.seek(n * PART)
        assert file.read(PART) == CONTENT[n * PART : (n + 1) * PART]
    file.seek(2 * PART)
    with pytest.raises(ChecksumError, match=r"a\.bin arrived, but is not what was uploaded"):
        file.read(PART)
    assert reader.digest_requests == 1


def test_parts_inside_of_a_longer_read_are_checked() -> None:
    for start, stop in ((PART + 9, 3 * PART + 9), (2 * PART, 3 * PART), (0, 5 * PART)):
        file = opened(KeepingReader(DAMAGED, PARTS))
        file.seek(start)
        with pytest.raises(ChecksumError):
            file.read(stop - start)


def test_a_small_read_requests_no_digests() -> None:
    reader = KeepingReader(DAMAGED, PARTS)
    file = opened(reader)
    for start in (10, 2 * PART, 3 * PART - 100, len(CONTENT) - 50):
        file.seek(start)
        file.read(1000)
    file.seek(2 * PART + 1)
    assert file.read(PART) == DAMAGED[2 * PART + 1 : 3 * PART + 1], "what lacks the beginning of a part is not checked"
    assert reader.digest_requests == 0


@pytest.mark.parametrize("size", [1000, 70_000, PART, 2 * PART + 1, 5 * PART])
def test_all_of_the_content_is_checked_where_the_digests_of_parts_are_not_known(size: int) -> None:
    for reader in (stores.Reader(DAMAGED, None), KeepingReader(DAMAGED, ())):
        file = opened(reader)
        with pytest.raises(ChecksumError):
            while file.read(size):
                pass
    file = opened(stores.Reader(CONTENT, None))
    assert b"".join(iter(lambda: file.read(size), b"")) == CONTENT


def test_content_of_very_many_parts_is_checked_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MAX_PARTS_CHECKED", 4)
    reader = KeepingReader(DAMAGED, PARTS)
    with pytest.raises(ChecksumError):
        opened(reader).read()
    assert reader.digest_requests == 0


def test_a_reader_that_looks_elsewhere_and_comes_back_is_checked() -> None:
    file = opened(stores.Reader(DAMAGED, None))
    file.read(PART // 2)
    file.seek(-100, 2)
    file.read(100)
    file.seek(0)
    file.read(10)
    file.seek(PART // 2)
    with pytest.raises(ChecksumError):
        file.read()


def test_digests_that_are_not_of_this_content_are_an_error() -> None:
    for known in (PARTS[:-1], PARTS[::-1]):
        with pytest.raises(BadResponse, match=r"digests of the parts of a\.bin do not fit"):
            opened(KeepingReader(CONTENT, known)).read()
