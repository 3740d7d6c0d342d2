"""`edge://` in fsspec: what writes, copies, moves and deletes, and how many requests that costs."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gc
import gzip
import io
import lzma
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.callbacks import Callback
from upath import UPath

from edge_core.errors import AlreadyExists
from edge_core.session import EdgeSession
from edge_files.filesystem import EdgeFileSystem
from edge_files.folder import Folder

MIB = 1 << 20


@pytest.fixture
def fs(edge_session: EdgeSession) -> EdgeFileSystem:
    return fsspec.filesystem("edge", session=edge_session)


@pytest.fixture
def files(edge_session: EdgeSession) -> Folder:
    return edge_session.files


@pytest.fixture
def address(edge_session: EdgeSession) -> dict[str, Any]:
    """The options of an address."""
    return {"session": edge_session}


@pytest.fixture
def calls(edge_session: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests of the session so far, as method and last segment of the path."""
    sent: list[str] = []
    send = edge_session.http._send_once

    def noting(call: Any, request: Any) -> Any:
        *_, kind, last = call.url.partition("?")[0].split("/")
        sent.append(f"{call.method} {kind if call.signed else last}")
        return send(call, request)

    monkeypatch.setattr(edge_session.http, "_send_once", noting)
    return sent


# --- writing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1000, 3 * MIB])
def test_a_file_appears_whole_when_it_is_closed(fs: EdgeFileSystem, files: Folder, size: int) -> None:
    content = os.urandom(size)
    with fs.open("runs/a", "wb") as file:
        file.write(content[: size // 2])
        file.write(content[size // 2 :])
        assert file.tell() == size
        assert not files.exists("runs/a")
    assert files.read_bytes("runs/a") == content


def test_a_small_file_is_a_single_request(fs: EdgeFileSystem, calls: list[str]) -> None:
    with fs.open("a", "wb") as file:
        file.write(b"content")
    fs.pipe_file("b", b"content")
    assert calls == ["PUT content"] * 2


def fail_directly(fs: EdgeFileSystem, address: dict[str, Any]) -> None:
    with fs.open("a", "wb") as file:
        file.write(b"half")
        raise KeyError


def fail_as_text(fs: EdgeFileSystem, address: dict[str, Any]) -> None:
    with fsspec.open("edge://a", "wt", compression="gzip", encoding="utf-8", **address) as file:
        file.write("half")
        raise KeyError


def fail_by_address(fs: EdgeFileSystem, address: dict[str, Any]) -> None:
    with fsspec.open("edge://a", "wb", **address) as file:
        file.write(b"half")
        raise KeyError


def fail_in_an_open_text(fs: EdgeFileSystem, address: dict[str, Any]) -> None:
    with fsspec.open("edge://a", "wt", encoding="utf-8", **address).open() as file:
        file.write("half")
        raise KeyError


def fail_in_a_wrapper(fs: EdgeFileSystem, address: dict[str, Any]) -> None:
    with io.TextIOWrapper(fs.open("a", "wb"), encoding="utf-8") as file:
        file.write("half")
        raise KeyError


def fail_in_a_stack(fs: EdgeFileSystem, address: dict[str, Any]) -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(io.BufferedWriter(fs.open("a", "wb"))).write(b"half")
        raise KeyError


def fail_in_a_generator(fs: EdgeFileSystem, address: dict[str, Any]) -> None:
    @contextlib.contextmanager
    def opened() -> Iterator[Any]:
        with io.TextIOWrapper(fs.open("a", "wb"), encoding="utf-8") as file:
            yield file

    with opened() as file:
        file.write("half")
        raise KeyError


def fail_in_arrow(fs: EdgeFileSystem, address: dict[str, Any]) -> None:
    table = pa.table({"a": [1]})
    with pq.ParquetWriter("a", table.schema, filesystem=fs) as writer:
        writer.write_table(table)
        raise KeyError


def fail_in_an_arrow_stream(fs: EdgeFileSystem, address: dict[str, Any]) -> None:
    with pa.PythonFile(fs.open("a", "wb"), mode="w") as stream:
        stream.write(b"half")
        raise KeyError


class Broken:
    def __str__(self) -> str:
        raise KeyError

    def __repr__(self) -> str:
        return "Broken()"


BROKEN = pd.DataFrame({"a": [1] * 5000 + [Broken()]})


def fail_in_csv(fs: EdgeFileSystem, address: dict[str, Any]) -> None:
    BROKEN.to_csv("edge://a", storage_options=address, chunksize=1000)


def fail_in_compressed_csv(fs: EdgeFileSystem, address: dict[str, Any]) -> None:
    BROKEN.to_csv("edge://a", storage_options=address, chunksize=1000, compression="gzip")


def fail_in_zipped_csv(fs: EdgeFileSystem, address: dict[str, Any]) -> None:
    BROKEN.to_csv("edge://a", storage_options=address, chunksize=1000, compression="zip")


FAILING = [
    fail_directly,
    fail_as_text,
    fail_by_address,
    fail_in_an_open_text,
    fail_in_a_wrapper,
    fail_in_a_stack,
    fail_in_a_generator,
    fail_in_arrow,
    fail_in_an_arrow_stream,
    fail_in_csv,
    fail_in_compressed_csv,
    fail_in_zipped_csv,
]


@pytest.mark.parametrize("fail", FAILING)
def test_an_exception_leaves_the_file_as_it_was(
    fs: EdgeFileSystem, files: Folder, address: dict[str, Any], fail: Any
) -> None:
    files.write_bytes("a", b"before")
    with pytest.raises(KeyError):
        fail(fs, address)
    assert files.read_bytes("a") == b"before"
    assert files.uploads() == []


def excel(address: dict[str, Any]) -> None:
    BROKEN.to_excel("edge://a.xlsx", storage_options=address)


def excel_of_an_unknown_option(address: dict[str, Any]) -> None:
    pd.DataFrame({"a": [1]}).to_excel("edge://a.xlsx", storage_options=address, engine_kwargs={"unknown": 1})


def excel_in_a_block(address: dict[str, Any]) -> None:
    with pd.ExcelWriter("edge://a.xlsx", storage_options=address) as writer:
        pd.DataFrame({"a": [1]}).to_excel(writer, sheet_name="first")
        BROKEN.to_excel(writer, sheet_name="second")


def parquet_of_inexact_times(address: dict[str, Any]) -> None:
    frame = pd.DataFrame({"n": [1], "t": pd.to_datetime(["2026-01-01T00:00:00.000001"])})
    frame.to_parquet("edge://a.xlsx", storage_options=address, coerce_timestamps="ms", allow_truncated_timestamps=False)


def parquet_of_an_unknown_type(address: dict[str, Any]) -> None:
    frame = pd.DataFrame({"a": [pd.DateOffset(months=1)]})
    frame.to_parquet("edge://a.xlsx", storage_options=address)


@pytest.mark.filterwarnings("ignore:.*was never closed")  # pandas closes nothing if a workbook cannot be saved
@pytest.mark.parametrize(
    ("fail", "error"),
    [
        (excel, KeyError),
        (excel_of_an_unknown_option, TypeError),
        (excel_in_a_block, KeyError),
        (parquet_of_inexact_times, pa.ArrowInvalid),
        (parquet_of_an_unknown_type, pa.ArrowNotImplementedError),
    ],
)
def test_pandas_that_fails_leaves_the_file_as_it_was(
    files: Folder, address: dict[str, Any], fail: Any, error: type[Exception]
) -> None:
    files.write_bytes("a.xlsx", b"before")
    with pytest.raises(error):
        fail(address)
    gc.collect()
    assert files.read_bytes("a.xlsx") == b"before"
    assert files.uploads() == []


def test_what_an_exception_is_written_about_is_stored(
    fs: EdgeFileSystem, files: Folder, address: dict[str, Any]
) -> None:
    class Log:
        def __enter__(self) -> Any:
            self.file = io.TextIOWrapper(fs.open("log.txt", "wb"))
            return self.file

        def __exit__(self, *arguments: object) -> None:
            pd.DataFrame({"reason": ["it failed"]}).to_csv("edge://log.csv", storage_options=address)
            pd.DataFrame({"reason": ["it failed"]}).to_excel("edge://log.xlsx", storage_options=address)
            with fs.open("log.json", "w") as file:
                file.write("{}")
            self.file.write("it failed")
            self.file.close()

    with pytest.raises(KeyError), Log():
        raise KeyError
    try:
        raise KeyError
    except KeyError:
        pd.DataFrame({"reason": ["it failed"]}).to_excel("edge://handled.xlsx", storage_options=address)
    assert files.read_bytes("log.txt") == b"it failed"
    assert files.list() == ["handled.xlsx", "log.csv", "log.json", "log.txt", "log.xlsx"]


def test_a_file_is_stored_while_another_exception_is_handled(fs: EdgeFileSystem, files: Folder) -> None:
    file = fs.open("a", "wb")
    try:
        raise KeyError
    except KeyError:
        file.write(b"content")
        file.close()
    assert files.read_bytes("a") == b"content"


def test_a_writer_that_nobody_closes_stores_nothing(fs: EdgeFileSystem, files: Folder) -> None:
    file = fs.open("a", "wb")
    file.write(b"half")
    with pytest.warns(ResourceWarning, match="was never closed"):
        del file
    assert not files.exists("a")


def test_only_a_new_name(fs: EdgeFileSystem, files: Folder) -> None:
    with fs.open("a", "xb") as file:
        file.write(b"content")
    with pytest.raises(FileExistsError):
        fs.open("a", "xb")
    with pytest.raises(FileExistsError) as refused:
        fs.pipe_file("a", b"other", mode="create")
    assert isinstance(refused.value, AlreadyExists)
    files.make_folder("runs")
    with pytest.raises(FileExistsError), fs.open("runs", "wb") as file:
        file.write(b"other")
    assert files.read_bytes("a") == b"content"


@pytest.mark.parametrize("mode", ["ab", "r+b", "w+b", "a", "r+", "at", "rb+"])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_nothing_is_changed_in_place(fs: EdgeFileSystem, files: Folder, mode: str, compression: str | None) -> None:
    files.write_bytes("a", b"content")
    advice = "replaced as a whole .* download it, change the local file and upload that"
    for name in ("a", "new"):
        with pytest.raises(io.UnsupportedOperation, match=advice):
            fs.open(name, mode, compression=compression)
    with pytest.raises(io.UnsupportedOperation, match=advice), fsspec.open("edge://a", mode, session=fs.session):
        pass
    assert files.read_bytes("a") == b"content"
    assert files.list() == ["a"]


def test_touch(fs: EdgeFileSystem, files: Folder) -> None:
    fs.touch("runs/a", truncate=False)
    files.write_bytes("runs/a", b"content")
    with pytest.raises(io.UnsupportedOperation, match="cannot be changed; leave it, or replace it by truncate=True"):
        fs.touch("runs/a", truncate=False)
    fs.touch("runs/a")
    assert files.read_bytes("runs/a") == b""


def test_files_of_a_transaction_appear_at_its_end(fs: EdgeFileSystem, files: Folder) -> None:
    with fs.transaction:
        with fs.open("a", "wb") as file:
            file.write(b"content")
        fs.pipe_file("b", b"content")
        fs.put_file(__file__, "c")
        assert files.list() == []
    assert files.list() == ["a", "b", "c"]
    with pytest.raises(KeyError), fs.transaction:
        fs.pipe_file("a", b"other")
        raise KeyError
    assert files.read_bytes("a") == b"content"
    fs.pipe_file("a", b"other")
    assert files.read_bytes("a") == b"other"


# --- transfers ------------------------------------------------------------------------------------


class Noting(Callback):  # type: ignore[misc]  # fsspec ships no types
    """Notes the calls of a file system."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.children: list[Noting] = []

    def branched(self, path_1: str, path_2: str, **_: Any) -> Any:
        self.children.append(Noting())
        return self.children[-1]


def test_small_files_travel_together(fs: EdgeFileSystem, files: Folder, calls: list[str], tmp_path: Path) -> None:
    local = tmp_path / "runs"
    for number in range(30):
        (local / f"{number % 3}").mkdir(parents=True, exist_ok=True)
        (local / f"{number % 3}" / f"{number}.txt").write_text(f"{number}")
    callback = Noting()
    fs.put(str(local), "runs", recursive=True, callback=callback)
    assert calls.count("POST batch") == 1
    assert len(calls) <= 8
    assert (callback.size, callback.value) == (34, 34)
    calls.clear()
    fs.get("runs", str(tmp_path / "back"), recursive=True)
    assert calls.count("POST read") == 1
    assert len(calls) <= 4
    assert {path.name: path.read_text() for path in (tmp_path / "back").rglob("*.txt")} == {
        f"{number}.txt": f"{number}" for number in range(30)
    }


def test_a_file_is_transferred_with_its_progress(fs: EdgeFileSystem, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(os.urandom(3 * MIB))
    callback = Noting()
    fs.put(str(tmp_path / "a"), "runs/a", callback=callback)
    fs.get("runs/a", str(tmp_path / "b"), callback=callback)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert [(child.size, child.value) for child in callback.children] == [(3 * MIB, 3 * MIB)] * 2
    with (tmp_path / "c").open("wb") as file:
        fs.get_file("runs/a", file)
    assert (tmp_path / "c").read_bytes() == (tmp_path / "a").read_bytes()


# --- folders, copies, moves -----------------------------------------------------------------------


def test_copies_and_moves_stay_on_the_server(fs: EdgeFileSystem, files: Folder, calls: list[str]) -> None:
    for name in ("a.csv", "b.csv", "c [1].csv"):
        files.write_bytes(f"runs/{name}", name.encode())
    calls.clear()
    fs.mv("runs", "kept")
    assert calls.count("POST move") == 1
    fs.cp("kept", "copies", recursive=True)
    assert calls.count("POST copy") == 3
    assert not {"GET content", "PUT content"} & set(calls)
    assert files.open("copies").list() == ["a.csv", "b.csv", "c [1].csv"]
    fs.mv("copies/?.csv", "moved/")
    assert files.open("moved").list() == ["a.csv", "b.csv"]
    fs.mv("copies/c [1].csv", "moved/d.csv")
    fs.cp("moved/d.csv", "moved/a.csv")
    assert files.read_bytes("moved/a.csv") == b"c [1].csv"
    with pytest.raises(FileNotFoundError):
        fs.mv("nothing", "other")
    with pytest.raises(FileNotFoundError):
        fs.cp("nothing", "other")


def test_deleting(fs: EdgeFileSystem, files: Folder, calls: list[str]) -> None:
    for path in ("a*b", "axb", "runs/1/a", "runs/2/b", "more/c"):
        files.write_bytes(path, b"")
    fs.rm("a*b")
    assert files.exists("axb"), "a file that has the name of a pattern is the one that is meant"
    with pytest.raises(OSError, match="is not empty"):
        fs.rm("runs")
    calls.clear()
    fs.rm(["runs", "more"], recursive=True)
    assert calls.count("DELETE entry") == 2
    assert files.list() == ["axb"]
    with pytest.raises(FileNotFoundError):
        fs.rm("runs", recursive=True)
    with pytest.raises(OSError, match="root itself"):
        fs.rm("", recursive=True)
    fs.rm_file("axb")
    assert files.list() == []


def test_folders(fs: EdgeFileSystem, files: Folder) -> None:
    fs.mkdir("runs/2024")
    with pytest.raises(FileExistsError):
        fs.mkdir("runs/2024")
    with pytest.raises(FileNotFoundError):
        fs.mkdir("other/2024", create_parents=False)
    fs.makedirs("runs/2024", exist_ok=True)
    fs.makedirs("", exist_ok=True)
    with pytest.raises(FileExistsError):
        fs.makedirs("runs/2024")
    files.write_bytes("runs/a", b"")
    with pytest.raises(NotADirectoryError):
        fs.rmdir("runs/a")
    fs.rmdir("runs/2024")
    assert files.open("runs").list() == ["a"]


@pytest.mark.parametrize("size", [3, 3 << 20])
def test_an_exception_discards_a_text(fs: EdgeFileSystem, files: Folder, address: dict[str, Any], size: int) -> None:
    files.write_bytes("a.txt", b"before")
    for text in (
        fs.open("a.txt", "w"),
        fs.open("a.txt", "wt", encoding="utf-16"),
        UPath("edge://a.txt", **address).open("w"),
    ):
        with pytest.raises(ZeroDivisionError), text:
            text.write("x" * size)
            raise ZeroDivisionError
    assert files.read_bytes("a.txt") == b"before"
    assert files.uploads() == []
    with fs.open("a.txt", "w", encoding="latin-1", newline="\r\n") as text:
        text.write("ä\n" * size)
    assert files.read_bytes("a.txt") == b"\xe4\r\n" * size
    with fs.open("a.txt", "r", encoding="latin-1") as text:
        assert text.readline() == "ä\n"
    with fs.open("a.txt", "w", encoding="utf-16") as text:
        text.write("ä")
    assert files.read_bytes("a.txt") == codecs.BOM_UTF16 + "ä".encode("utf-16")[2:]


def unzipped(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(archive.namelist()[0])


UNPACKED = {"gzip": gzip.decompress, "bz2": bz2.decompress, "xz": lzma.decompress, "zip": unzipped, "zstd": None}


@pytest.mark.parametrize("compression", UNPACKED)
def test_compressed_content(fs: EdgeFileSystem, files: Folder, compression: str) -> None:
    suffix = {name: suffix for suffix, name in fsspec.utils.compressions.items()}[compression]
    content = os.urandom(3 * MIB) + b"first\nsecond\n"
    unpacked = UNPACKED[compression]
    for options in ({"compression": compression}, {"compression": "infer"}):
        path = f"{options['compression']}.{suffix}"
        with fs.open(path, "wb", **options) as file:
            file.write(content[:1000])
            file.flush()
            file.write(content[1000:])
            assert not files.exists(path)
        assert unpacked is None or unpacked(files.read_bytes(path)) == content
        with fs.open(path, "rb", **options) as file:
            beneath = file._file
            assert file.read(3 * MIB) == content[: 3 * MIB]
            assert file.readline() == b"first\n"
            assert file.tell() == 3 * MIB + 6
            assert list(file) == [b"second\n"]
        assert beneath.closed
    text = fs.open("text", "xt", compression=compression, encoding="utf-8", newline="")
    text.write("ä\n" * 1000)
    text.close()
    with fs.open("text", "r", compression=compression, encoding="utf-8", newline="") as text:
        assert text.read() == "ä\n" * 1000
    assert fs.read_text("text", compression=compression, encoding="utf-8").count("ä") == 1000


@pytest.mark.parametrize("compression", UNPACKED)
@pytest.mark.parametrize("size", [3, 3 * MIB])
def test_an_exception_discards_compressed_content(
    fs: EdgeFileSystem, files: Folder, compression: str, size: int
) -> None:
    files.write_bytes("a", b"before")
    for file, half in (
        (fs.open("a", "wb", compression=compression), os.urandom(size)),
        (fs.open("a", "w", compression=compression, encoding="latin-1"), os.urandom(size).decode("latin-1")),
        (io.TextIOWrapper(fs.open("a", "wb", compression=compression), "latin-1"), os.urandom(size).decode("latin-1")),
    ):
        with pytest.raises(ZeroDivisionError), file:
            file.write(half)
            raise ZeroDivisionError
        assert file.closed
    file = fs.open("a", "wb", compression=compression)
    file.write(os.urandom(size))
    sending = file._file._writer._sending
    with pytest.warns(ResourceWarning, match="was never closed"):
        del file
    sending.wait()
    assert files.read_bytes("a") == b"before"
    assert files.uploads() == []


def test_compressed_content_of_a_transaction_appears_at_its_end(fs: EdgeFileSystem, files: Folder) -> None:
    with fs.transaction:
        with fs.open("a.gz", "w", compression="infer") as file:
            file.write("content")
        with pytest.raises(ZeroDivisionError), fs.open("b.gz", "w", compression="infer") as file:
            file.write("half")
            raise ZeroDivisionError
        assert files.list() == []
    assert files.list() == ["a.gz"]
    assert gzip.decompress(files.read_bytes("a.gz")) == b"content"


def test_compressed_content_that_fsspec_leaves_open_is_not_stored(files: Folder, address: dict[str, Any]) -> None:
    def write() -> None:
        with fsspec.open("edge://a", "wt", compression="gzip", encoding="utf-8", **address).open() as file:
            file.write("content")

    with pytest.warns(ResourceWarning, match="was never closed"):
        write()
    assert files.list() == []


def test_what_cannot_be_opened_stores_nothing(fs: EdgeFileSystem, files: Folder) -> None:
    with pytest.raises(ValueError, match="lz5"):
        fs.open("a", "wb", compression="lz5")
    with pytest.raises(LookupError, match="utf-5"):
        fs.open("a", "w", encoding="utf-5")
    with pytest.raises(LookupError, match="utf-5"):
        fs.open("a", "w", encoding="utf-5", compression="gzip")
    assert files.list() == []
