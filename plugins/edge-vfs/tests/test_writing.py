"""Writers: what is written appears whole when they are closed, or not at all."""

from __future__ import annotations

import array
import codecs
import copy
import csv
import gc
import gzip
import io
import logging
import os
import pickle
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy
import pyarrow
import pytest

from edge_core.errors import AlreadyExists, ConnectionFailed, EdgeError
from edge_vfs.folder import Folder
from edge_vfs.progress import TransferProgress
from edge_vfs.source import BLOCK, Source
from edge_vfs.writing import AHEAD, TextWriter, Writer

from .memory import MemoryStore

LARGE = bytes(range(256)) * (3 * BLOCK // 256) + b"end"
ENOUGH = 10.0
"""Seconds in which a thread surely gets its turn."""


class Store(MemoryStore):
    """Keeps the sizes of the sources it was given, and waits at the first part until it may go on.

    Attributes:
        resume: of the last call of `write`.
        sizes: of each source, None where it was not known.
        may_go_on: set unless a test wants it to wait.
        ended: set once a call of `write` has ended.
        failure: raised in place of storing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.resume = True
        self.sizes: list[int | None] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.ended = threading.Event()
        self.failure: BaseException | None = None

    def write(self, path: str, source: Source, /, *, overwrite: bool, max_workers: int, resume: bool) -> None:
        self.resume = resume
        self.sizes.append(source.size)
        try:
            assert self.may_go_on.wait(ENOUGH)
            content = b"".join(part.read() for part in source.parts(BLOCK // 2))
            source.check_unchanged()
            if self.failure is not None:
                raise self.failure
            if path in self.contents and not overwrite:
                raise AlreadyExists(f"{path} exists")
            self.contents[path] = content
        finally:
            self.ended.set()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def folder(store: Store) -> Folder:
    return Folder(store)  # type: ignore[arg-type]


def test_what_is_written_appears_when_the_writer_is_closed(folder: Folder, store: Store) -> None:
    for content in (b"", b"abc", LARGE[:BLOCK], LARGE[: BLOCK + 1], LARGE):
        with folder.create("a.bin") as writer:
            assert not writer.closed
            for start in range(0, len(content), 100_003):
                assert writer.write(content[start : start + 100_003]) == len(content[start : start + 100_003])
            assert writer.tell() == len(content)
            assert "a.bin" not in store.contents
        assert writer.closed
        assert not store.resume, "what another writer sent is never resumed"
        assert store.contents.pop("a.bin") == content
        assert store.sizes.pop() == (len(content) if len(content) <= BLOCK else None)


def test_a_large_object_is_written_at_once(folder: Folder, store: Store) -> None:
    with folder.create("a.bin") as writer:
        assert writer.write(LARGE) == len(LARGE)
        writer.writelines([b"x", b"y"])
        writer.flush()
    assert store.contents["a.bin"] == LARGE + b"xy"


@pytest.mark.parametrize("content", [b"abc", LARGE], ids=["small", "large"])
def test_an_exception_leaves_the_file_as_it_was(folder: Folder, store: Store, content: bytes) -> None:
    store.contents["a.bin"] = b"before"
    for encoding in (None, "latin-1"):
        with pytest.raises(ZeroDivisionError), folder.create("a.bin", encoding=encoding) as writer:  # type: ignore[call-overload]
            writer.write(content if encoding is None else content.decode(encoding))
            raise ZeroDivisionError
        assert writer.closed
        assert store.contents == {"a.bin": b"before"}
    assert store.ended.is_set() == (content is LARGE), "what was never begun needs no end"


def test_a_writer_that_is_discarded_stores_nothing(folder: Folder, store: Store) -> None:
    for content in (b"abc", LARGE):
        writer = folder.create("a.bin")
        writer.write(content)
        writer.discard()
        writer.discard()
        writer.close()
        assert not store.contents
        with pytest.raises(ValueError, match="the writer of /a.bin is closed"):
            writer.write(b"d")
    with folder.create("b.txt", encoding="utf-8") as text:
        text.discard()
    assert not store.contents


Wrap = Callable[[Folder], Any]


def _text_wrapper(folder: Folder) -> Any:
    return io.TextIOWrapper(folder.create("a.bin"), encoding="latin-1")  # type: ignore[arg-type,type-var]


def _text(folder: Folder) -> Any:
    return folder.create("a.bin", encoding="latin-1")


def _buffered(folder: Folder) -> Any:
    return io.BufferedWriter(folder.create("a.bin"))  # type: ignore[arg-type]


def _zipped(folder: Folder) -> Any:
    return gzip.GzipFile(fileobj=folder.create("a.bin"), mode="wb")


def _in_a_cycle(folder: Folder) -> Any:
    writer = folder.create("a.bin")
    writer.itself = writer  # type: ignore[attr-defined]
    return writer


def collect(held: list[Any]) -> None:
    held.clear()
    gc.collect()


@pytest.mark.parametrize("content", [b"abc", LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    "wrap", [lambda folder: folder.create("a.bin"), _text, _text_wrapper, _buffered, _zipped, _in_a_cycle]
)
def test_a_writer_that_is_collected_stores_nothing_and_warns(
    folder: Folder, store: Store, wrap: Wrap, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    held = [wrap(folder)]
    held[0].write(content.decode("latin-1") if isinstance(held[0], io.TextIOBase) else content)
    with pytest.warns(ResourceWarning, match="/a.bin was not stored, since its writer was never closed"):
        collect(held)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert not store.sizes or store.ended.wait(ENOUGH), "its thread ends"
    assert not store.contents


def test_a_writer_that_is_closed_does_not_warn(folder: Folder) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for content in ("abc", "abc" * BLOCK):
            for wrap in (_text, _text_wrapper):
                with wrap(folder) as writer:
                    writer.write(content)
        gc.collect()


def test_what_cannot_be_sent_is_raised_by_the_writer(folder: Folder, store: Store) -> None:
    store.failure = ConnectionFailed("the connection broke")
    writer = folder.create("a.bin")
    writer.write(b"abc")
    with pytest.raises(ConnectionFailed):
        writer.close()
    assert writer.closed
    writer.close()
    with pytest.raises(ConnectionFailed), folder.create("a.bin") as writer:
        writer.write(LARGE)
    assert not store.contents


def test_a_failure_is_raised_by_the_next_write(folder: Folder, store: Store) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionFailed("the connection broke")

    store.write = fail  # type: ignore[method-assign]
    writer = folder.create("a.bin")
    with pytest.raises(ConnectionFailed):
        for _ in range(AHEAD + 3):
            writer.write(bytes(BLOCK))
    for again in (lambda: writer.write(b"a"), writer.flush, writer.close):
        with pytest.raises(ConnectionFailed):
            again()
    assert writer.closed
    writer.close()


def test_an_interrupted_write_leaves_no_gap(folder: Folder, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = folder.create("a.bin")
    take = Writer._take

    def interrupted(self: Writer, block: memoryview) -> None:
        take(self, block)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Writer, "_take", interrupted)
        with pytest.raises(KeyboardInterrupt):
            writer.write(LARGE)
    with pytest.raises(KeyboardInterrupt):
        writer.close()
    assert not store.contents


def test_text_keeps_its_newlines(folder: Folder, store: Store) -> None:
    with folder.create("a.txt", encoding="utf-16") as text:
        assert isinstance(text, TextWriter)
        text.write("a\nb\r\nc")
        text.write("ä")
    assert store.contents["a.txt"] == "a\nb\r\ncä".encode("utf-16")
    with folder.create("a.csv", encoding="utf-8") as text:
        csv.writer(text).writerows([["a", 1], ["b", 2]])
    assert store.contents["a.csv"] == b"a,1\r\nb,2\r\n"
    with pytest.raises(LookupError):
        folder.create("a.txt", encoding="unknown")
    with pytest.raises(UnicodeEncodeError), folder.create("a.csv", encoding="ascii") as text:
        text.write("ä")
    assert store.contents["a.csv"] == b"a,1\r\nb,2\r\n"
    codecs.getwriter("utf-8")(folder.create("b.txt")).close()
    assert store.contents["b.txt"] == b""


def test_text_that_cannot_be_flushed_is_not_stored_without_its_end(
    folder: Folder, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = folder.create("a.txt", encoding="utf-8")
    writer.write("abc")

    def interrupted(self: Writer, content: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Writer, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        writer.close()
    assert writer.closed
    assert not store.contents


TABLE = numpy.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(content, expected, id=name)
        for name, content, expected in (
            ("bytearray", bytearray(b"abc"), b"abc"),
            ("doubles", memoryview(array.array("d", [1.5])), array.array("d", [1.5]).tobytes()),
            ("arrow", pyarrow.py_buffer(b"abc"), b"abc"),
            ("array", TABLE, TABLE.tobytes()),
            ("fortran", numpy.asfortranarray(TABLE), TABLE.tobytes()),
            ("strided", TABLE[:, ::2], TABLE[:, ::2].tobytes()),
            ("swapped", TABLE.astype(">f8"), TABLE.astype(">f8").tobytes()),
            ("records", numpy.zeros(3, [("a", "i4"), ("b", "f8")]), bytes(36)),
            ("empty", numpy.zeros((0, 3)), b""),
            ("scalar", numpy.float64(1.5), numpy.float64(1.5).tobytes()),
        )
    ],
)
def test_any_buffer_is_written(folder: Folder, store: Store, content: Any, expected: bytes) -> None:
    with folder.create("a.bin") as writer:
        assert writer.write(content) == len(expected)
    assert store.contents["a.bin"] == expected
    if isinstance(content, bytearray):
        content += b"d"  # an error as long as it is held
    else:
        assert folder.write_bytes("b.bin", content) == len(expected)
        assert store.contents["b.bin"] == expected


def test_a_buffer_can_be_used_again_at_once(folder: Folder, store: Store) -> None:
    block = bytearray(b"a" * (2 * BLOCK))
    with folder.create("a.bin") as writer:
        writer.write(block)
        block[:] = b"b" * (2 * BLOCK)
        writer.write(block)
    assert store.contents["a.bin"] == b"a" * (2 * BLOCK) + b"b" * (2 * BLOCK)


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        (lambda writer: writer.write("text"), "written as bytes, not text; give create an encoding"),
        (lambda writer: writer.write(7), "written as bytes, not int"),
        (lambda writer: writer.seek(0), "seek: /a.bin is sent while it is written.*write a local file and upload"),
        (lambda writer: writer.truncate(), "truncate: /a.bin is sent while it is written"),
        (lambda writer: writer.read(), "/a.bin is being written; close it, then open it to read"),
        (pickle.dumps, "can be neither pickled nor copied"),
        (copy.copy, "can be neither pickled nor copied"),
    ],
)
def test_what_a_writer_cannot_do_is_refused_by_a_sentence(
    folder: Folder, store: Store, use: Any, sentence: str
) -> None:
    with folder.create("a.bin") as writer:
        writer.write(b"abc")
        with pytest.raises((TypeError, io.UnsupportedOperation), match=sentence):
            use(writer)
    assert store.contents["a.bin"] == b"abc"


def test_a_writer_is_a_file_object(folder: Folder) -> None:
    with folder.create("runs/a.bin") as writer:
        assert (writer.readable(), writer.writable(), writer.seekable(), writer.isatty()) == (False, True, False, False)
        assert (writer.name, writer.mode) == ("/runs/a.bin", "wb")
        assert repr(writer) == "<Writer '/runs/a.bin', open>"
        with pytest.raises(io.UnsupportedOperation):
            writer.fileno()
    assert repr(writer) == "<Writer '/runs/a.bin', closed>"
    for use in (writer.tell, writer.writable, writer.flush):
        with pytest.raises(ValueError, match="is closed"):
            use()
    with folder.create("runs/a.txt", encoding="utf-8") as text, pytest.raises(TypeError, match="neither pickled"):
        pickle.dumps(text)


def test_threads_write_each_call_as_a_whole(folder: Folder, store: Store) -> None:
    def write(line: bytes) -> None:
        for _ in range(40):
            writer.write(line)

    lines = [bytes([65 + n]) * 99_999 + b"\n" for n in range(4)]
    with folder.create("a.txt") as writer:
        threads = [threading.Thread(target=write, args=(line,)) for line in lines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(store.contents["a.txt"].splitlines(keepends=True)) == sorted(lines * 40)


def test_little_is_held_while_a_store_is_slow(folder: Folder, store: Store) -> None:
    store.may_go_on.clear()
    blocks = iter(lambda: bytes(BLOCK), None)
    written: list[int] = []
    is_waiting = threading.Event()

    def write() -> None:
        with folder.create("a.bin") as writer:
            for block in blocks:
                if len(written) == AHEAD + 1:
                    is_waiting.set()
                if len(written) == AHEAD + 5:
                    return
                written.append(writer.write(block))

    thread = threading.Thread(target=write)
    thread.start()
    assert is_waiting.wait(ENOUGH)
    thread.join(0.1)
    assert len(written) == AHEAD + 1, "the next one waits"
    store.may_go_on.set()
    thread.join(ENOUGH)
    assert len(store.contents["a.bin"]) == (AHEAD + 5) * BLOCK


def test_another_thread_discards_a_writer_that_waits(folder: Folder, store: Store) -> None:
    store.may_go_on.clear()
    writer = folder.create("a.bin")
    writer.write(bytes((AHEAD + 1) * BLOCK))
    errors: list[Exception] = []

    def write() -> None:
        try:
            writer.write(bytes(8 * BLOCK))
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    discarding = threading.Thread(target=writer.discard)
    discarding.start()
    thread.join(ENOUGH)
    assert "is closed" in str(errors[0])
    store.may_go_on.set()
    discarding.join(ENOUGH)
    assert store.ended.is_set()
    assert not store.contents


@pytest.fixture
def forked() -> Callable[[Callable[[], None]], int]:
    """Runs something in a forked process, and returns its exit code."""

    def run(work: Callable[[], None]) -> int:
        child = os.fork()
        if not child:
            try:
                work()
                os._exit(0)
            except EdgeError as error:
                os._exit(7 if "forked" in str(error) else 8)
            except BaseException:
                os._exit(9)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return run


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.parametrize("content", [b"abc", LARGE], ids=["small", "large"])
def test_a_forked_process_leaves_a_writer_alone(
    folder: Folder, store: Store, content: bytes, forked: Callable[[Callable[[], None]], int]
) -> None:
    with folder.create("a.bin") as writer:
        writer.write(content)
        assert forked(lambda: writer.write(b"d") and None) == 7
        assert forked(writer.close) == 7
        assert forked(writer.discard) == 0
        assert forked(writer._discard_unclosed) == 0
        writer.write(b"end")
    assert store.contents["a.bin"] == content + b"end"


def test_a_file_is_not_replaced_unless_that_is_allowed(folder: Folder, store: Store) -> None:
    store.contents["a.bin"] = b"before"
    with pytest.raises(AlreadyExists, match="'a.bin' exists already; choose another name, or overwrite=True"):
        folder.create("a.bin", overwrite=False)
    for content in (b"abc", LARGE):
        with pytest.raises(AlreadyExists, match="exists already"), folder.create("b.bin", overwrite=False) as writer:
            writer.write(content)
            store.contents["b.bin"] = b"by another"
        assert store.contents.pop("b.bin") == b"by another"


def test_progress_is_that_of_an_upload(folder: Folder) -> None:
    for content in (b"abc", LARGE):
        reports: list[TransferProgress] = []
        with folder.create("a.bin", progress=reports.append) as writer:
            writer.write(content)
        assert (reports[-1].direction, reports[-1].phase) == ("upload", "completing")
        assert (reports[-1].bytes, reports[-1].files) == (len(content), 1)
