"""Downloads of large content: what an interruption leaves, what damage and other processes do, and the connections."""

from __future__ import annotations

import contextlib
import errno
import gc
import hashlib
import itertools
import mmap
import os
import random
import stat
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from edge_core.errors import ChecksumError, ConnectionFailed, NotFound
from edge_vfs import Folder, digests, workers
from edge_vfs.content import Content
from edge_vfs.progress import TransferProgress
from edge_vfs.transfers import download, fetching, part_file
from edge_vfs.transfers.part_file import PartFile, is_part

from . import interrupts, stores

PART = 1 << 16

COUNT = 40

CONTENT = random.Random(17).randbytes(PART * COUNT - 1234)


class Stat(NamedTuple):
    name: str
    size: int
    sha256: str | None
    digest: str | None
    part_size: int | None
    version: str | None = "v1"
    kind: str = "file"
    modified_at: Any = stores.Stat("", 0, None).modified_at


class Reader(stores.Reader):
    """Calls `on_block` with the position of each block that it sends, which may change or break it."""

    def __init__(self, content: bytes, on_block: Callable[[int, bytes], bytes]) -> None:
        super().__init__(content, None)
        self._on_block = on_block
        self._lock = threading.Lock()

    def open(self, start: int, stop: int, /) -> Any:
        with self._lock:
            self.ranges.append((start, stop))
        return Stream(self, start, stop)


class Stream:
    def __init__(self, reader: Reader, start: int, stop: int) -> None:
        self._reader, self._position, self._stop = reader, start, stop

    def read(self, size: int, /) -> bytes:
        stop = min(self._position + size, self._stop)
        block = self._reader._on_block(self._position, self._reader._content[self._position : stop])
        self._position += len(block)
        with self._reader._lock:
            self._reader.sent += len(block)
        return block

    def close(self) -> None:
        pass


class KeepingReader(Reader):
    digest_requests = 0

    def digests(self) -> Sequence[bytes]:
        self.digest_requests += 1
        return parts_of(self._content)


def parts_of(content: bytes) -> list[bytes]:
    return [hashlib.sha256(content[at : at + PART]).digest() for at in range(0, len(content), PART)]


class Store:
    """A store of a single file; `kind` says which digests it knows: of its "parts", of the "whole", or "none"."""

    def __init__(self, kind: str = "parts", content: bytes = CONTENT, version: str = "v1") -> None:
        self.on_block: Callable[[int, bytes], bytes] = lambda position, block: block
        self.kind = kind
        self.content = content
        self.version = version
        self.content_reader: Reader

    def stat(self, path: str, /) -> Stat:
        name, size = path.rpartition("/")[2], len(self.content)
        if self.kind == "parts":
            return Stat(name, size, None, digests.of_parts(parts_of(self.content)), PART, self.version)
        sha256 = hashlib.sha256(self.content).hexdigest() if self.kind == "whole" else None
        return Stat(name, size, sha256, sha256, None, self.version)

    def reader(self, path: str, stat: Any, /) -> Reader:
        reader = KeepingReader if self.kind == "parts" else Reader
        self.content_reader = reader(self.content, lambda position, block: self.on_block(position, block))
        return self.content_reader

    def progress(self, *_: Any, **__: Any) -> None:
        pass


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of tests are small."""
    monkeypatch.setattr(download, "SMALL", PART)
    monkeypatch.setattr(download, "BLOCK", PART // 4)
    monkeypatch.setattr(fetching, "BLOCK", PART // 4)
    monkeypatch.setattr(fetching, "HELD", PART)
    monkeypatch.setattr(download, "HELD", PART)


def many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """All connections join at the second block, and stay."""
    for name, value in {"ALONE": 0.0, "MEASURED": 0, "BUSY": float("inf"), "GAIN": 0.0}.items():
        monkeypatch.setattr(fetching, name, value)


def folder_of(store: Store) -> Folder:
    return Folder(store)  # type: ignore[arg-type]


def breaks_at(position: int) -> Callable[[int, bytes], bytes]:
    def on_block(at: int, block: bytes) -> bytes:
        if at >= position:
            raise ConnectionFailed("the network is gone")
        return block

    return on_block


def unchanged(position: int, block: bytes) -> bytes:
    return block


def interrupted(store: Store, target: Path, at: int) -> Path:
    """Leave what a download leaves that is interrupted at a byte."""
    store.on_block = breaks_at(at)
    with pytest.raises(ConnectionFailed):
        folder_of(store).download("a.bin", target)
    store.on_block = unchanged
    (part,) = (path for path in target.parent.iterdir() if is_part(path.name))
    return part


@pytest.mark.parametrize("max_workers", [1, 2, 8])
@pytest.mark.parametrize("kind", ["parts", "whole", "none"])
def test_a_download_is_complete_whatever_is_known_of_the_content(tmp_path: Path, kind: str, max_workers: int) -> None:
    store = Store(kind)
    path = folder_of(store).download("a.bin", tmp_path, max_workers=max_workers)
    assert path.read_bytes() == CONTENT
    assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]
    assert store.content_reader.sent == len(CONTENT)
    (tmp_path / "usual").touch()
    assert path.stat().st_mode == (tmp_path / "usual").stat().st_mode
    with pytest.raises(ValueError, match="max_workers must be 1 or more"):
        folder_of(store).download("a.bin", tmp_path, max_workers=0)


@pytest.mark.parametrize("kind", ["parts", "whole"])
def test_the_next_download_goes_on(tmp_path: Path, kind: str) -> None:
    store = Store(kind)
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    part = interrupted(store, target, PART * 11)
    assert target.read_bytes() == b"old"
    assert stat.S_IMODE(part.stat().st_mode) == 0o600
    reports: list[TransferProgress] = []
    folder_of(store).download("a.bin", target, progress=reports.append)
    assert target.read_bytes() == CONTENT
    assert store.content_reader.sent == len(CONTENT) - PART * 11
    assert reports[-1].skipped_bytes == PART * 11
    assert reports[-1].bytes == len(CONTENT) - PART * 11
    assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]


def test_ctrl_c_leaves_what_has_arrived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    many_connections(monkeypatch)

    def interrupt(position: int, block: bytes) -> bytes:
        if position == PART * 30:
            interrupts.interrupt()
        return block

    store.on_block = interrupt
    with interrupts.interruptible(), pytest.raises(KeyboardInterrupt):
        folder_of(store).download("a.bin", tmp_path)
    received = store.content_reader.sent
    (part,) = tmp_path.iterdir()
    assert is_part(part.name)
    store.on_block = unchanged
    folder_of(store).download("a.bin", tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert received + store.content_reader.sent <= len(CONTENT) + 8 * PART


def test_nothing_is_kept_that_cannot_be_checked(tmp_path: Path) -> None:
    store = Store("none")
    part = interrupted(store, tmp_path / "a.bin", PART * 11)
    with part.open("r+b") as file:
        file.write(b"damaged")
    folder_of(store).download("a.bin", tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["parts", "whole"])
@pytest.mark.parametrize("damage", ["a byte", "a hole", "longer", "empty"])
def test_what_was_left_is_trusted_only_if_it_is_right(tmp_path: Path, kind: str, damage: str) -> None:
    store = Store(kind)
    part = interrupted(store, tmp_path / "a.bin", PART * 11)
    left = part.read_bytes()
    changed = {
        "a byte": left[:70_000] + bytes([left[70_000] ^ 1]) + left[70_001:],
        "a hole": left[: PART * 5] + bytes(PART * 6),
        "longer": left + bytes(len(CONTENT)),
        "empty": b"",
    }
    part.write_bytes(changed[damage])
    reports: list[TransferProgress] = []
    folder_of(store).download("a.bin", tmp_path, progress=reports.append)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]
    assert reports[-1].bytes + reports[-1].skipped_bytes == reports[-1].total_bytes == len(CONTENT)
    if kind == "parts":
        again = {"a byte": 30, "a hole": 35, "longer": 29, "empty": 40}
        assert store.content_reader.sent == again[damage] * PART - 1234


def test_a_part_that_was_damaged_on_its_way_is_fetched_once_more(tmp_path: Path) -> None:
    store = Store()
    flips = iter([True])

    def on_block(position: int, block: bytes) -> bytes:
        is_hit = position <= PART * 9 + 100 < position + len(block) and next(flips, False)
        return bytes(len(block)) if is_hit else block

    store.on_block = on_block
    folder_of(store).download("a.bin", tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert store.content_reader.sent == len(CONTENT) + PART


@pytest.mark.parametrize("kind", ["parts", "whole"])
def test_content_that_is_wrong_every_time_is_an_error(tmp_path: Path, kind: str) -> None:
    store = Store(kind)
    wrong = PART * 9 + 100
    store.on_block = lambda at, block: bytes(len(block)) if at <= wrong < at + len(block) else block
    (tmp_path / "a.bin").write_bytes(b"old")
    with pytest.raises(ChecksumError, match=r"a\.bin arrived, but is not what was uploaded"):
        folder_of(store).download("a.bin", tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    if kind == "whole":
        assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]
        return
    (part,) = (each for each in tmp_path.iterdir() if is_part(each.name))
    left = part.read_bytes()
    written = [n for n in range(COUNT) if left[n * PART :][:PART] == CONTENT[n * PART :][:PART]]
    # Parts after the wrong one may have arrived before it was checked.
    assert written[:9] == list(range(9))
    assert not any(left[9 * PART : 10 * PART]), "only what is right was written"
    assert all(n in written or not any(left[n * PART :][:PART]) for n in range(COUNT))
    store.on_block = unchanged
    folder_of(store).download("a.bin", tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert store.content_reader.sent == len(CONTENT) - sum(len(CONTENT[n * PART :][:PART]) for n in written)


def test_an_error_of_the_network_says_where_what_has_arrived_is_kept(tmp_path: Path) -> None:
    store = Store()
    store.on_block = breaks_at(PART * 11)
    with pytest.raises(ConnectionFailed) as failed:
        folder_of(store).download("a.bin", tmp_path)
    (part,) = (path for path in tmp_path.iterdir() if is_part(path.name))
    assert failed.value.__notes__ == [
        f"what has arrived is kept in {part}, and downloading again goes on from it",
    ]


def test_what_other_versions_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    interrupted(Store(version="v0"), target, PART * 11)
    others = [".a.bin.0123456789abcdef.part", ".b.bin.0123456789abcdef01234567.part", "a.bin.part", ".a.bin.part"]
    for name in others:
        (tmp_path / name).write_bytes(b"x")
    store = Store(version="v1", content=CONTENT[::-1])
    folder_of(store).download("a.bin", target)
    assert target.read_bytes() == CONTENT[::-1]
    assert {each.name for each in tmp_path.iterdir()} == {"a.bin", *others}


def test_what_killed_downloads_of_small_files_left_goes_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{'long-' * 20}name.bin"
    store = Store(content=b"small")
    left = [f".{name[:40]}.{'0' * 16}.part", f".{name}.{'1' * 32}.part"]
    stay = [f".other.bin.{'0' * 16}.part", f".{name[:40]}.0.part", "a.part", f".{name[:40]}.{'2' * 16}.part"]
    for path in (*left, *stay[:-1]):
        (tmp_path / path).write_bytes(b"left")
    (tmp_path / "beside").write_bytes(b"left")
    (tmp_path / stay[-1]).symlink_to("beside")
    folder_of(store).download(name, tmp_path)
    assert {name, *left, *stay} < set(os.listdir(tmp_path)), "another process may still write them"
    monkeypatch.setattr(part_file, "ABANDONED", -1.0)
    folder_of(store).download(name, tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([name, *stay, "beside"])
    os.link(tmp_path / "beside", tmp_path / left[0])
    (tmp_path / left[1]).mkdir()
    folder_of(store).download(name, tmp_path)
    assert set(left) < set(os.listdir(tmp_path)), "they are not what a download leaves"


def test_a_download_of_which_nothing_arrived_leaves_nothing(tmp_path: Path) -> None:
    store = Store()
    store.on_block = breaks_at(PART // 2)
    with pytest.raises(ConnectionFailed):
        folder_of(store).download("a.bin", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_version_that_is_gone_leaves_nothing(tmp_path: Path) -> None:
    store = Store()
    interrupted(store, tmp_path / "a.bin", PART * 11)

    def gone(position: int, block: bytes) -> bytes:
        raise NotFound("this version is gone")

    store.on_block = gone
    with pytest.raises(NotFound, match="this version is gone"):
        folder_of(store).download("a.bin", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("planted", ["symbolic link", "hard link", "folder", "pipe", "link to nowhere"])
def test_something_else_under_the_name_of_the_part_is_left_alone(tmp_path: Path, planted: str) -> None:
    store = Store()
    place = tmp_path / "place"
    place.mkdir()
    part = interrupted(store, place / "a.bin", PART * 11)
    part.unlink()
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    match planted:
        case "symbolic link":
            part.symlink_to(victim)
        case "hard link":
            os.link(victim, part)
        case "folder":
            part.mkdir()
        case "pipe":
            os.mkfifo(part)
        case "link to nowhere":
            part.symlink_to(tmp_path / "nowhere")
    before = part.lstat()
    folder_of(store).download("a.bin", place)
    assert (place / "a.bin").read_bytes() == CONTENT
    assert not (place / "a.bin").is_symlink()
    assert victim.read_bytes() == b"precious"
    assert part.lstat().st_ino == before.st_ino
    assert not (tmp_path / "nowhere").exists()
    assert {each.name for each in place.iterdir()} == {"a.bin", part.name}
    store.on_block = breaks_at(PART * 3)
    with pytest.raises(ConnectionFailed):
        folder_of(store).download("a.bin", place)
    assert {each.name for each in place.iterdir()} == {"a.bin", part.name}, "what nobody would find is not left"


@pytest.mark.parametrize("name", ["x" * 255, "\u00e4" * 127, "x" * 210])
def test_names_of_any_length(tmp_path: Path, name: str) -> None:
    store = Store()
    store.on_block = breaks_at(PART * 11)
    with pytest.raises(ConnectionFailed):
        folder_of(store).download(name, tmp_path)
    (part,) = tmp_path.iterdir()
    assert is_part(part.name)
    assert len(part.name.encode()) <= 255
    store.on_block = unchanged
    folder_of(store).download(name, tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [name]
    assert store.content_reader.sent == len(CONTENT) - PART * 11


@contextlib.contextmanager
def held_up(store: Store, tmp_path: Path, damage: Callable[[bytes], bytes] = bytes) -> Iterator[list[BaseException]]:
    """A download that waits at the 20th part until the block ends, and then goes on to its end; gives its errors."""
    entered, done = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def wait(position: int, block: bytes) -> bytes:
        if position < PART * 20:
            return block
        entered.set()
        done.wait(60)
        return damage(block)

    def work() -> None:
        try:
            folder_of(store).download("a.bin", tmp_path)
        except BaseException as error:
            errors.append(error)

    store.on_block = wait
    call = threading.Thread(target=work)
    call.start()
    try:
        entered.wait(60)
        yield errors
    finally:
        done.set()
        call.join()


def test_two_downloads_of_a_version_to_the_same_target(tmp_path: Path) -> None:
    first, second = Store(), Store()
    with held_up(first, tmp_path) as errors:
        folder_of(second).download("a.bin", tmp_path)
        assert second.content_reader.sent == len(CONTENT) - PART * 20, "what the first had written was kept"
        published = (tmp_path / "a.bin").stat()
    assert errors == []
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert (tmp_path / "a.bin").stat().st_ino == published.st_ino
    assert (tmp_path / "a.bin").stat().st_mtime_ns == published.st_mtime_ns
    assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]


def test_damage_on_the_way_of_a_download_is_never_in_the_file_of_another(tmp_path: Path) -> None:
    with held_up(Store(), tmp_path, damage=lambda block: bytes(len(block))) as errors:
        folder_of(Store()).download("a.bin", tmp_path)
    assert [type(error) for error in errors] == [ChecksumError]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]


def test_two_downloads_of_two_versions_to_the_same_target(tmp_path: Path) -> None:
    first, second = Store(version="v1"), Store(version="v2", content=CONTENT[::-1])
    with held_up(first, tmp_path) as errors:
        folder_of(second).download("a.bin", tmp_path)
        assert (tmp_path / "a.bin").read_bytes() == CONTENT[::-1]
    assert errors == []
    assert (tmp_path / "a.bin").read_bytes() == CONTENT, "the last to end stays"
    assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]
    assert first.content_reader.sent == len(CONTENT)


def test_a_full_disk_is_an_error_after_which_the_next_download_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    write = os.pwrite

    def full(handle: int, block: Any, offset: int) -> int:
        if offset >= PART * 11:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, block, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space left") as caught:
            folder_of(store).download("a.bin", tmp_path)
    assert caught.value.filename == str(tmp_path / "a.bin")
    assert "downloading again goes on from it" in caught.value.__notes__[0]
    folder_of(store).download("a.bin", tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert store.content_reader.sent == len(CONTENT) - PART * 11


def test_a_limit_of_the_size_of_files_is_an_error(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    store = Store()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PART * 11, before[1]))
    try:
        with pytest.raises(OSError, match=r"File too large.*a\.bin"):
            folder_of(store).download("a.bin", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    folder_of(store).download("a.bin", tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_system_that_writes_at_no_offset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pwrite", "pread", "fchmod", "O_NOFOLLOW", "O_NONBLOCK", "geteuid"):
        monkeypatch.delattr(os, name)
    monkeypatch.setattr(part_file, "_RENAMES_OPEN", False)
    monkeypatch.setattr(os, "supports_fd", os.supports_fd - {os.utime})
    store = Store()
    interrupted(store, tmp_path / "a.bin", PART * 11)
    many_connections(monkeypatch)
    folder_of(store).download("a.bin", tmp_path)
    path = tmp_path / "a.bin"
    assert path.read_bytes() == CONTENT
    assert path.stat().st_mtime == store.stat("a.bin").modified_at.timestamp()
    assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]


def test_a_target_that_cannot_be_replaced_leaves_the_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()

    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        with pytest.raises(PermissionError):
            folder_of(store).download("a.bin", tmp_path)
    (part,) = tmp_path.iterdir()
    folder_of(store).download("a.bin", tmp_path)
    assert store.content_reader.sent == 0
    assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]
    assert part.name != "a.bin"


def test_a_closed_file_is_never_written_to(tmp_path: Path) -> None:
    file = PartFile(tmp_path / "a.bin", "v1", 100)
    file.close()
    file.close()
    with pytest.raises(fetching.Stopped):
        file.write(b"late", 0)
    with pytest.raises(fetching.Stopped):
        file.read(4, 0)


# --- connections


class Clock:
    """Time that passes when it is told to; `computed` is that of threads."""

    def __init__(self) -> None:
        self.now = 100.0
        self.computed = 0.0

    def monotonic(self) -> float:
        return self.now

    def thread_time(self) -> float:
        return self.computed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(fetching, "time", clock)
    return clock


def receive(connections: fetching.Connections, clock: Clock, rates: list[int], share: float = 0.1) -> None:
    """Let each connection bring MiB a second for two seconds, of which a share is computed."""
    before = connections.number
    for _ in range(200):
        clock.now += 0.01
        clock.computed += 0.01 * share
        for connection, rate in enumerate(rates):
            connections.received(connection, rate * (1 << 20) // 100)
        if connections.number != before:
            return


def test_a_connection_that_is_limited_is_joined_by_all_others(clock: Clock) -> None:
    connections = fetching.Connections(8)
    assert connections.may_go(0)
    receive(connections, clock, [60])
    assert connections.number == 8
    assert connections.may_go(7)
    receive(connections, clock, [60] * 8)
    receive(connections, clock, [10] * 8)
    assert connections.number == 8, "it is decided once"


def test_connections_that_bring_nothing_more_wait(clock: Clock) -> None:
    connections = fetching.Connections(8)
    receive(connections, clock, [100])
    assert connections.number == 8
    receive(connections, clock, [15] * 8)
    assert connections.number == 1
    receive(connections, clock, [100])
    assert connections.number == 1
    connections.end()
    assert [connections.may_go(n) for n in range(8)] == [True] + [False] * 7


def test_a_connection_that_is_as_fast_as_this_machine_stays_alone(clock: Clock) -> None:
    connections = fetching.Connections(8)
    receive(connections, clock, [500], share=0.8)
    assert connections.number == 1
    connections.end()
    assert not connections.may_go(1)


def test_a_connection_that_is_limited_only_after_a_while_is_joined(clock: Clock) -> None:
    connections = fetching.Connections(8)
    receive(connections, clock, [600], share=0.9)
    assert connections.number == 1
    receive(connections, clock, [60])
    assert connections.number == 8


def test_a_connection_that_turns_out_slower_than_all_is_joined_again(clock: Clock) -> None:
    connections = fetching.Connections(8)
    receive(connections, clock, [200])
    receive(connections, clock, [30] * 8)
    assert connections.number == 1
    receive(connections, clock, [60])
    assert connections.number == 8


def test_a_connection_that_brings_nothing_for_a_while_is_joined(clock: Clock) -> None:
    connections = fetching.Connections(8)
    for _ in range(60):
        connections.received(0, 1 << 20)
    clock.now += 0.5
    assert connections.may_go(7)


def test_nginx_lets_each_connection_run_ahead_by_a_second(clock: Clock) -> None:
    connections = fetching.Connections(8)
    receive(connections, clock, [240])
    for connection in range(8):
        connections.received(connection, 1)
    for tick in range(20):  # at the end of each second, 60 MiB at once
        clock.now += 0.1
        for connection in range(8):
            connections.received(connection, 60 << 20 if tick % 10 == 9 else 0)
    assert connections.number == 8


def test_the_time_before_an_answer_counts_for_nothing(clock: Clock) -> None:
    connections = fetching.Connections(8)
    clock.now += 100
    receive(connections, clock, [60])
    clock.now += 100  # the others are being mapped
    connections.received(0, 1 << 20)
    clock.now += 100
    receive(connections, clock, [60] * 8)
    assert connections.number == 8


def test_a_single_connection_stays_alone(clock: Clock) -> None:
    connections = fetching.Connections(1)
    receive(connections, clock, [60])
    assert connections.number == 1


def test_those_that_wait_end_with_the_download() -> None:
    connections = fetching.Connections(8)
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda n=n: answers.append(connections.may_go(n))) for n in (1, 7)]
    for thread in threads:
        thread.start()
    connections.end()
    for thread in threads:
        thread.join()
    assert answers == [False, False]


def test_little_is_held_in_memory_by_many_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many_connections(monkeypatch)
    monkeypatch.setattr(fetching, "BUFFERS", 3)
    writing = PartFile.write
    lock = threading.Lock()
    received = written = most = 0

    def write(self: PartFile, block: bytes | memoryview, offset: int) -> None:
        nonlocal written
        writing(self, block, offset)
        with lock:
            written += len(block)

    def on_block(position: int, block: bytes) -> bytes:
        nonlocal received, most
        with lock:
            received += len(block)
            most = max(most, received - written)
        return block

    monkeypatch.setattr(PartFile, "write", write)
    store = Store()
    store.on_block = on_block
    assert folder_of(store).download("a.bin", tmp_path).read_bytes() == CONTENT
    assert most <= 3 * PART


def test_the_downloads_of_a_call_share_the_memory_for_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "BUFFERS", 3)
    buffers = fetching.Buffers()
    used = most = 0
    all_taken = threading.Barrier(3)
    lock = threading.Lock()

    def work(n: int) -> None:
        nonlocal used, most
        held = buffers.take()
        with lock:
            used += 1
            most = max(most, used)
        held[:] = bytes([n]) * PART
        all_taken.wait(300)
        assert held[:] == bytes([n]) * PART
        with lock:
            used -= 1
        buffers.give_back(held)

    workers.each(work, range(39), 8)
    assert most == 3


def test_memory_for_parts_is_used_again() -> None:
    buffers = fetching.Buffers()
    first = buffers.take()
    buffers.give_back(first)
    assert buffers.take() is first
    assert buffers.take() is not first


def test_every_part_is_requested_once_by_many_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many_connections(monkeypatch)
    monkeypatch.setattr(fetching, "FIRST_SPAN", 2 * PART)
    store = Store()
    second_came = threading.Event()

    def on_block(position: int, block: bytes) -> bytes:
        if len(store.content_reader.ranges) > 1:
            second_came.set()
        if position == PART:
            assert second_came.wait(60)
        return block

    store.on_block = on_block
    path = folder_of(store).download("a.bin", tmp_path)
    assert path.read_bytes() == CONTENT
    ranges = sorted(store.content_reader.ranges)
    assert len(ranges) > 2
    assert ranges[0] == (0, 2 * PART), "who turns out to be slow holds little"
    assert ranges[-1][1] == len(CONTENT)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(ranges))
    assert all(start % PART == 0 for start, _ in ranges)


def no_space(file: PartFile, block: memoryview, offset: int) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_download_releases_its_memory_although_its_error_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped: list[mmap.mmap] = []

    class Memory(mmap.mmap):
        def __init__(self, *_: Any) -> None:
            mapped.append(self)

    monkeypatch.setattr(mmap, "mmap", Memory)
    store = Store()
    store.on_block = breaks_at(PART * 9)
    with pytest.raises(ConnectionFailed) as broken:
        folder_of(store).download("a.bin", tmp_path)
    assert mapped
    assert all(memory.closed for memory in mapped)
    del broken
    mapped.clear()
    store.on_block = unchanged
    with monkeypatch.context() as full:
        full.setattr(PartFile, "_write_once", no_space)
        with pytest.raises(OSError, match="No space left") as full_disk:
            folder_of(store).download("a.bin", tmp_path)
    assert all(memory.closed for memory in mapped)
    del full_disk
    mapped.clear()
    folder_of(store).download("a.bin", tmp_path)
    assert mapped
    assert all(memory.closed for memory in mapped)


def test_a_connection_that_broke_leaves_nothing_in_memory() -> None:
    streams: list[weakref.ref[Stream]] = []

    class Breaking(Reader):
        def open(self, start: int, stop: int, /) -> Any:
            stream = super().open(start, stop)
            streams.append(weakref.ref(stream))
            return stream

    def on_block(position: int, block: bytes) -> bytes:
        if position == 0 and len(streams) == 1:
            raise ConnectionFailed("the network is gone")
        return block

    gc.disable()
    try:
        content = Content(Breaking(CONTENT, on_block), Store().stat("a.bin"), 0, PART)
        assert content.read(PART) == CONTENT[:PART]
        broken, _ = streams
        assert broken() is None
    finally:
        gc.enable()
