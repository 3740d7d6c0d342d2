"""Writers on a live server: what is sent while it is written, and what is left of a writer that ends early."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import textwrap
import threading
import zipfile
from typing import Any

import numpy
import pandas
import pytest

from edge_core.errors import AlreadyExists, BadEntry, ConnectionFailed
from edge_core.http import ServiceClient
from edge_core.session import EdgeSession
from edge_files.folder import Folder
from edge_files.wire import PART_SIZE
from edge_vfs.transfers.fetching import MAX_CONNECTIONS

LARGE = random.Random(1).randbytes(2 * PART_SIZE + 12345)

FRAME = pandas.DataFrame({"sample": ["a", "b", "c"], "volume": [1.5, 2.5, 3.5], "well": [1, 2, 3]})


@pytest.fixture
def calls(edge_session: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Methods and paths of the requests that the session sends."""
    sent: list[tuple[str, str]] = []
    send = edge_session.http._send_once

    def noted(call: Any, request: Any) -> Any:
        sent.append((call.method, call.url.partition("?")[0].rpartition("/orgs/")[2].partition("/")[2]))
        return send(call, request)

    monkeypatch.setattr(edge_session.http, "_send_once", noted)
    return sent


def test_little_content_is_a_single_request(files: Folder, calls: list[tuple[str, str]]) -> None:
    with files.create("runs/a.csv", encoding="utf-8") as text:
        csv.writer(text).writerow(["a", 1])
    assert calls == [("PUT", "files/content")]
    assert files.read_bytes("runs/a.csv") == b"a,1\r\n"


def test_parts_go_while_they_are_written(files: Folder, calls: list[tuple[str, str]]) -> None:
    with files.create("a.bin") as writer:
        for start in range(0, len(LARGE), 100_003):
            writer.write(LARGE[start : start + 100_003])
        assert files.uploads(), "an upload is open"
        assert not files.exists("a.bin")
    assert files.stat("a.bin").part_size == PART_SIZE
    assert files.read_bytes("a.bin") == LARGE
    assert files.uploads() == []
    assert [method for method, _ in calls].count("PUT") == 3, "no part goes twice"


def test_an_exception_drops_the_upload(files: Folder) -> None:
    files.write_bytes("a.bin", b"before")
    with pytest.raises(ZeroDivisionError), files.create("a.bin") as writer:
        writer.write(LARGE)
        raise ZeroDivisionError
    assert files.uploads() == []
    assert files.read_bytes("a.bin") == b"before"


def test_a_writer_that_is_collected_drops_the_upload(files: Folder) -> None:
    held = [files.create("a.bin")]
    held[0].write(LARGE)
    sending = held[0]._sending
    with pytest.warns(ResourceWarning, match="was never closed"):
        held.clear()
    sending.wait()
    assert files.uploads() == []
    assert files.list() == []


def test_a_name_that_is_taken_is_refused_early_and_at_the_end(files: Folder) -> None:
    files.write_bytes("a.bin", b"before")
    files.make_folder("folder")
    with pytest.raises(AlreadyExists, match="'a.bin' exists already; .* overwrite=True replaces it"):
        files.create("a.bin", overwrite=False)
    with pytest.raises(AlreadyExists, match="'folder' is a folder"):
        files.create("folder", overwrite=False)
    for content in (b"abc", LARGE):
        with pytest.raises(AlreadyExists, match="'folder' is a folder"), files.create("folder") as writer:
            writer.write(content)
        with pytest.raises(AlreadyExists, match="exists already"), files.create("b.bin", overwrite=False) as writer:
            writer.write(content)
            if content is LARGE:
                assert files.uploads(), "it is open, and was allowed"
            files.write_bytes("b.bin", b"by another")
        assert files.read_bytes("b.bin") == b"by another"
        files.delete("b.bin")
    assert files.uploads() == []


def test_of_two_writers_a_whole_file_stays(files: Folder) -> None:
    for first, second in ((b"a", b"b"), (LARGE, LARGE[::-1])):
        with files.create("a.bin") as writer, files.create("a.bin") as other:
            for start in range(0, len(first), 1 << 20):
                writer.write(first[start : start + (1 << 20)])
                other.write(second[start : start + (1 << 20)])
        assert files.read_bytes("a.bin") == first, "the one that is closed last"
    contents = [bytes([n]) * (2 * PART_SIZE + n) for n in range(3)]

    def write(content: bytes) -> None:
        with files.create("a.bin") as writer:
            writer.write(content)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert files.read_bytes("a.bin") in contents
    assert files.uploads() == []


def test_neither_resumes_what_the_other_sent(files: Folder) -> None:
    with files.create("a.bin") as writer:
        writer.write(LARGE)
        files.upload("a.bin", LARGE)
        assert files.read_bytes("a.bin") == LARGE
        writer.write(b"end")
    assert files.read_bytes("a.bin") == LARGE + b"end"


KILLED = """
    import sys, time
    from edge.api import EdgeSession
    files = EdgeSession().files
    writer = files.create("a.bin")
    writer.write(bytes(int(sys.argv[1])))
    until = time.monotonic() + 60
    while not any(upload.held_bytes for upload in files.uploads()):
        if time.monotonic() > until:
            sys.exit("nothing was sent")
        time.sleep(0.05)
    print("sent", flush=True)
    if sys.argv[2] == "ends":
        sys.exit()
    sys.stdin.read()  # until it is killed
"""


def run(edge_session: EdgeSession, end: str) -> subprocess.Popen[str]:
    config = edge_session.config
    settings = {
        "EDGE_API_TOKEN": config.api_token,
        "EDGE_API_SERVICE_URL": config.service_url,
        "EDGE_API_ORG": edge_session.organization,
    }
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(3 * PART_SIZE), end],
        env={**os.environ, **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_writer_leaves_nothing_under_the_name(files: Folder, edge_session: EdgeSession) -> None:
    files.write_bytes("a.bin", b"before")
    with run(edge_session, "waits") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "sent\n"
        process.send_signal(signal.SIGKILL)
    assert files.read_bytes("a.bin") == b"before"
    (upload,) = files.uploads()
    assert upload.held_bytes > 0
    left = upload.expires_at - dt.datetime.now(dt.UTC)
    assert dt.timedelta(days=6) < left <= dt.timedelta(days=7), "then the server drops it"
    with files.create("a.bin") as writer:
        writer.write(LARGE)
    assert files.read_bytes("a.bin") == LARGE
    for upload in files.uploads():
        files.abort_upload(upload)


def test_a_process_that_ends_drops_what_it_did_not_close(files: Folder, edge_session: EdgeSession) -> None:
    with run(edge_session, "ends") as process:
        _, complaint = process.communicate()
    assert process.returncode == 0
    assert "/a.bin was not stored, since its writer was never closed" in complaint
    assert files.uploads() == []
    assert files.list() == []


def test_the_writer_raises_why_a_part_is_refused(files: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = ServiceClient.fetch_signed

    def refused(self: ServiceClient, method: str, *arguments: Any, **options: Any) -> Any:
        if method == "PUT":
            raise BadEntry("this part is refused")
        return fetch(self, method, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(ServiceClient, "fetch_signed", refused)
        with pytest.raises(BadEntry, match="this part is refused"), files.create("a.bin") as writer:
            for _ in range(MAX_CONNECTIONS):
                writer.write(LARGE)
    assert files.uploads() == []
    assert files.list() == []


def test_a_file_is_there_although_the_answer_was_lost(files: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    post = ServiceClient.post
    lost: list[str] = []

    def losing(self: ServiceClient, path: str, **options: Any) -> Any:
        answer = post(self, path, **options)
        if path.endswith("/complete") and not lost:
            lost.append(path)
            raise ConnectionFailed("the answer was lost")
        return answer

    monkeypatch.setattr(ServiceClient, "post", losing)
    with files.create("a.bin") as writer:
        writer.write(LARGE)
    assert lost
    assert files.read_bytes("a.bin") == LARGE


# --- those who write --------------------------------------------------------------------------------


def test_pandas_writes(files: Folder) -> None:
    with files.create("a.csv", encoding="utf-8") as text:
        FRAME.to_csv(text, index=False)
    with files.create("b.csv") as writer:
        FRAME.to_csv(writer, index=False)
    assert files.read_bytes("a.csv") == files.read_bytes("b.csv")
    with files.create("a.csv.gz") as writer:
        FRAME.to_csv(writer, index=False, compression="gzip")
    with files.create("a.parquet") as writer:
        FRAME.to_parquet(writer)
    with files.create("a.xlsx") as writer:
        FRAME.to_excel(writer, index=False)
    with files.create("a.json", encoding="utf-8") as text:
        FRAME.to_json(text)
    with files.create("a.feather") as writer:
        FRAME.to_feather(writer)
    for name in ("a.csv", "a.csv.gz", "a.parquet", "a.xlsx", "a.feather"):
        pandas.testing.assert_frame_equal(files.open(name), FRAME)
    assert pandas.DataFrame(files.open("a.json"))["volume"].tolist() == [1.5, 2.5, 3.5]


def test_arrow_writes(files: Folder) -> None:
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    table = pyarrow.table(FRAME)
    with files.create("a.parquet") as writer, pyarrow.parquet.ParquetWriter(writer, table.schema) as parquet:
        parquet.write_table(table)
        parquet.write_table(table)
    with files.create("a.arrow") as writer, pyarrow.ipc.new_file(writer, table.schema) as stream:
        stream.write_table(table)
    with files.create("a.csv") as writer:
        pyarrow.csv.write_csv(table, writer)
    assert len(files.open("a.parquet")) == 6
    assert pyarrow.ipc.open_file(files.read_bytes("a.arrow")).read_all() == table
    assert files.read_bytes("a.csv").count(b"\n") == 4


def test_packers_write(files: Folder) -> None:
    with files.create("a.zip") as writer, zipfile.ZipFile(writer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", "abc")
        archive.writestr("large.bin", LARGE)
    with zipfile.ZipFile(files.open("a.zip", "file")) as archive:
        assert archive.testzip() is None
        assert archive.read("a.txt") == b"abc"
    with files.create("a.txt.gz") as writer, gzip.open(writer, "wt") as text:
        text.write("abc")
    assert files.open("a.txt.gz") == "abc"
    with files.create("a.tar.gz") as writer, tarfile.open(fileobj=writer, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
    with files.open("a.tar.gz", "file") as file, tarfile.open(fileobj=file) as tar:
        assert tar.getnames() == ["empty"]


def test_others_write(files: Folder) -> None:
    import matplotlib.figure

    with files.create("a.json", encoding="utf-8") as text:
        json.dump({"a": [1]}, text)
    assert files.open("a.json") == {"a": [1]}
    with files.create("a.npy") as writer:
        numpy.save(writer, numpy.arange(3))
    assert files.open("a.npy").tolist() == [0, 1, 2]
    with files.create("a.npz") as writer:
        numpy.savez_compressed(writer, a=numpy.arange(3))
    with files.open("a.npz") as arrays:
        assert arrays["a"].tolist() == [0, 1, 2]
    with files.create("a.txt", encoding="utf-8") as text:
        numpy.savetxt(text, numpy.arange(3))
        print("end", file=text)
    assert files.open("a.txt").endswith("end\n")
    figure = matplotlib.figure.Figure()
    figure.subplots().plot([1, 2])
    for suffix in ("png", "pdf", "svg"):
        with files.create(f"a.{suffix}") as writer:
            figure.savefig(writer, format=suffix)
    assert files.open("a.png").format == "PNG"
    assert files.read_bytes("a.pdf").rstrip().endswith(b"%%EOF")


def test_who_must_jump_back_is_advised_to_upload_a_file(files: Folder) -> None:
    import h5py
    import PIL.Image

    advice = "write a local file and upload that"
    with pytest.raises(OSError, match=advice), files.create("a.h5") as writer:
        h5py.File(writer, "w")
    with pytest.raises(OSError, match=advice), files.create("a.tif") as writer:
        PIL.Image.new("L", (2, 2)).save(writer, "tiff")
    assert files.list() == []
