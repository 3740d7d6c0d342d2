"""session.files against a live server."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import os
import random
import stat
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pandas
import pytest

from edge_core.errors import (
    AlreadyExists,
    BadEntry,
    BadResponse,
    ChecksumError,
    Conflict,
    ConnectionFailed,
    EdgeError,
    NotFound,
)
from edge_core.session import EdgeSession
from edge_files.file import File
from edge_files.folder import Folder
from edge_files.wire import PART_SIZE, SMALL_CONTENT, PartToSign, SignedPart

SIZES = [
    0,
    1,
    SMALL_CONTENT,
    SMALL_CONTENT + 1,
    *(pytest.param(size, marks=pytest.mark.slow) for size in (PART_SIZE, PART_SIZE + 1, 2 * PART_SIZE + 12_345)),
]


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


class Pipe(io.RawIOBase):
    """Cannot seek, and does not know how much is to come."""

    def __init__(self, payload: bytes) -> None:
        self._inner = io.BytesIO(payload)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._inner.readinto(memoryview(buffer)[:100_000])


@pytest.mark.parametrize("size", SIZES)
def test_what_goes_up_comes_back(files: Folder, size: int, tmp_path: Path) -> None:
    payload = content(size)
    files.upload("bytes.bin", payload)
    files.upload("pipe.bin", Pipe(payload))
    local = tmp_path / "local.bin"
    local.write_bytes(payload)
    files.upload("path.bin", local)
    with local.open("rb") as file:
        files.upload("file.bin", file)
    for name in ("bytes.bin", "pipe.bin", "path.bin", "file.bin"):
        assert files.download(name, tmp_path / name).read_bytes() == payload
        with files.open(name, open_with="file") as file:
            assert isinstance(file, File)
            assert file.size == size
            assert file.read() == payload


def test_upload_takes_name_and_file_object_by_position_and_overwrites(files: Folder) -> None:
    with io.BytesIO(b"one") as file:
        files.upload("mydata.csv", file)
    files.upload("mydata.csv", b"two")
    assert files.open("mydata.csv", open_with="file").read() == b"two"
    with pytest.raises(AlreadyExists):
        files.upload("mydata.csv", b"three", overwrite=False)
    with pytest.raises(AlreadyExists):
        files.upload("mydata.csv", content(SMALL_CONTENT + 1), overwrite=False)
    assert files.open("mydata.csv", open_with="file").read() == b"two"


def test_a_file_object_at_its_end_does_not_replace_a_good_file(files: Folder) -> None:
    files.upload("a.csv", b"good")
    written = io.BytesIO()
    pandas.DataFrame({"a": [1]}).to_csv(written, index=False)
    with pytest.raises(BadEntry, match=r"seek\(0\)"):
        files.upload("a.csv", written)
    with files.open("a.csv", "file") as stored:
        assert stored.read() == b"good"
        with pytest.raises(BadEntry, match=r"seek\(0\)"):
            files.upload("copy.csv", stored)  # type: ignore[arg-type]
    assert files.list() == ["a.csv"]
    written.seek(0)
    files.upload("a.csv", written)
    assert files.open("a.csv", "text") == "a\n1\n"


def test_folders_list_their_names_in_order(files: Folder) -> None:
    for name in ("b.txt", "a/deep/one.txt", "Z.txt", "ä.txt", "a/two.txt"):
        files.upload(name, b"x")
    assert files.list() == ["Z.txt", "a", "b.txt", "ä.txt"]
    assert files.list_files() == ["Z.txt", "b.txt", "ä.txt"]
    assert files.list_folders() == ["a"]
    folder = files.open("a")
    assert isinstance(folder, Folder)
    assert folder.list() == ["deep", "two.txt"]
    assert files.open("/a/deep").list() == ["one.txt"]
    assert folder.open("deep/one.txt") == "x"
    assert repr(folder) == "<Folder '/a'>"


def test_a_listing_longer_than_a_page_is_complete(files: Folder, edge_session: EdgeSession) -> None:
    names = sorted(f"{number:02}.txt" for number in range(20))
    for name in names:
        files.upload(name, b"")
    client = edge_session.http.for_plugin("edge_files", "/v1/orgs/{organization}/files")
    for limit in (1, 7, 20):
        entries = client.items("/entries", params={"path": "", "limit": limit})
        assert [entry["name"] for entry in entries] == names
    assert files.list() == names


def test_the_error_of_a_missing_folder_or_file_names_it(files: Folder) -> None:
    files.make_folder("gone")
    folder = files.open("gone")
    files.delete("gone")
    for call in (folder.list, folder.list_files, folder.list_folders):
        with pytest.raises(NotFound, match="gone"):
            call()
    with pytest.raises(NotFound, match=r"nothing\.csv"):
        files.open("nothing.csv")


def test_make_folder_gives_the_folder(files: Folder) -> None:
    folder = files.make_folder("runs/2024")
    folder.upload("a.txt", b"x")
    assert files.open("runs").list_folders() == ["2024"]
    with pytest.raises(AlreadyExists):
        files.make_folder("runs/2024")
    assert files.make_folder("runs/2024", exist_ok=True).list() == ["a.txt"]
    with pytest.raises(AlreadyExists):
        files.make_folder("runs/2024/a.txt", exist_ok=True)


def test_move_and_rename(files: Folder) -> None:
    files.upload("New Folder/a.txt", b"a")
    files.make_folder("Imported Data")
    files.move("New Folder", "Imported Data/New Folder")
    assert files.open("Imported Data/New Folder").list() == ["a.txt"]
    files.rename("Imported Data/New Folder", "Old Folder")
    assert files.open("Imported Data").list() == ["Old Folder"]
    files.upload("b.txt", b"b")
    with pytest.raises(AlreadyExists):
        files.rename("b.txt", "Imported Data")
    files.upload("c.txt", b"c")
    for attempt in (files.rename, files.move):
        with pytest.raises(AlreadyExists):
            attempt("b.txt", "c.txt")
    files.move("b.txt", "c.txt", overwrite=True)
    assert files.list_files() == ["c.txt"]
    assert files.open("c.txt") == "b"
    with pytest.raises(Conflict):
        files.move("Imported Data", "Imported Data/Old Folder/x")
    with pytest.raises(BadEntry, match="use move"):
        files.rename("c.txt", "a/b")
    with pytest.raises(NotFound):
        files.move("nothing", "something")


def test_delete_takes_a_full_folder_only_with_recursive(files: Folder) -> None:
    files.upload("a/b/c.txt", b"x")
    with pytest.raises(Conflict, match="recursive"):
        files.delete("a")
    assert files.open("a/b/c.txt") == "x"
    files.delete("a/b/c.txt")
    files.delete("a/b")
    files.upload("a/d.txt", b"x")
    files.delete("a", recursive=True)
    assert files.list() == []
    with pytest.raises(NotFound):
        files.delete("a")


@pytest.mark.parametrize("call", ["open", "download", "delete", "make_folder"])
@pytest.mark.parametrize("name", ["", "/"])
def test_an_empty_name_never_means_the_folder_itself(files: Folder, call: str, name: str) -> None:
    files.upload("keep/me.txt", b"x")
    with pytest.raises(BadEntry, match="empty"):
        getattr(files.open("keep"), call)(name)
    assert files.open("keep/me.txt") == "x"


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../x", ".", "./x", "a//b", "//a", "a/", "nul\0", "new\nline", "\x7f", "\ud800", "x" * 256, "ä" * 128],
)
def test_an_invalid_name_is_a_bad_entry_and_stores_nothing(files: Folder, name: str) -> None:
    for call in (lambda: files.upload(name, b"x"), lambda: files.make_folder(name), lambda: files.open(name)):
        with pytest.raises(BadEntry):
            call()
    assert files.list() == []


@pytest.mark.parametrize(
    "name",
    [
        "with space.txt",
        "100%.txt",
        "a+b&c=d?e#f.txt",
        "back\\slash.txt",
        "..hidden.txt",
        "quote'\".txt",
        "ünïcödé 文件 🧪.txt",
        "%2e%2e.txt",
        "x" * 251 + ".txt",
        "<script>.txt",
        "-rf.txt",
        "~.txt",
        " lead and trail .txt",
    ],
)
def test_odd_names_are_names_like_any_other(files: Folder, name: str, tmp_path: Path) -> None:
    files.upload(f"odd/{name}", b"x")
    assert files.open("odd").list() == [name]
    assert files.open(f"odd/{name}") == "x"
    assert files.download(f"odd/{name}", tmp_path / "local").read_bytes() == b"x"
    link = files.open(f"odd/{name}", open_with="file").download_url()
    assert urllib.request.urlopen(link).read() == b"x"
    files.rename(f"odd/{name}", "plain.txt")
    files.delete("odd/plain.txt")


def test_names_are_the_same_in_every_normal_form(files: Folder) -> None:
    files.upload("u\u0308.txt", b"x")
    assert files.list() == ["\u00fc.txt"]
    assert files.open("\u00fc.txt") == "x"
    assert files.open("u\u0308.txt") == "x"


def test_a_download_lands_under_its_name_or_at_localpath(
    files: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files.upload("runs/a.txt", b"new")
    assert files.download("runs/a.txt") == Path("a.txt")
    (tmp_path / "sub").mkdir()
    assert files.download("runs/a.txt", "sub") == Path("sub/a.txt")
    (tmp_path / "old.txt").write_bytes(b"old content")
    assert files.download("runs/a.txt", localpath=tmp_path / "old.txt").read_bytes() == b"new"
    (tmp_path / "usual").touch(0o666)
    assert os.stat("a.txt").st_mode == os.stat("usual").st_mode
    with pytest.raises(FileNotFoundError, match="make it first"):
        files.download("runs/a.txt", "no/such/folder.txt")
    with pytest.raises(NotADirectoryError, match="old.txt is not a folder"):
        files.download("runs/a.txt", "old.txt/a.txt")
    with pytest.raises(BadEntry, match="is a folder"):
        files.download("runs")
    os.mkfifo("pipe")
    with pytest.raises(BadEntry, match="not an ordinary file"):
        files.download("runs/a.txt", "pipe")


@pytest.mark.slow
def test_downloads_of_many_threads_obey_the_umask_and_leave_it_alone(files: Folder, tmp_path: Path) -> None:
    for n in range(8):
        files.upload(f"many/{n}.txt", b"x")
    program = """
import concurrent.futures, os, pathlib, sys
from edge.api import EdgeSession

os.umask(0o027)
files = EdgeSession().files
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda n: files.download(f"many/{n}.txt", sys.argv[1]), range(8)))
    list(pool.map(lambda n: files.download_folder("many", pathlib.Path(sys.argv[1], str(n) + "-")), range(8)))
assert os.umask(0) == 0o027
"""
    settings = files._store.session.config  # type: ignore[attr-defined]
    environment = {
        "EDGE_API_TOKEN": settings.api_token,
        "EDGE_API_SERVICE_URL": settings.service_url,
        "EDGE_API_ORG": settings.organization,
    }
    subprocess.run([sys.executable, "-c", program, tmp_path], env={**os.environ, **environment}, check=True)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*.txt")}
    assert modes == {0o640}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir() if path.is_dir()} == {0o750}


def test_a_download_has_the_time_of_modification(files: Folder, tmp_path: Path) -> None:
    for name, payload in (("runs/a.txt", b"x"), ("runs/empty", b""), ("runs/large.bin", content(SMALL_CONTENT + 1))):
        files.upload(name, payload)
        modified_at = files.stat(name).modified_at
        epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        nanoseconds = (modified_at - epoch) // dt.timedelta(microseconds=1) * 1000
        os.utime(files.download(name, tmp_path), (1, 1))  # as if an older file were there
        for path in (files.download(name, tmp_path), files.download_folder("runs", tmp_path / "runs") / name[5:]):
            assert path.stat().st_mtime_ns == nanoseconds


def test_a_failed_download_leaves_the_old_file_and_nothing_else(
    files: Folder, edge_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = content(SMALL_CONTENT + 10)
    files.upload("a.bin", payload)
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    (stored,) = [
        path
        for path in (edge_server.data / "content").rglob("*")
        if path.is_file() and path.stat().st_size == len(payload) and path.read_bytes() == payload
    ]
    os.chmod(stored, 0o600)
    with stored.open("r+b") as file:
        file.seek(77)
        file.write(bytes([payload[77] ^ 1]))
    with pytest.raises(ChecksumError):
        files.download("a.bin", target)
    with pytest.raises(ChecksumError):
        files.open("a.bin", open_with="file").read()
    with stored.open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(EdgeError):
        files.download("a.bin", target)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert target.read_bytes() == b"old"


def test_an_opened_file_keeps_giving_its_version(files: Folder) -> None:
    for size in (1000, SMALL_CONTENT + 10):
        old, new = content(size), content(size + 1)
        files.upload("a.bin", old)
        opened = files.open("a.bin", open_with="file")
        start = opened.read(100)
        files.upload("a.bin", new)
        opened.seek(100)
        assert start + opened.read() == old
        files.delete("a.bin")
        opened.seek(0)
        assert opened.read() == old


def test_reading_on_is_two_requests_and_a_jump_another(
    files: Folder, edge_session: EdgeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = content(3 * SMALL_CONTENT)
    files.upload("a.bin", payload)
    sent: list[str] = []
    send = edge_session.http._send_once

    def count(call: Any, request: Any) -> Any:
        sent.append(f"{call.method} {call.url.partition('?')[0].rpartition('/')[2]}")
        return send(call, request)

    monkeypatch.setattr(edge_session.http, "_send_once", count)
    opened = files.open("a.bin", open_with="file")
    assert sent == ["GET entry"], "opening is one request"
    assert b"".join(iter(lambda: opened.read(8192), b"")) == payload
    assert len(sent) == 3, "the beginning with the signed address, and the rest from that"
    opened.seek(10)
    assert opened.read(10) == payload[10:20]
    assert len(sent) == 3, "the beginning is kept"
    opened.seek(SMALL_CONTENT)
    assert opened.read(10) == payload[SMALL_CONTENT : SMALL_CONTENT + 10]
    assert len(sent) == 4


def test_the_signed_link_needs_no_token_and_ends(files: Folder, edge_session: EdgeSession) -> None:
    files.upload("a.txt", b"hello")
    link = files.open("a.txt", open_with="file").download_url(expires_in=dt.timedelta(minutes=1))
    assert link.startswith(edge_session.config.service_url)
    assert edge_session.config.api_token not in link
    with urllib.request.urlopen(link) as answer:
        assert answer.read() == b"hello"
        assert 'filename="a.txt"' in answer.headers["Content-Disposition"]
    for wrong in (0, 8 * 86_400):
        with pytest.raises(BadEntry, match="expires_in"):
            files.open("a.txt", open_with="file").download_url(expires_in=wrong)


def test_an_upload_that_fails_shows_nothing_and_keeps_the_old(files: Folder) -> None:
    files.upload("a.bin", b"old")

    class Breaks(Pipe):
        def readinto(self, buffer: Any) -> int:
            if self._inner.tell() > PART_SIZE:
                raise OSError(5, "Input/output error")
            return super().readinto(buffer)

    with pytest.raises(EdgeError, match="local file cannot be read"):
        files.upload("a.bin", Breaks(content(3 * PART_SIZE)))
    assert files.open("a.bin", open_with="file").read() == b"old"
    assert files.list() == ["a.bin"]


def test_of_writers_at_once_all_succeed_and_a_single_version_is_whole(files: Folder) -> None:
    sources = [content(size) for size in (10, 2000, SMALL_CONTENT + 5, PART_SIZE + 5)]
    errors: list[BaseException] = []

    def write(payload: bytes) -> None:
        try:
            files.upload("a.bin", payload)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(payload,)) for payload in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    seen = hashlib.sha256(files.open("a.bin", open_with="file").read()).digest()
    assert seen in {hashlib.sha256(payload).digest() for payload in sources}


def test_another_organizations_files_cannot_be_read(edge_server: Any, files: Folder) -> None:
    files.upload("secret.txt", b"x")
    mine = files._store.session.organization  # type: ignore[attr-defined]
    other = edge_server.create_organization()
    token = edge_server.create_token(edge_server.create_user(organization=other))
    with EdgeSession(token, edge_server.url, mine) as stranger:
        for call in (stranger.files.list, lambda: stranger.files.open("secret.txt")):
            with pytest.raises(NotFound):
                call()


def test_a_server_that_is_gone_is_named_in_the_error(edge_session: EdgeSession) -> None:
    settings = edge_session.config
    with EdgeSession(settings.api_token, "http://127.0.0.1:9", settings.organization, retries=0) as edge:
        for call in (edge.files.list, lambda: edge.files.upload("a", b"x"), lambda: edge.files.open("a")):
            with pytest.raises(ConnectionFailed, match="nothing listens"):
                call()


@pytest.mark.parametrize("header", ["Host", "authorization", "Cookie", "X-Forwarded-For"])
def test_a_part_carries_no_header_that_could_speak_for_the_user(
    files: Folder, monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    def sign(_: Any, parts: list[PartToSign]) -> dict[int, SignedPart]:
        signed = {"url": "http://127.0.0.1:1/", "expires_at": dt.datetime.now(dt.UTC), "headers": {header: "x"}}
        return {part.n: SignedPart(n=part.n, **signed) for part in parts}

    monkeypatch.setattr("edge_files.sending._Sending._sign", sign)
    with pytest.raises(BadResponse, match="headers of part 1 that no store needs"):
        files.upload("a.bin", bytes(SMALL_CONTENT + 1))
    assert not files.exists("a.bin")


def test_the_prefix_of_the_command_line_is_explained(files: Folder) -> None:
    files.upload("a.txt", b"a")
    for path in ("edge:a.txt", "edge:/a.txt", "edge://a.txt"):
        with pytest.raises((NotFound, BadEntry), match='"edge:" is for the command line, leave it out here'):
            files.open(path)
    files.upload("edge:a.txt", b"b")
    assert files.open("edge:a.txt") == "b", "it is a name like any other"
