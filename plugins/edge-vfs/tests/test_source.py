"""What is uploaded is read in parts, by several threads where it can seek, and hashed on the way."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import tempfile
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_core.errors import BadEntry, EdgeError
from edge_vfs import Folder, InexactWarning, workers
from edge_vfs.progress import Tracker
from edge_vfs.source import Part, Source

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


def whole(source: Source, size: int) -> bytes:
    """Read all parts of `size` bytes."""
    blocks = []
    for part in source.parts(size):
        with contextlib.closing(part):
            blocks.append(part.read())
    return b"".join(blocks)


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
            assert part.digest("sha256") == hashlib.sha256(block).digest()
            assert part.digest("md5") == hashlib.md5(block).digest()
            part.close()
            sent.append(block)
        assert b"".join(sent) == CONTENT
        assert all(len(block) == part_size for block in sent[:-1])
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
                assert whole(source, 5000) == CONTENT
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
            with Source(file) as source:
                assert source.small(1 << 20) == CONTENT


def test_a_file_object_that_is_empty_is_uploaded(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    moved = io.BytesIO()
    moved.seek(5)
    with (tmp_path / "empty").open("rb") as file:
        for fileobj in (io.BytesIO(), moved, file, b"", tmp_path / "empty"):
            with Source(fileobj) as source:
                assert source.small(10) == b""


def test_a_part_that_is_sent_again_counts_once() -> None:
    for part in Source(CONTENT).parts(25_600):
        part.read(17)
        part.rewind()
        part.read()
        part.rewind()
        while part.read(4096):
            pass
        assert part.sha256() == hashlib.sha256(CONTENT).hexdigest()


def test_an_empty_source_has_no_parts() -> None:
    for fileobj in (b"", Pipe(b"")):
        source = Source(fileobj)
        assert source.small(10) == b""
        assert list(source.parts(10)) == []


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


# --- several threads


class Seekable:
    """A file object without a descriptor, whose position all threads share."""

    def __init__(self, content: bytes) -> None:
        self._inner = io.BytesIO(content)
        self.read = self._inner.read
        self.seek = self._inner.seek
        self.tell = self._inner.tell

    def seekable(self) -> bool:
        return True


def gzipped(tmp_path: Path) -> Any:
    with gzip.open(tmp_path / "content.gz", "wb") as file:
        file.write(CONTENT)
    return gzip.open(tmp_path / "content.gz", "rb")


def written(tmp_path: Path) -> Any:
    file = tempfile.TemporaryFile(dir=tmp_path)  # noqa: SIM115
    file.write(CONTENT)
    file.seek(0)
    return file


def own_class(tmp_path: Path) -> Any:
    class Reversed(io.FileIO):
        """Gives other bytes than those of its descriptor."""

        def read(self, size: int = -1) -> bytes:
            return bytes(255 - byte for byte in super().read(size) or b"")

    path = tmp_path / "reversed.bin"
    path.write_bytes(bytes(255 - byte for byte in CONTENT))
    return Reversed(path)


PLACES = SOURCES | {
    "no descriptor": lambda _: Seekable(CONTENT),
    "gzip": gzipped,
    "written": written,
    "own class": own_class,
    "unbuffered": lambda tmp_path: io.FileIO(on_disk(tmp_path)),
}


@pytest.mark.parametrize("without_pread", [False, True])
@pytest.mark.parametrize("make", PLACES.values(), ids=PLACES)
def test_threads_read_parts_at_the_same_time(
    make: Callable[[Path], Any], without_pread: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if without_pread:
        monkeypatch.delattr(os, "pread", raising=False)
    fileobj = make(tmp_path)
    received: dict[int, bytes] = {}

    def send(numbered: tuple[int, Part]) -> None:
        n, part = numbered
        with contextlib.closing(part):
            blocks = []
            while block := part.read(7):
                blocks.append(block)
            received[n] = b"".join(blocks)
            assert part.sha256() == hashlib.sha256(received[n]).hexdigest()

    with Source(fileobj) as source:
        workers.each(send, enumerate(source.parts(1000)), 8)
    assert b"".join(received[n] for n in sorted(received)) == CONTENT
    if hasattr(fileobj, "close") and not isinstance(fileobj, Path):
        assert not fileobj.closed
        fileobj.close()


def test_a_file_object_stands_at_its_end_afterwards(tmp_path: Path) -> None:
    for limit in (1, 1 << 20):
        for file in (on_disk(tmp_path).open("rb"), io.BytesIO(CONTENT)):
            file.seek(3)
            with Source(file) as source:
                if source.small(limit) is None:
                    assert whole(source, 1000) == CONTENT[3:]
            assert file.tell() == len(CONTENT)
            file.close()


def test_memory_is_not_copied() -> None:
    content = bytearray(8 << 20)
    tracemalloc.start()
    try:
        with Source(content) as source:
            for part in source.parts(4 << 20):
                while part.read(1 << 20):
                    pass
        assert tracemalloc.get_traced_memory()[1] < 3 << 20
    finally:
        tracemalloc.stop()


def test_what_cannot_seek_holds_only_the_parts_in_flight(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("edge_vfs.source.SPOOL", 3000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    files = []
    temporary = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: files.append(temporary(**options)) or files[-1])
    source = Source(Pipe(CONTENT))
    parts = source.parts(1000)
    in_flight = [next(parts) for _ in range(5)]
    assert len(files) == 2, "three are in memory"
    for n, part in enumerate(in_flight):
        assert part.read() == CONTENT[n * 1000 : (n + 1) * 1000]
        part.close()
    assert all(file.closed for file in files)
    for part in parts:
        part.close()
    assert len(files) == 2, "a part that is closed makes room for the next"


def test_a_part_is_not_read_any_more_once_the_call_has_ended(tmp_path: Path) -> None:
    stopped = threading.Event()
    source = Source(on_disk(tmp_path))
    part = next(source.parts(1000, stopped))
    part.read(10)
    stopped.set()
    with pytest.raises(workers.Stopped):
        part.read(10)
    with pytest.raises(workers.Stopped):
        part.digest("sha256")
    source.close()


@pytest.mark.skipif(not hasattr(os, "pread"), reason="files are read at a position of theirs")
def test_a_file_that_is_read_is_closed_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(on_disk(tmp_path))
    part = next(source.parts(1000))
    reads, goes_on = threading.Event(), threading.Event()
    pread = os.pread

    def slow(handle: int, size: int, offset: int) -> bytes:
        reads.set()
        assert goes_on.wait(60)
        return pread(handle, size, offset)

    monkeypatch.setattr(os, "pread", slow)
    blocks = []
    thread = threading.Thread(target=lambda: blocks.append(part.read()))
    thread.start()
    assert reads.wait(60)
    source.close()
    with open(tmp_path / "other", "wb") as other:  # would get the number of a file that is closed
        other.write(b"?" * 2000)
        goes_on.set()
        thread.join()
    assert blocks == [CONTENT[:1000]]
    part.rewind()
    with pytest.raises(workers.Stopped):
        part.read()


def test_a_part_that_does_not_count_is_not_counted() -> None:
    with Tracker("upload", "a", False) as tracker, Source(CONTENT) as source:
        tracker.expect(len(CONTENT))
        with tracker.file("a", len(CONTENT)) as source.tracker:
            for part in source.parts(25_600):
                part.skip()
                part.counts = False
                part.read()
                part.rewind()
        state = tracker._state()
        assert (state.bytes, state.skipped_bytes, state.total_bytes) == (0, len(CONTENT), len(CONTENT))


# --- what is changed while it is sent


@pytest.mark.parametrize("change", ["content", "longer", "time"])
def test_a_path_whose_file_is_written_meanwhile_is_noticed(change: str, tmp_path: Path) -> None:
    path = on_disk(tmp_path)
    os.utime(path, ns=(0, 1))
    with Source(path) as source:
        source.check_unchanged()
        if change == "content":
            path.write_bytes(CONTENT[::-1])
        elif change == "longer":
            with path.open("ab") as file:
                file.write(b"x")
            os.utime(path, ns=(0, 1))
        else:
            os.utime(path, ns=(0, 2))
        with pytest.raises(EdgeError, match="changed while it was being uploaded"):
            source.check_unchanged()
    with open(path, "rb") as file, Source(file) as source:
        os.utime(path, ns=(0, 3))
        source.check_unchanged()


# --- buffered readers of pipes


def test_what_a_reader_of_a_pipe_has_read_ahead_is_uploaded() -> None:
    read, write = os.pipe()
    os.write(write, CONTENT[:4000])
    with os.fdopen(read, "rb") as file:
        assert file.read(10) == CONTENT[:10]
        with Source(file) as source:
            os.write(write, CONTENT[4000:])
            os.close(write)
            assert source.small(100) is None
            assert whole(source, 1000) == CONTENT[10:]


def test_a_pipe_that_does_not_wait_is_an_error_and_not_the_end() -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)
    with os.fdopen(read, "rb") as file, Source(file) as source, pytest.raises(EdgeError, match="no data yet"):
        source.small(100)
    os.close(write)


@pytest.mark.parametrize("spool", [0, 1 << 20])
def test_blocks_of_a_pipe_are_read_in_pieces_of_any_size(spool: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_vfs.source.SPOOL", spool)
    monkeypatch.setattr("edge_vfs.source.BLOCK", 300)
    for size in (7, 300, 301, 1000):
        received = []
        for part in Source(Pipe(CONTENT)).parts(1000):
            with contextlib.closing(part):
                while block := part.read(size):
                    received.append(block)
                part.rewind()
                assert part.read(5) == CONTENT[sum(map(len, received)) - len(part) :][:5]
        assert b"".join(received) == CONTENT


def test_the_log_warns_before_there_are_too_many_parts(caplog: pytest.LogCaptureFixture) -> None:
    source = Source(Pipe(bytes(400)))
    parts = source.parts(10, most=20)
    for n, part in zip(range(1, 21), parts, strict=False):
        assert len(caplog.records) == (n >= 18)
        part.close()
    assert "180 bytes of what is uploaded were sent, and it can have up to 200 bytes" in caplog.text
    with pytest.raises(BadEntry, match="up to 20 parts of 10 bytes, and what is uploaded has more; write it to a file"):
        next(parts)
    assert len(caplog.records) == 1
