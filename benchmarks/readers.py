"""Requests and bytes of a `File` under real readers: `python -m benchmarks.readers`.

A server and a client run in processes of their own. Requests are those for content: opening costs one
more, which tells size and version, and a first read of more than 1 MiB one, which gives the address.
Bytes are what the answers hold, whether it is read or not. Lines are also timed, as a ratio to `io.BufferedReader`
over the same file. Exit code 1 if a figure is above its bar.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measuring import size_of
from tools.local_server import local_server

MIB = 1 << 20
MEMBER = 100_000
RANDOM_READS = 500
RANDOM_SIZE = 4096
REPEATS = 5


class Row(NamedTuple):
    """What one task cost.

    Attributes:
        name: the row's number among the bars.
        what: the task.
        requests: for content.
        most_requests: the bar.
        sent: bytes of the answers.
        most_sent: the bar, in bytes; None where there is none.
        ratio: time by time of the same task with Python's own reader over the same file; None where there is none.
        most_ratio: the bar.
    """

    name: str
    what: str
    requests: int
    most_requests: int
    sent: int
    most_sent: float | None
    ratio: float | None = None
    most_ratio: float | None = None

    @property
    def within(self) -> bool:
        fast = self.ratio is None or self.most_ratio is None or self.ratio <= self.most_ratio
        return fast and self.requests <= self.most_requests and (self.most_sent is None or self.sent <= self.most_sent)

    def line(self) -> str:
        bar = "" if self.most_sent is None else f"{self.most_sent / 1e6:,.2f}"
        verdict = "yes" if self.within else "NO"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} (bar {self.most_ratio})"
        cells = (
            self.name,
            self.what,
            self.requests,
            self.most_requests,
            f"{self.sent / 1e6:,.2f}",
            bar,
            ratio,
            verdict,
        )
        return f"| {' | '.join(map(str, cells))} |"


class Traffic:
    """Counts a session's requests for content and the bytes of their answers."""

    def __init__(self, edge: Any) -> None:
        self.requests = self.sent = 0
        send = edge.http._send_once

        def counting(call: Any, request: Any) -> Any:
            answer = send(call, request)
            path = call.url.partition("?")[0]
            if answer.status_code in (200, 206) and (call.signed or path.endswith("/content")):
                self.requests += 1
                self.sent += int(answer.headers["Content-Length"])
            return answer

        edge.http._send_once = counting

    def of(self, task: Callable[[], None]) -> tuple[int, int]:
        """Requests and bytes of a task."""
        self.requests = self.sent = 0
        task()
        return self.requests, self.sent


# --- the files ------------------------------------------------------------------------------------


def make_zip(path: Path, size: int, members: int) -> None:
    """A zip of stored members of equal size, with one of `MEMBER` bytes in the middle."""
    block = os.urandom(MIB)
    each = size // members
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(members):
            name, length = ("wanted.bin", MEMBER) if number == members // 2 else (f"{number:06}.bin", each)
            with archive.open(name, "w", force_zip64=True) as member:
                for start in range(0, length, MIB):
                    member.write(block[: min(MIB, length - start)])


def make_parquet(path: Path, size: int) -> int:
    """A table of 50 columns in 10 row groups; returns the bytes of one column."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = size // 50 // 8 // 10
    values = np.random.default_rng(1)
    names = [f"c{number}" for number in range(50)]
    schema = pa.schema([(name, pa.float64()) for name in names])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for _ in range(10):
            writer.write_table(pa.table([values.random(rows) for _ in names], schema=schema))
    return rows * 10 * 8


def make_bytes(path: Path, size: int) -> None:
    block = os.urandom(MIB)
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(block[: min(MIB, size - start)])


# --- the tasks, in the client's process -----------------------------------------------------------


def rows(sizes: dict[str, Any]) -> list[Row]:
    """All rows, against the server of the environment."""
    from edge.api import EdgeSession

    with EdgeSession() as edge:
        traffic = Traffic(edge)
        measured: list[Row] = []
        for size, members in sizes["zips"]:
            measured += zip_rows(edge, traffic, size, members)
        measured.append(parquet_row(edge, traffic, sizes["parquet"]))
        measured += plain_rows(edge, traffic, sizes["plain"])
        measured.append(lines_row(edge, traffic, sizes["lines"]))
    return measured


def zip_rows(edge: Any, traffic: Traffic, size: int, members: int) -> list[Row]:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        make_zip(Path(folder) / "a.zip", size, members)
        edge.files.upload("a.zip", Path(folder) / "a.zip")
    file = edge.files.open("a.zip")
    archives: list[zipfile.ZipFile] = []
    listing = traffic.of(lambda: archives.append(zipfile.ZipFile(file)))
    archive = archives[0]
    assert len(archive.namelist()) == members
    member = traffic.of(lambda: _check(len(archive.read("wanted.bin")) == MEMBER))
    title = f"zip of {size // MIB:,} MiB, {members:,} members"
    return [
        Row("B18", f"{title}: listing", listing[0], 2, listing[1], 0.2e6),
        Row("B19", f"{title}: listing, and one of 100 kB", listing[0] + member[0], 4, listing[1] + member[1], 0.35e6),
    ]


def parquet_row(edge: Any, traffic: Traffic, size: int) -> Row:
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory(dir=".") as folder:
        column_bytes = make_parquet(Path(folder) / "a.parquet", size)
        edge.files.upload("a.parquet", Path(folder) / "a.parquet")

    def first_column() -> None:
        with edge.files.open("a.parquet", open_with="file") as file:
            _check(pq.read_table(file, columns=["c7"]).num_rows * 8 == column_bytes)

    cost = traffic.of(first_column)
    title = f"parquet of {size // MIB:,} MiB: 1 of 50 columns, 10 row groups ({column_bytes / 1e6:.1f} MB)"
    return Row("B20", title, cost[0], 13, cost[1], 1.3 * column_bytes)


def plain_rows(edge: Any, traffic: Traffic, size: int) -> list[Row]:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        make_bytes(Path(folder) / "a.bin", size)
        edge.files.upload("a.bin", Path(folder) / "a.bin")

    def on() -> None:
        with edge.files.open("a.bin") as file:
            _check(sum(len(block) for block in iter(lambda: file.read(MIB), b"")) == size)

    def jumping() -> None:
        chosen = random.Random(1)
        with edge.files.open("a.bin") as file:
            for _ in range(RANDOM_READS):
                file.seek(chosen.randrange(size - RANDOM_SIZE))
                _check(len(file.read(RANDOM_SIZE)) == RANDOM_SIZE)

    def opening() -> None:
        opened.append(edge.files.open("a.bin"))

    opened: list[io.RawIOBase] = []
    in_order, at_random = traffic.of(on), traffic.of(jumping)
    at_first = traffic.of(opening)
    reading = traffic.of(lambda: _check(len(opened[0].read(1 << 16) or b"") == 1 << 16))
    opened[0].close()
    title = f"{size // MIB:,} MiB"
    read_bytes = RANDOM_READS * RANDOM_SIZE
    return [
        Row("B21", f"{title} in reads of 1 MiB", in_order[0], 35, in_order[1], 1.02 * size),
        Row(
            "B22", f"{RANDOM_READS} random reads of 4 KiB in {title}", at_random[0], 501, at_random[1], 17 * read_bytes
        ),
        Row("B23", "opening a file", at_first[0], 0, at_first[1], 0),
        Row("B23", "its first read", reading[0], 1, reading[1], None),
    ]


def lines_row(edge: Any, traffic: Traffic, size: int) -> Row:
    chosen = random.Random(1)
    records = (
        f"@M00001:7:{n}:{n * 3} 1:N:0\n{''.join(chosen.choices('ACGT', k=150))}\n+\n{'F' * 150}\n"
        for n in itertools.count()
    )
    content = bytearray()
    while len(content) < size:
        content += next(records).encode()
    edge.files.upload("a.fastq", bytes(content))
    lines = content.count(b"\n")

    def direct() -> None:
        with edge.files.open("a.fastq") as file:
            _check(sum(1 for _ in file) == lines)

    def buffered() -> None:
        with edge.files.open("a.fastq") as file:
            _check(sum(1 for _ in io.BufferedReader(file)) == lines)

    cost = traffic.of(direct)
    # Alternating, so that both meet the same load of the machine.
    times = [(_seconds(direct), _seconds(buffered)) for _ in range(REPEATS)]
    ratio = min(seconds for seconds, _ in times) / min(seconds for _, seconds in times)
    return Row("B24", f"FASTQ of {size / 1e6:.0f} MB line by line", cost[0], 1, cost[1], 1.02 * size, ratio, 1.3)


def _seconds(task: Callable[[], None]) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def _check(right: bool) -> None:
    if not right:
        raise RuntimeError("what was read is not what was written")


# --- the command ----------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description="Requests and bytes of a File under real readers.")
    parser.add_argument("--zip", type=size_of, default="200MiB", help="of a zip with 2,000 members; 200MiB by default")
    parser.add_argument("--large-zip", type=size_of, default="2GiB", help="of another with 2,000; 2GiB by default")
    parser.add_argument("--parquet", type=size_of, default="200MiB")
    parser.add_argument("--plain", type=size_of, default="200MiB", help="of the file read in order and at random")
    parser.add_argument("--lines", type=size_of, default="20MiB", help="of the FASTQ that is read line by line")
    parser.add_argument("--folder", type=Path, help="where to put the files; a temporary folder")
    options = parser.parse_args()
    tasks = {
        "zips": [(options.zip, 2000), (options.large_zip, 2000)],
        "parquet": options.parquet,
        "plain": options.plain,
        "lines": options.lines,
    }
    with tempfile.TemporaryDirectory(dir=options.folder) as folder, local_server(Path(folder) / "data") as server:
        program = (
            "import json, sys; from benchmarks import readers; print(json.dumps(readers.rows(json.loads(sys.argv[1]))))"
        )
        environment = {**server.environment, "PYTHONPATH": os.getcwd()}
        command = [sys.executable, "-c", program, json.dumps(tasks)]
        done = subprocess.run(command, env=environment, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    measured = [Row(*row) for row in json.loads(done.stdout)]
    print("| row | what | requests | bar | MB | bar | time / io.BufferedReader | within |")
    print("|---|---|---|---|---|---|---|---|")
    for row in measured:
        print(row.line())
    return 0 if all(row.within for row in measured) else 1


if __name__ == "__main__":
    sys.exit(main())
