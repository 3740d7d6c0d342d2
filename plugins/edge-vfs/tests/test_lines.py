"""Lines of a `File`: what a reader gets is what Python's own buffered reader gets, in as few requests."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import pickle
import random
import tarfile
import threading
from typing import Any

import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_core.errors import ConnectionFailed
from edge_vfs import File

from .stores import Reader, Stat, Store, Stream

FASTQ = b"".join(
    b"@read %d\n%s\n+\n%s\n" % (n, bytes(random.Random(n).choices(b"ACGT", k=150)), b"F" * 150) for n in range(3000)
)


def opened(content: bytes, name: str = "a.txt") -> tuple[File, Reader]:
    store = Store(content)
    stat = Stat(name, len(content), hashlib.sha256(content).hexdigest())
    return File(store, f"runs/{name}", stat), store.content_reader  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"a",
        b"a\nb",
        b"a\r\nb\rc\n\n\nd\n",
        b"x" * 300_000 + b"\n" + b"y" * 70_000,
        b"\n" * 20_000,
        FASTQ,
    ],
)
def test_lines_are_those_of_a_buffered_reader_in_a_single_request(content: bytes) -> None:
    expected = io.BytesIO(content).readlines()
    for read in (list, File.readlines, lambda file: list(iter(file.readline, b""))):
        file, reader = opened(content)
        assert read(file) == expected
        assert file.tell() == len(content)
        assert reader.starts == ([0] if content else [])


def test_a_line_reads_a_block_and_not_byte_by_byte() -> None:
    file, reader = opened(FASTQ)
    file.seek(500_000)
    file.readline()
    assert file.readline() == FASTQ[500_000:].split(b"\n")[1] + b"\n"
    assert reader.ranges == [(500_000, 500_000 + io.DEFAULT_BUFFER_SIZE)]


calls = st.one_of(
    st.tuples(st.just("read"), st.integers(0, 40_000)),
    st.tuples(st.just("readline"), st.sampled_from([-1, None, 0, 1, 7, 30_000])),
    st.tuples(st.just("seek"), st.integers(0, 120_000)),
    st.tuples(st.just("__next__")),
    st.tuples(st.just("peek"), st.integers(0, 20_000)),
    st.tuples(st.just("readlines"), st.integers(1, 5000)),
    st.tuples(st.just("islice")),
)


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(
    pieces=st.lists(st.sampled_from([b"\n", b"\r\n", b"ab\n", b"x" * 5000, b"y" * 9000 + b"\n", b"\n" * 3000])),
    sequence=st.lists(calls, max_size=12),
)
def test_any_sequence_of_calls_gives_what_a_local_file_gives(pieces: list[bytes], sequence: list[Any]) -> None:
    content = b"".join(pieces)
    file, _ = opened(content)
    local = io.BufferedReader(io.BytesIO(content))  # type: ignore[type-var]
    for name, *arguments in sequence:
        if name == "peek":
            ahead = file.peek(*arguments)
            left = content[local.tell() :]
            assert left.startswith(ahead)
            assert len(ahead) >= min(len(left), max(arguments[0], 1))
        elif name == "__next__":
            assert next(file, b"") == next(local, b"")
        elif name == "islice":
            assert list(itertools.islice(file, 2)) == list(itertools.islice(local, 2))
        else:
            assert getattr(file, name)(*arguments) == getattr(local, name)(*arguments)
        assert file.tell() == local.tell()
    assert file.read() == local.read()


def test_moving_inside_a_loop_over_lines_is_followed() -> None:
    file, _ = opened(b"".join(b"%d\n" % n for n in range(10_000)))
    lines = iter(file)
    assert next(lines) == b"0\n"
    assert file.read(2) == b"1\n"
    assert next(lines) == b"2\n"
    file.seek(0)
    assert next(lines) == b"0\n"
    file.read(30_000)
    file.readline()
    after = int(next(lines))
    assert int(next(lines)) == after + 1
    file.close()
    with pytest.raises(ValueError, match="closed"):
        next(lines)
    with pytest.raises(ValueError, match="closed"):
        file.readline()


def test_a_line_that_fails_is_read_again_whole() -> None:
    class Gone(Reader):
        working = True

        def open(self, start: int, stop: int, /) -> Stream:
            if not self.working:
                raise ConnectionFailed("nothing listens there")
            return super().open(start, min(stop, start + 70_000))

    line = b"x" * 400_000 + b"\n"
    for call in (File.readline, lambda file: file.readline(390_000), lambda file: file.read(390_000), File.__next__):
        file, _ = opened(b"1\n" + line + b"2\n")
        reader = file._ahead._reader = Gone(b"1\n" + line + b"2\n", None)
        assert file.readline() == b"1\n"
        reader.working = False
        with pytest.raises(ConnectionFailed):
            call(file)
        reader.working = True
        assert file.readline() == line


def test_threads_share_the_lines_and_none_is_torn() -> None:
    content = b"".join(b"%d\n" % n for n in range(50_000))
    file, _ = opened(content)
    lines: list[list[bytes]] = [[] for _ in range(4)]
    threads = [threading.Thread(target=taken.extend, args=(file,)) for taken in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(line) for taken in lines for line in taken) == list(range(50_000))


def test_python_and_pandas_read_it_as_a_file() -> None:
    table = b"sample,value\n007,1\n008,2\n"
    file, _ = opened(gzip.compress(table), "a.csv.gz")
    assert file.name == "/runs/a.csv.gz"
    with gzip.open(file) as unpacked:
        assert unpacked.name == "/runs/a.csv.gz"
        assert unpacked.readlines() == table.splitlines(keepends=True)
    assert pandas.read_csv(opened(table)[0], dtype=str).to_dict("list") == {
        "sample": ["007", "008"],
        "value": ["1", "2"],
    }
    text = io.TextIOWrapper(opened(table)[0], encoding="ascii")
    assert text.name == "/runs/a.txt"
    assert list(text) == ["sample,value\n", "007,1\n", "008,2\n"]
    assert pickle.load(opened(pickle.dumps([table, 1]))[0]) == [table, 1]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("table.csv")
        member.size = len(table)
        archive.addfile(member, io.BytesIO(table))
    with tarfile.open(fileobj=opened(packed.getvalue(), "a.tar")[0]) as archive:
        assert archive.name == "/runs/a.tar"
        assert archive.extractfile("table.csv").read() == table  # type: ignore[union-attr]
