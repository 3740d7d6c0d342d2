"""Folders of many files: small ones go in batches, one that fails stops no other, and what is unchanged does not go."""

from __future__ import annotations

import errno
import hashlib
import os
import pathlib
import stat
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from edge_core.errors import AlreadyExists, BadEntry, ChecksumError, ConnectionFailed, EdgeError, NotFound
from edge_vfs import Folder
from edge_vfs.progress import TransferProgress
from edge_vfs.report import IncompleteTransfer, TransferReport
from edge_vfs.source import Source
from edge_vfs.store import BatchLimits, SmallFile
from edge_vfs.transfers import many

from .stores import Reader, Stat, Tree


class Store(Tree):
    """A store in memory that takes batches of up to 4 files, 100 bytes, and 50 bytes of a file.

    Attributes:
        most: how many files a batch may have before something on the way refuses it.
        batches: paths of each batch that was taken or sent.
        alone: paths of files that were written or read by themselves.
    """

    def __init__(self, files: dict[str, bytes] | None = None, most: int = 4) -> None:
        super().__init__({} if files is None else files)
        self.folders: set[str] = set()
        self.most = most
        self.batches: list[list[str]] = []
        self.alone: list[str] = []
        self.batch_limits: BatchLimits | None = BatchLimits(4, 100, 50)
        self.times: dict[str, int | None] = {}
        self.failing: dict[str, Exception] = {}
        self._lock = threading.Lock()

    def stat(self, path: str, /) -> Stat:
        if path in self.folders:
            return Stat(path.rpartition("/")[2], None, None, "folder")
        stat = super().stat(path)
        return stat._replace(sha256=hashlib.sha256(self.files[path]).hexdigest()) if stat.kind == "file" else stat

    def make_folder(self, path: str, /, *, exist_ok: bool) -> None:
        if path in self.failing:
            raise self.failing[path]
        try:
            self.stat(path)
        except NotFound:
            self.folders.add(path)
        else:
            if not exist_ok:
                raise AlreadyExists(f"{path} exists")

    def write(self, path: str, source: Source, /, *, overwrite: bool, **options: Any) -> None:
        content = b"".join(part.read() for part in source.parts(1 << 20))
        self._put(path, content, overwrite)
        self.alone.append(path)

    def write_many(self, files: Sequence[SmallFile], /, *, overwrite: bool) -> list[EdgeError | None]:
        self._take(file.path for file in files)
        failures: list[EdgeError | None] = []
        for file in files:
            assert hashlib.sha256(file.content).hexdigest() == file.sha256
            try:
                self._put(file.path, file.content, overwrite)
                self.times[file.path] = file.mtime_ns
                failures.append(None)
            except EdgeError as error:
                failures.append(error)
        return failures

    def read_many(self, files: Sequence[tuple[str, Any]], /) -> list[bytes | None]:
        self._take(path for path, _ in files)
        return [self.sent(path) for path, _ in files]

    def sent(self, path: str) -> bytes | None:
        return self.files[path]

    def reader(self, path: str, stat: Any, /) -> Reader:
        reader = Reader(self.files[path], None)
        begin = reader.open

        def opened(start: int, stop: int, /) -> Any:
            self.alone.append(path)
            return begin(start, stop)

        reader.open = opened  # type: ignore[method-assign]
        return reader

    def _take(self, paths: Any) -> None:
        paths = list(paths)
        if len(paths) > self.most:
            raise BadEntry("a proxy takes no more", status=413)
        with self._lock:
            self.batches.append(paths)

    def _put(self, path: str, content: bytes, overwrite: bool) -> None:
        if path in self.failing:
            raise self.failing[path]
        if path in self.files and not overwrite:
            raise AlreadyExists(f"{path} exists")
        self.files[path] = content


def of(store: Any) -> Folder:
    return Folder(store)


@pytest.fixture
def local(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of ten small files and a large one, in two folders, and two empty folders."""
    top = tmp_path / "local"
    for path, content in FILES.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(content)
    (top / "empty" / "inner").mkdir(parents=True)
    return top


FILES = {**{f"day-{n % 2}/{n}.csv": bytes([n]) * n for n in range(10)}, "day-1/large": bytes(51)}


def below(files: dict[str, bytes]) -> dict[str, bytes]:
    return {path.removeprefix("runs/"): content for path, content in files.items()}


def test_small_files_go_in_batches_and_large_ones_alone(local: pathlib.Path) -> None:
    store, reports = Store(), list[TransferReport]()
    assert of(store).upload_folder("runs", local, report=reports.append).path == "/runs"
    assert below(store.files) == FILES
    assert store.alone == ["runs/day-1/large"]
    ordered = [f"runs/day-{day}/{n}.csv" for day in (0, 1) for n in range(day, 10, 2)]
    assert sorted(store.batches) == [ordered[:4], ordered[4:8], ordered[8:]]
    assert store.folders == {"runs", "runs/empty/inner"}
    assert store.times["runs/day-0/2.csv"] == (local / "day-0/2.csv").stat().st_mtime_ns
    (report,) = reports
    assert report == TransferReport(tuple(sorted(FILES)), (), (), 45 + 51, report.seconds)


def test_they_come_back_in_batches(local: pathlib.Path, tmp_path: pathlib.Path) -> None:
    store, reports = Store({f"runs/{path}": content for path, content in FILES.items()}), list[TransferReport]()
    target = of(store).download_folder("runs", tmp_path / "copy", report=reports.append)
    assert contents(target) == FILES
    assert sorted(map(len, store.batches)) == [2, 4, 4]
    assert store.alone == ["runs/day-1/large"]
    assert reports[0].sent == tuple(sorted(FILES))
    assert reports[0].bytes == 45 + 51


def contents(top: pathlib.Path) -> dict[str, bytes]:
    return {path.relative_to(top).as_posix(): path.read_bytes() for path in top.rglob("*") if path.is_file()}


@pytest.mark.parametrize("most", [3, 1, 0])
def test_a_batch_that_is_too_large_on_the_way_is_halved(local: pathlib.Path, tmp_path: pathlib.Path, most: int) -> None:
    store = Store(most=most)
    of(store).upload_folder("runs", local)
    assert below(store.files) == FILES
    assert {len(batch) for batch in store.batches} <= {2}
    assert contents(of(store).download_folder("runs", tmp_path / "copy")) == FILES
    assert (store.batches == []) is (most < 2)


def test_a_store_that_turns_out_to_take_no_batches_takes_files(local: pathlib.Path, tmp_path: pathlib.Path) -> None:
    store = Store()
    tried = []

    def unknown(*_: object, **__: object) -> Any:
        tried.append(1)
        store.batch_limits = None
        raise NotFound("this server does not know that address", status=404, code="unknown_route")

    store.write_many = store.read_many = unknown  # type: ignore[method-assign]
    of(store).upload_folder("runs", local)
    assert below(store.files) == FILES
    assert contents(of(store).download_folder("runs", tmp_path / "copy")) == FILES
    assert len(tried) <= 4


def test_a_file_that_fails_stops_no_other(local: pathlib.Path) -> None:
    store = Store()
    store.failing = {f"runs/day-{n}": error for n, error in (("0/2.csv", AlreadyExists("taken")),)}
    store.failing |= {"runs/day-1/large": BadEntry("refused"), "runs/empty/inner": AlreadyExists("a file")}
    unreadable = local / "day-1" / "3.csv"
    unreadable.unlink()
    unreadable.symlink_to(local / "gone")
    reports: list[TransferReport] = []
    with pytest.warns(UserWarning, match="leads nowhere"), pytest.raises(IncompleteTransfer) as raised:
        of(store).upload_folder("runs", local, report=reports.append)
    report = raised.value.report
    assert [(failure.path, failure.reason) for failure in report.failed] == [
        ("day-0/2.csv", "taken"),
        ("day-1/large", "refused"),
        ("empty/inner", "a file"),
    ]
    assert (reports[0].sent, reports[0].failed) == (report.sent, report.failed)
    assert set(report.sent) == FILES.keys() - {"day-0/2.csv", "day-1/3.csv", "day-1/large"}
    assert str(raised.value).startswith("3 of 11 files could not be uploaded, all others were: 'day-0/2.csv': taken; ")


def test_a_local_file_that_cannot_be_read_is_a_file_that_fails(
    local: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Any) -> Source:
        if str(path).endswith(("4.csv", "large")):
            raise PermissionError(13, "Permission denied", path)
        return Source(path)

    monkeypatch.setattr(many, "Source", denied)
    with pytest.raises(IncompleteTransfer, match=r"day-0/4\.csv.*Permission denied") as raised:
        of(Store()).upload_folder("runs", local)
    assert [failure.path for failure in raised.value.report.failed] == ["day-0/4.csv"]


def test_stop_ends_the_call_with_the_first_failure(local: pathlib.Path) -> None:
    store = Store()
    store.failing = {"runs/day-0/2.csv": AlreadyExists("taken")}
    with pytest.raises(AlreadyExists, match=r"^taken; \d+ of 11 files had been uploaded before$"):
        of(store).upload_folder("runs", local, on_error="stop")
    with pytest.raises(ValueError, match='on_error must be "continue" or "stop", not \'ignore\''):
        of(store).upload_folder("runs", local, on_error="ignore")  # type: ignore[arg-type]


def test_what_every_file_would_meet_ends_the_call(local: pathlib.Path, tmp_path: pathlib.Path) -> None:
    store = Store()
    store.failing = {"runs/day-0/0.csv": ConnectionFailed("the server is gone")}
    reports: list[TransferReport] = []
    with pytest.raises(ConnectionFailed, match=r"^the server is gone; \d+ of 11 files had been uploaded before$"):
        of(store).upload_folder("runs", local, report=reports.append)
    assert len(reports) == 1


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = Folder(Store({"top/a": b"a", "top/b": b"b"}))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as failed:
        folder.download("top/a", tmp_path)
    assert failed.value.filename == str(tmp_path / "a")
    with pytest.raises(OSError, match="No space left") as failed:
        folder.download_folder("top", tmp_path / "top")
    assert failed.value.filename == str(tmp_path / "top" / "a")
    assert failed.value.__notes__ == ["0 of 2 files had been downloaded before"]
    assert os.listdir(tmp_path / "top") == []


def test_what_is_unchanged_does_not_go(local: pathlib.Path, tmp_path: pathlib.Path) -> None:
    store, states, reports = Store(), list[TransferProgress](), list[TransferReport]()
    folder = of(store)
    folder.upload_folder("runs", local)
    store.batches.clear()
    store.alone.clear()
    (local / "day-0" / "4.csv").write_bytes(b"new!")
    (local / "day-0" / "6.csv").write_bytes(b"longer than it was")
    folder.upload_folder("runs", local, report=reports.append, progress=states.append)
    assert store.batches == [["runs/day-0/4.csv", "runs/day-0/6.csv"]]
    assert store.alone == []
    assert (len(reports[0].sent), len(reports[0].skipped)) == (2, 9)
    assert (states[-1].files, states[-1].skipped_files, states[-1].total_files) == (2, 9, 11)
    assert states[-1].bytes + states[-1].skipped_bytes == states[-1].total_bytes

    copy = folder.download_folder("runs", tmp_path / "copy")
    (copy / "day-0" / "4.csv").write_bytes(b"old!")
    os.utime(copy / "day-1" / "large", (0, 0))
    store.batches.clear()
    store.alone.clear()
    folder.download_folder("runs", copy, report=reports.append)
    assert store.alone == ["runs/day-0/4.csv"]
    assert (reports[-1].sent, len(reports[-1].skipped)) == (("day-0/4.csv",), 10)
    assert contents(copy) == below(store.files)
    assert (copy / "day-1" / "large").stat().st_mtime != 0


def test_what_may_not_be_replaced_is_refused_even_if_it_is_the_same(local: pathlib.Path) -> None:
    folder = of(Store())
    folder.upload_folder("runs", local)
    with pytest.raises(
        IncompleteTransfer, match="^11 of 11 files could not be uploaded: .*, or overwrite=True replaces it; "
    ):
        folder.upload_folder("runs", local, overwrite=False)
    with pytest.raises(AlreadyExists, match="; 0 of 11 files had been uploaded before$"):
        folder.upload_folder("runs", local, overwrite=False, on_error="stop")


@pytest.mark.skipif(os.name != "posix", reason="only there can a folder be written to disk")
def test_the_disk_is_waited_for_once_for_the_names_of_a_batch(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store({f"top/{n}": b"content" for n in range(8)})
    waits: list[bool] = []
    fsync = os.fsync

    def counting(handle: int) -> None:
        waits.append(stat.S_ISDIR(os.fstat(handle).st_mode))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", counting)
    Folder(store).download_folder("top", tmp_path / "down")
    assert len(store.batches) == 2
    assert sorted(waits) == [False] * 8 + [True] * 2
    assert len(list((tmp_path / "down").iterdir())) == 8


def test_a_file_of_a_batch_that_cannot_be_replaced_stops_no_other(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store({f"top/{name}": name.encode() for name in "abcd"})
    replace = os.replace

    def replacing(source: str, target: str) -> None:
        if os.path.basename(target) == "b":
            raise PermissionError(errno.EPERM, "not permitted", source)
        replace(source, target)

    monkeypatch.setattr(os, "replace", replacing)
    with pytest.raises(IncompleteTransfer) as caught:
        Folder(store).download_folder("top", tmp_path / "down")
    (failure,) = caught.value.report.failed
    assert failure.path == "b"
    assert str(tmp_path / "down" / "b") in failure.reason
    assert sorted(path.name for path in (tmp_path / "down").iterdir()) == ["a", "c", "d"]


@pytest.mark.parametrize(
    ("sent", "error"),
    [(lambda content: content[:-1] + b"?", ChecksumError), (lambda content: content[:-1], ChecksumError)],
)
def test_what_arrives_damaged_is_not_kept(
    tmp_path: pathlib.Path, sent: Callable[[bytes], bytes], error: type[Exception]
) -> None:
    store = Store({"runs/a": b"123", "runs/b": b"456", "runs/c": b"789"})
    store.sent = lambda path: (
        None
        if path == "runs/c"
        # type: ignore[method-assign]
        else (sent(store.files[path]) if path == "runs/b" else store.files[path])
    )
    with pytest.raises(IncompleteTransfer) as raised:
        of(store).download_folder("runs", tmp_path / "copy")
    (failure,) = raised.value.report.failed
    assert failure.path == "b"
    assert isinstance(failure.error, error)
    assert contents(tmp_path / "copy") == {"a": b"123", "c": b"789"}
    assert store.alone == ["runs/c"]
