"""`File` under the readers people use: that they work, and how many requests and bytes they cost."""

from __future__ import annotations

import csv
import datetime as dt
import io
import random
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import update

from edge_core.errors import NotFound
from edge_core.session import EdgeSession
from edge_files.folder import Folder
from edge_server.base import clock
from edge_server.data.database import SERVER
from edge_server.files.models import Version

MIB = 1 << 20
TAIL = 128 << 10


class Traffic:
    """Requests for content, and the bytes their answers hold, whether read or not.

    Attributes:
        calls: all requests, as method and last segment of the path.
        lengths: bytes of each answer that holds content.
    """

    def __init__(self, edge: EdgeSession, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.lengths: list[int] = []
        send = edge.http._send_once

        def counting(call: Any, request: Any) -> Any:
            answer = send(call, request)
            *_, kind, last = call.url.partition("?")[0].split("/")
            self.calls.append(f"{call.method} {kind if call.signed else last}")
            if answer.status_code in (200, 206) and (call.signed or last == "content"):
                self.lengths.append(int(answer.headers["Content-Length"]))
            return answer

        patch.setattr(edge.http, "_send_once", counting)

    def forget(self) -> None:
        self.calls.clear()
        self.lengths.clear()


@pytest.fixture
def traffic(edge_session: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> Traffic:
    return Traffic(edge_session, monkeypatch)


def connections(edge: EdgeSession) -> int:
    """How many connections were opened to the server so far."""
    url = edge.config.service_url
    return edge.http._session().get_adapter(url).poolmanager.connection_from_url(url).num_connections  # type: ignore[attr-defined]


def bytes_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


# --- what opening costs ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, 2 * MIB])
def test_opening_is_a_single_request_and_a_file_makes_none_before_its_first_read(
    files: Folder, traffic: Traffic, size: int
) -> None:
    files.upload("a.bin", bytes_of(size))
    traffic.forget()
    file = files.open("a.bin")
    file.seek(0, 2)
    file.seek(10)
    assert (file.tell(), file.size, file.basename) == (10, size, "a.bin")
    assert traffic.calls == ["GET entry"]
    file.read(5)
    assert traffic.calls == ["GET entry", "GET content"], "a small range comes at once, of large content as well"
    file.close()
    assert len(traffic.lengths) == 1


# --- the readers ----------------------------------------------------------------------------------


@pytest.fixture
def zipped(files: Folder) -> bytes:
    """A zip of 2,000 members in the organization; the one called `big` has 100 kB."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(2000):
            big = number == 1000
            archive.writestr("big" if big else f"{number:05}.bin", bytes_of(100_000 if big else 3000))
    files.upload("a.zip", packed.getvalue())
    return packed.getvalue()


@pytest.mark.slow
def test_a_zip_is_listed_and_a_member_read_without_fetching_the_rest(
    files: Folder, traffic: Traffic, zipped: bytes
) -> None:
    traffic.forget()
    with files.open("a.zip") as file, zipfile.ZipFile(file) as archive:
        assert len(archive.namelist()) == 2000
        assert len(traffic.calls) <= 2
        assert sum(traffic.lengths) <= 200_000
        assert archive.read("big") == bytes_of(100_000)
        assert len(traffic.calls) <= 4
        assert sum(traffic.lengths) <= 350_000
        assert archive.testzip() is None


def members(files: Folder, mode: str) -> dict[str, bytes]:
    """Pack a tar of small and large members into the organization."""
    packed = io.BytesIO()
    contents = {f"{number}.bin": bytes_of(size) for number, size in enumerate((10, 300_000, 5000, 3 * MIB, 7))}
    with tarfile.open(fileobj=packed, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    files.upload("a.tar", packed.getvalue())
    return contents


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["", "gz", "bz2", "xz"])
def test_a_tar_of_any_kind_is_read(files: Folder, traffic: Traffic, kind: str) -> None:
    contents = members(files, f"w:{kind}")
    traffic.forget()
    with files.open("a.tar") as file, tarfile.open(fileobj=file) as archive:
        assert archive.getnames() == list(contents)
        if not kind:
            assert sum(traffic.lengths) < 300_000, "large members are jumped over"
        for name, content in contents.items():
            member = archive.extractfile(name)
            assert member is not None
            assert member.read() == content
    with files.open("a.tar") as file, tarfile.open(fileobj=file, mode=f"r|{kind}") as archive:
        traffic.forget()
        assert [member.name for member in archive] == list(contents)
        assert len(traffic.lengths) <= 2, "read as a stream, it is one"


def test_the_beginning_of_a_file_costs_no_more_than_little(files: Folder, traffic: Traffic) -> None:
    payload = bytes_of(3 * MIB)
    files.upload("a.bin", payload)
    traffic.forget()
    with files.open("a.bin") as file:
        assert file.read(64 << 10) == payload[: 64 << 10]
        file.seek(2 * MIB)
        assert file.read(5000) == payload[2 * MIB : 2 * MIB + 5000]
    assert traffic.calls == ["GET entry", "GET content", "GET content"]
    assert traffic.lengths == [TAIL, 5000]


@pytest.mark.parametrize("size", [8192, 64 << 10, MIB, 2 * MIB])
def test_reading_on_is_two_requests_for_content(files: Folder, traffic: Traffic, size: int) -> None:
    payload = bytes_of(3 * MIB)
    files.upload("a.bin", payload)
    traffic.forget()
    with files.open("a.bin") as file:
        assert b"".join(iter(lambda: file.read(size), b"")) == payload
    assert traffic.calls == ["GET entry", "GET content", "GET content"]
    assert sum(traffic.lengths) == len(payload)


def test_copyfileobj_is_two_requests(files: Folder, traffic: Traffic, tmp_path: Path) -> None:
    payload = bytes_of(3 * MIB)
    files.upload("a.bin", payload)
    traffic.forget()
    with files.open("a.bin") as file, (tmp_path / "a.bin").open("wb") as target:
        shutil.copyfileobj(file, target)
    assert (tmp_path / "a.bin").read_bytes() == payload
    assert traffic.calls == ["GET entry", "GET content", "GET content"], "the beginning with the address, and the rest"
    assert sum(traffic.lengths) == len(payload)


def test_lines_are_two_requests(files: Folder, traffic: Traffic) -> None:
    lines = [f"@read {n}\n{'ACGT' * 35}\n+\n{'F' * 140}\n".encode() for n in range(5000)]
    content = b"".join(lines)
    assert len(content) > MIB
    files.upload("a.fastq", content)
    with files.open("a.fastq") as opened:
        traffic.forget()
        assert list(opened) == content.splitlines(keepends=True)
    assert traffic.calls == ["GET content", "GET content"], "the beginning with the address, and the rest"
    assert sum(traffic.lengths) == len(content)


@pytest.mark.slow
def test_text_and_buffered_readers_are_two_requests(files: Folder, traffic: Traffic) -> None:
    lines = [[str(number), "grün"] for number in range(150_000)]
    content = "".join(f"{number},{word}\n" for number, word in lines).encode()
    assert len(content) > MIB
    files.upload("a.table", content)
    traffic.forget()
    with io.TextIOWrapper(files.open("a.table"), encoding="utf-8", newline="") as text:
        assert list(csv.reader(text)) == lines
    with io.BufferedReader(files.open("a.table")) as buffered:
        assert list(buffered) == content.splitlines(keepends=True)
    assert len(traffic.lengths) == 4
    assert sum(traffic.lengths) == 2 * len(content)


@pytest.mark.slow
def test_pandas_reads_in_chunks(files: Folder, traffic: Traffic) -> None:
    import pandas as pd

    frame = pd.DataFrame({"n": range(150_000), "half": [number / 2 for number in range(150_000)]})
    content = frame.to_csv(index=False).encode()
    files.upload("a.csv", content)
    traffic.forget()
    with files.open("a.csv", open_with="file") as file:
        chunks = list(pd.read_csv(file, chunksize=20_000))
    assert len(chunks) == 8
    assert pd.concat(chunks).equals(frame)
    assert len(traffic.lengths) == 2
    assert sum(traffic.lengths) == len(content)


@pytest.fixture
def parquet(files: Folder) -> Any:
    """A parquet file of 50 columns and 10 row groups in the organization, as an arrow table."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    values = np.random.default_rng(1)
    table = pa.table({f"c{number}": values.random(25_000) for number in range(50)})
    packed = io.BytesIO()
    pq.write_table(table, packed, row_group_size=2500, use_dictionary=False, compression="none")
    files.upload("a.parquet", packed.getvalue())
    return table


@pytest.mark.slow
@pytest.mark.parametrize("pre_buffer", [True, False])
def test_a_column_of_a_parquet_file_costs_little_more_than_itself(
    files: Folder, traffic: Traffic, parquet: Any, pre_buffer: bool
) -> None:
    import pyarrow.parquet as pq

    traffic.forget()
    with files.open("a.parquet", open_with="file") as file:
        column = pq.read_table(file, columns=["c7"], pre_buffer=pre_buffer, use_threads=True)
    assert column.equals(parquet.select(["c7"]))
    assert len(traffic.calls) <= 13
    assert sum(traffic.lengths) <= 1.3 * 25_000 * 8 + TAIL


@pytest.mark.slow
def test_arrow_reads_the_whole_table_and_by_row_groups(files: Folder, traffic: Traffic, parquet: Any) -> None:
    import pyarrow.parquet as pq

    traffic.forget()
    size = files.stat("a.parquet").size or 0
    with files.open("a.parquet", open_with="file") as file:
        assert pq.read_table(file).equals(parquet)
    assert sum(traffic.lengths) < 1.1 * size + TAIL
    with files.open("a.parquet", open_with="file") as file:
        whole = pq.ParquetFile(file)
        for group in (9, 0, 5):
            part = whole.read_row_group(group, columns=["c1", "c49"])
            assert part.equals(parquet.select(["c1", "c49"]).slice(group * 2500, 2500))


@pytest.mark.slow
def test_a_program_that_ends_with_an_open_file_under_arrow_ends_well(
    files: Folder, edge_session: EdgeSession, parquet: Any
) -> None:
    settings = edge_session.config
    program = f"""
import pyarrow.parquet as pq
from edge_core.session import EdgeSession
edge = EdgeSession({settings.api_token!r}, {settings.service_url!r}, {settings.organization!r})
file = edge.files.open("a.parquet", open_with="file")
kept = pq.ParquetFile(file)
print(kept.read(columns=["c1", "c2", "c3"], use_threads=True).num_rows)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "25000\n", "")


def test_random_reads_cost_a_request_each_and_no_bytes_beside(
    files: Folder, edge_session: EdgeSession, traffic: Traffic
) -> None:
    payload = bytes_of(8 * MIB)
    files.upload("a.bin", payload)
    chosen = random.Random(3)
    traffic.forget()
    with files.open("a.bin") as file:
        before = connections(edge_session)
        for _ in range(50):
            position = chosen.randrange(len(payload) - 4096)
            file.seek(position)
            assert file.read(4096) == payload[position : position + 4096]
    assert len(traffic.calls) <= 51
    assert sum(traffic.lengths) <= 1.5 * 50 * 4096 + TAIL
    assert connections(edge_session) == before, "each answer was read to its end, so its connection was kept"


def test_threads_may_share_a_file(files: Folder) -> None:
    payload = bytes_of(2 * MIB)
    files.upload("a.bin", payload)
    file = files.open("a.bin")
    lock, wrong = threading.Lock(), []

    def read(seed: int) -> None:
        chosen = random.Random(seed)
        for _ in range(30):
            position = chosen.randrange(len(payload))
            with lock:  # as arrow does, since the position is shared
                file.seek(position)
                got = file.read(10_000)
            if got != payload[position : position + 10_000]:
                wrong.append(position)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_threads_that_read_on_together_get_each_byte_once(files: Folder) -> None:
    payload = bytes(range(256)) * 8192
    files.upload("a.bin", payload)
    file = files.open("a.bin")
    parts: list[bytes] = []

    def read() -> None:
        while part := file.read(4096):
            parts.append(part)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(map(len, parts)) == len(payload)


# --- addresses that expire, files that change -----------------------------------------------------


def wait_until_expired(address: str) -> None:
    deadline = time.monotonic() + 60
    while requests.get(address).status_code != 403:
        assert time.monotonic() < deadline, "the address has not expired in a minute"
        time.sleep(0.05)


@pytest.mark.slow
def test_an_address_that_expires_in_mid_read_is_renewed_unseen(files: Folder, traffic: Traffic) -> None:
    payload = bytes_of(3 * MIB)
    files.upload("a.bin", payload)
    file = files.open("a.bin")
    assert file.read(10_000) == payload[:10_000]
    address = file.download_url(expires_in=1)
    wait_until_expired(address)
    file._reader._address = address
    traffic.forget()
    file.seek(2 * MIB)
    assert file.read(MIB) == payload[2 * MIB :]
    assert traffic.calls == ["GET content"] * 2, "the old address, and a new one with the content"
    file.seek(0)
    assert file.read() == payload
    assert traffic.calls == ["GET content"] * 3, "the new address"


@pytest.mark.slow
def test_an_address_that_came_with_content_is_renewed_unseen_by_a_redirect(files: Folder, traffic: Traffic) -> None:
    payload = bytes_of(3 * MIB)
    files.upload("a.bin", payload)
    file = files.open("a.bin")
    file.seek(10_000)
    assert file.read(10_000) == payload[10_000:20_000]
    assert file._reader._address is not None
    address = file.download_url(expires_in=1)
    wait_until_expired(address)
    file._reader._address = address
    traffic.forget()
    file.seek(0)
    assert file.read() == payload
    assert traffic.calls == ["GET content"] * 3, "the old address, a new one, and the content from there"


@pytest.mark.parametrize("size", [1000, 3 * MIB])
def test_a_file_replaced_in_mid_read_keeps_giving_what_was_opened(files: Folder, size: int) -> None:
    old = bytes_of(size)
    files.upload("a.bin", old)
    file = files.open("a.bin")
    first = file.read(size // 3)
    files.upload("a.bin", bytes_of(size + 1))
    middle = file.read(size // 3)
    files.delete("a.bin")
    assert first + middle + file.read() == old
    for position in (size // 2, 1, size - 10):
        file.seek(position)
        assert file.read(10) == old[position : position + 10]


@pytest.mark.parametrize("size", [200_000, 3 * MIB])
def test_a_version_that_is_gone_is_an_error_and_never_mixed_with_its_successor(
    files: Folder, edge_server: Any, size: int
) -> None:
    files.upload("a.bin", bytes_of(size))
    file = files.open("a.bin")
    file.seek(10)
    file.read(5000)
    version = files.stat("a.bin").version
    files.upload("a.bin", bytes_of(size + 1)[:size])
    with edge_server.database.write(SERVER) as session:
        long_ago = clock.now() - dt.timedelta(hours=25)
        session.execute(update(Version).where(Version.uid == version).values(removed_at=long_ago))
    file.seek(size // 3)
    with pytest.raises(NotFound, match="replaced or deleted|version"):
        file.read(100)
    assert files.open("a.bin").read() == bytes_of(size + 1)[:size]
