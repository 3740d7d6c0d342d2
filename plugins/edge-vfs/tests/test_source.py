"""What is uploaded is read once, in order, and hashed on the way."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_core.errors import BadEntry, EdgeError
from edge_vfs import Folder, InexactWarning
from edge_vfs.source import Source

from .stores import Store

CONTENT = bytes(range(256)) * 100


class Pipe(io.RawIOBase):
    """Gives its bytes a few at a time, and cannot seek."""

    def __init__(self, content: bytes) -> None:
        self._inner = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._inner.readinto(memoryview(buffer)[:1000])


class Reads:
    """Has `read` and nothing else."""

    def __init__(self, content: bytes) -> None:
        self._inner = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(size)


def on_disk(tmp_path: Path) -> Any:
    path = tmp_path / "content.bin"
    path.write_bytes(CONTENT)
    return path


SOURCES: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda _: CONTENT,
    "bytearray": lambda _: bytearray(CONTENT),
    "memoryview": lambda _: memoryview(CONTENT),
    "path": on_disk,
    "text path": lambda tmp_path: str(on_disk(tmp_path)),
    "open file": lambda tmp_path: on_disk(tmp_path).open("rb"),
    "BytesIO": lambda _: io.BytesIO(CONTENT),
    "pipe": lambda _: Pipe(CONTENT),
    "only read": lambda _: Reads(CONTENT),
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("part_size", [1000, 25_600, 10_000, 100_000])
def test_the_parts_are_the_content_and_their_digests_are_right(
    make: Callable[[Path], Any], part_size: int, tmp_path: Path
) -> None:
    fileobj = make(tmp_path)
    with Source(fileobj) as source:
        assert source.size in (None, len(CONTENT))
        sent = []
        for part in source.parts(part_size):
            block = part.read()
            assert len(part) == len(block) <= part_size
            assert part.sha256() == hashlib.sha256(block).hexdigest()
            sent.append(block)
        assert b"".join(sent) == CONTENT
        assert all(len(block) == part_size for block in sent[:-1])
        assert source.sha256() == hashlib.sha256(CONTENT).hexdigest()
    if isinstance(fileobj, io.IOBase):
        assert not fileobj.closed, "the caller's file stays open"
        fileobj.close()


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_small_content_is_taken_whole_and_large_content_loses_nothing(
    make: Callable[[Path], Any], tmp_path: Path
) -> None:
    for limit, small in [(len(CONTENT), CONTENT), (len(CONTENT) - 1, None)]:
        fileobj = make(tmp_path)
        with Source(fileobj) as source:
            assert source.small(limit) == small
            if small is None:
                assert b"".join(part.read() for part in source.parts(5000)) == CONTENT
            assert source.sha256() == hashlib.sha256(CONTENT).hexdigest()
        if isinstance(fileobj, io.IOBase):
            fileobj.close()


def test_a_file_is_read_from_its_current_position() -> None:
    file = io.BytesIO(CONTENT)
    file.seek(100)
    assert Source(file).small(1 << 20) == CONTENT[100:]


@pytest.mark.parametrize("beyond", [0, 10])
def test_a_file_object_at_its_end_is_refused(beyond: int, tmp_path: Path) -> None:
    written = io.BytesIO()
    written.write(CONTENT)
    with on_disk(tmp_path).open("rb") as read, tempfile.TemporaryFile() as temporary:
        read.read()
        temporary.write(CONTENT)
        for file in (written, read, temporary):
            file.seek(beyond, os.SEEK_END)
            with pytest.raises(BadEntry, match=r"seek\(0\)"):
                Source(file)
            file.seek(0)
            assert Source(file).small(1 << 20) == CONTENT


def test_a_file_object_that_is_empty_is_uploaded(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    moved = io.BytesIO()
    moved.seek(5)
    with (tmp_path / "empty").open("rb") as file:
        for fileobj in (io.BytesIO(), moved, file, b"", tmp_path / "empty"):
            with Source(fileobj) as source:
                assert source.small(10) == b""


def test_a_part_that_is_sent_again_counts_once() -> None:
    source = Source(CONTENT)
    for part in source.parts(10_000):
        part.read(17)
        part.rewind()
        part.read()
        part.rewind()
        while part.read(4096):
            pass
    assert source.sha256() == hashlib.sha256(CONTENT).hexdigest()


def test_an_empty_source_has_no_parts_and_the_digest_of_nothing() -> None:
    for fileobj in (b"", Pipe(b"")):
        source = Source(fileobj)
        assert source.small(10) == b""
        assert list(source.parts(10)) == []
        assert source.sha256() == hashlib.sha256(b"").hexdigest()


def test_a_real_pipe_can_be_uploaded() -> None:
    read, write = os.pipe()

    def feed() -> None:
        with os.fdopen(write, "wb") as file:
            file.write(CONTENT)

    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(read, "rb") as file, Source(file) as source:
        assert source.size is None
        assert source.small(len(CONTENT)) == CONTENT
    thread.join()


@pytest.mark.parametrize("fileobj", [io.StringIO("text"), 42, None, ["a"]])
def test_other_types_are_a_type_error(fileobj: Any) -> None:
    with pytest.raises(TypeError):
        Source(fileobj)


def test_a_file_object_that_turns_out_to_give_text_is_a_type_error() -> None:
    class Text:
        def read(self, size: int = -1) -> str:
            return "text"

    with pytest.raises(TypeError, match="binary mode"):
        Source(Text()).small(10)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_a_reader_may_give_a_buffer_that_it_fills_again(kind: type) -> None:
    class Refilling:
        def __init__(self) -> None:
            self.buffer = bytearray(b"abcd")
            self.left = 2

        def read(self, size: int = -1) -> Any:
            self.left -= 1
            self.buffer[:] = b"abcd" if self.left else b"efgh"
            return kind(self.buffer) if self.left >= 0 else b""

    assert Source(Refilling()).small(10) == b"abcdefgh"  # type: ignore[arg-type]


def test_a_reader_that_gives_neither_text_nor_bytes_is_named_by_what_it_gives() -> None:
    class Readings:
        def read(self, size: int = -1) -> Any:
            return [1, 2]

    with pytest.raises(TypeError, match="gives list; it must give bytes"):
        Source(Readings()).small(10)  # type: ignore[arg-type]


def test_a_missing_local_file_is_the_usual_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Source(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        Source(tmp_path)


def test_a_file_that_shrinks_meanwhile_is_never_uploaded_short(tmp_path: Path) -> None:
    path = on_disk(tmp_path)
    with Source(path) as source:
        os.truncate(path, 100)
        with pytest.raises(EdgeError, match="changed while"):
            for part in source.parts(10_000):
                while part.read(4096):
                    pass
    with Source(on_disk(tmp_path)) as source:
        os.truncate(path, 100)
        with pytest.raises(EdgeError, match="changed while"):
            source.small(1 << 20)


def test_a_local_read_error_is_not_a_connection_error() -> None:
    class Failing(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(EdgeError, match="local file cannot be read"):
        Source(Failing()).small(10)


def test_a_path_has_the_time_of_its_file_and_other_sources_have_none(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a")
    os.utime(path, ns=(5, 1_700_000_000_123_456_789))
    for local in (path, str(path)):
        with Source(local) as source:
            assert source.mtime_ns == 1_700_000_000_123_456_789
    with open(path, "rb") as file, Source(file) as source:
        assert source.mtime_ns is None
    with Source(b"a") as source:
        assert source.mtime_ns is None


def test_a_time_that_cannot_be_kept_gives_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a")
    fstat = os.fstat

    class Status:
        st_mode = path.stat().st_mode
        st_mtime_ns = 1 << 63

    monkeypatch.setattr(os, "fstat", lambda handle: Status())
    with pytest.warns(InexactWarning, match="the time of modification of .* cannot be kept"), Source(path) as source:
        assert source.mtime_ns is None
    monkeypatch.setattr(os, "fstat", fstat)


def test_a_store_that_cannot_copy_says_what_to_do() -> None:
    with pytest.raises(BadEntry, match="this store cannot copy; download the file and upload it under the new name"):
        Folder(Store(b"")).copy("a", "b")  # type: ignore[arg-type]
