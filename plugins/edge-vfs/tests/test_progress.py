"""Progress: what bars, callbacks and hooks are told of a call, and how often."""

from __future__ import annotations

import itertools
import logging
import sys
import threading
from pathlib import Path
from typing import Any

import fsspec
import pytest

from edge_core.errors import ChecksumError, EdgeError, MissingPackage
from edge_vfs import Folder, TransferProgress, progress
from edge_vfs.progress import Tracker
from edge_vfs.source import Source

from .memory import MemoryStore
from .stores import Stat, Tree


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every count is reported."""
    monkeypatch.setattr(progress, "INTERVAL", 0.0)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard error passes for a terminal."""
    monkeypatch.setattr(progress, "_is_terminal", lambda: True)


@pytest.fixture
def without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    progress._tqdm.cache_clear()
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)


def shares(reports: list[TransferProgress]) -> list[float]:
    return [(report.bytes + report.skipped_bytes) / report.total_bytes for report in reports if report.total_bytes]


def test_a_call_is_reported_at_most_ten_times_a_second_and_at_its_end(clock: Clock) -> None:
    times: list[float] = []
    with Tracker("upload", "runs", lambda _: times.append(clock.now)) as tracker:
        tracker.expect(5000)
        with tracker.file("runs/a.bin", 5000) as file:
            for _ in range(5000):
                clock.now += 0.001
                file.add(1)
            file.completing()
        assert times[-1] == clock.now, "the phase changes"
        before = len(times)
    assert len(times) == before + 1, "the end"
    busiest = max(sum(start <= time < start + 1 for time in times[:-1]) for start in times)
    assert 8 <= busiest <= 10


def test_counts_never_decrease_and_never_exceed_the_total(often: None) -> None:
    reports: list[TransferProgress] = []
    with Tracker("upload", "runs", reports.append) as tracker:
        tracker.expect(100)
        tracker.expect(50)
        with tracker.file("runs/a.bin", 100) as file:
            for count in (40, 40, -40, 40, 20, -60, 60):
                file.add(count)
        with tracker.file("runs/grown.bin", 50) as file:
            file.add(70)
    assert shares(reports) == sorted(shares(reports))
    assert max(shares(reports)) == 1
    assert [report.bytes for report in reports] == sorted(report.bytes for report in reports)
    last = reports[-1]
    assert (last.files, last.total_files, last.bytes, last.total_bytes) == (2, 2, 170, 170)


def test_what_is_skipped_is_counted_apart_and_has_no_rate(often: None, clock: Clock) -> None:
    reports: list[TransferProgress] = []
    with Tracker("upload", "runs", reports.append) as tracker:
        tracker.expect(1000, files=2)
        tracker.skip(600, files=1)
        with tracker.file("runs/a.bin", 400) as file:
            file.skip(100)
            clock.now += 2
            file.add(100)
            halfway = reports[-1]
            file.add(200)
    assert (halfway.bytes, halfway.skipped_bytes, halfway.total_bytes) == (100, 700, 1000)
    assert (halfway.files, halfway.skipped_files, halfway.total_files) == (0, 1, 2)
    assert (halfway.rate, halfway.eta) == (50, 4)
    last = reports[-1]
    assert (last.bytes + last.skipped_bytes, last.files + last.skipped_files) == (1000, 2)
    assert max(shares(reports)) == 1


def test_the_rate_is_that_of_the_last_seconds(often: None, clock: Clock) -> None:
    reports: list[TransferProgress] = []
    with Tracker("download", "a.bin", reports.append) as tracker:
        tracker.expect(100_000)
        with tracker.file("a.bin", 100_000) as file:
            for count in [5000] * 10 + [100] * 10:
                clock.now += 1
                file.add(count)
    assert reports[8].rate == pytest.approx(5000)
    rate = reports[-3].rate
    assert rate == pytest.approx(100)
    assert reports[-3].eta == pytest.approx((100_000 - reports[-3].bytes) / rate)


def test_phases_come_in_order(often: None) -> None:
    reports: list[TransferProgress] = []
    with Tracker("download", "runs", reports.append) as tracker:
        for _ in range(2):
            tracker.expect(10)
        for path in ("runs/a", "runs/b"):
            with tracker.file(path, 10) as file:
                file.add(10)
                file.completing()
    assert [phase for phase, _ in itertools.groupby(report.phase for report in reports)] == [
        *("listing", "receiving", "completing")
    ]
    assert [(report.total_files, report.total_bytes) for report in reports[:2]] == [(1, 10), (2, 20)]
    completing = [(report.files, report.bytes) for report in reports if report.phase == "completing"]
    assert completing[0] == (1, 20), "the last file alone"
    assert completing[-1] == (2, 20)


def test_an_unknown_size_is_known_at_the_end(often: None) -> None:
    reports: list[TransferProgress] = []
    with Tracker("upload", "a.bin", reports.append) as tracker:
        tracker.expect(None)
        with tracker.file("a.bin", None) as file:
            file.add(30)
    assert {report.total_bytes for report in reports if report.phase == "sending" and not report.files} == {None}
    assert (reports[-1].bytes, reports[-1].total_bytes) == (30, 30)


def test_threads_count_exactly_and_reports_stay_in_order(often: None) -> None:
    reports: list[TransferProgress] = []
    heard: list[tuple[int, bool]] = []

    def hear(direction: str, path: str, done: int, total: int | None, /, *, finished: bool) -> None:
        heard.append((done, finished))

    switched = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with Tracker("upload", "a.bin", reports.append, hear) as tracker:
            tracker.expect(8000)
            with tracker.file("a.bin", 8000) as file:

                def send() -> None:
                    for count in [1, 1, -2, 1, 1] * 500:
                        file.add(count)

                threads = [threading.Thread(target=send) for _ in range(8)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
    finally:
        sys.setswitchinterval(switched)
    assert reports[-1].bytes == 8000
    assert [report.bytes for report in reports] == sorted(report.bytes for report in reports)
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert [end for end in heard if end[1]] == [(8000, True)]


def test_a_slow_callback_holds_up_its_own_thread_alone() -> None:
    inside, leave = threading.Event(), threading.Event()

    def slow(_: TransferProgress) -> None:
        inside.set()
        assert leave.wait(30)

    with Tracker("upload", "a.bin", slow) as tracker:
        thread = threading.Thread(target=tracker.expect, args=(100,))
        thread.start()
        assert inside.wait(30)
        with tracker.file("a.bin", 100) as file:
            file.add(100)  # and does not wait
        leave.set()
        thread.join()


def test_a_callback_that_raises_is_logged_once_and_dropped(
    often: None, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    calls: list[TransferProgress] = []

    def broken(state: TransferProgress) -> None:
        calls.append(state)
        raise RuntimeError("no display")

    folder = Folder(Tree({"a.bin": bytes(100)}))  # type: ignore[arg-type]
    assert folder.download("a.bin", tmp_path, progress=broken).read_bytes() == bytes(100)
    assert len(calls) == 1
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "download of 'a.bin' is not shown any more, since its callback failed with RuntimeError: no display" in (
        record.getMessage()
    )


def test_a_call_that_fails_has_no_last_report(often: None, tmp_path: Path) -> None:
    class Damaged(Tree):
        def stat(self, path: str, /) -> Stat:
            return super().stat(path)._replace(sha256="0" * 64)

    reports: list[TransferProgress] = []
    with pytest.raises(ChecksumError):
        Folder(Damaged({"a.bin": bytes(100)})).download("a.bin", tmp_path, progress=reports.append)  # type: ignore[arg-type]
    assert {report.phase for report in reports} == {"listing"}
    assert {report.files for report in reports} == {0}


def test_a_part_that_is_sent_again_is_counted_once() -> None:
    with Tracker("upload", "a.bin", False) as tracker, Source(bytes(100)) as source:
        tracker.expect(100)
        with tracker.file("a.bin", 100) as source.tracker:
            for part in source.parts(40):
                part.read(10)
                part.rewind()
                while part.read(7):
                    pass
            assert tracker._state().bytes == 100


def test_an_fsspec_callback_gets_the_bytes(tmp_path: Path) -> None:
    class Noting(fsspec.Callback):  # type: ignore[misc]
        def call(self, *_: Any, **__: Any) -> None:
            noted.append((self.size, self.value))

    noted: list[tuple[int | None, int]] = []
    folder = Folder(Tree({"runs/a.bin": bytes(100), "runs/b.bin": bytes(50)}))  # type: ignore[arg-type]
    folder.download_folder("runs", tmp_path / "runs", progress=Noting())
    assert noted[-1] == (150, 150)
    assert {size for size, value in noted if value} == {150}


@pytest.mark.parametrize("wrong", ["yes", 1, object()])
def test_another_value_is_refused_by_a_sentence_that_names_those_it_can_be(wrong: Any) -> None:
    with pytest.raises(TypeError, match="progress must be True, False, None, a function or an fsspec Callback, not "):
        Folder(MemoryStore()).upload("a.txt", b"x", progress=wrong)  # type: ignore[arg-type]


def test_true_shows_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    Folder(MemoryStore()).upload("runs/plate-7.bin", bytes(3_000_000), progress=True)  # type: ignore[arg-type]
    shown = capsys.readouterr()
    assert shown.out == ""
    last = shown.err.rstrip("\n").rpartition("\r")[2]
    assert last.startswith("plate-7.bin: 100%|")
    assert "listing" not in shown.err
    assert "3.00M/3.00M [" in last


def test_a_bar_of_a_folder_counts_its_files(
    often: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(progress, "LISTING_SECONDS", -1)
    folder = Folder(Tree({f"runs/{name}.bin": bytes(10) for name in "abc"}))  # type: ignore[arg-type]
    folder.download_folder("runs", tmp_path / "runs", progress=True)
    shown = capsys.readouterr().err
    assert "runs: 2 files [" in shown, "while listing"
    assert "listing]" in shown
    assert "2/3 files, completing]" in shown
    last = shown.rstrip("\n").rpartition("\r")[2]
    assert "30.0/30.0 [" in last
    assert last.rstrip().endswith("3/3 files]")


@pytest.mark.usefixtures("terminal")
def test_by_default_a_terminal_shows_a_bar_of_what_is_large_or_takes_long(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    def upload(size: int, seconds: float) -> str:
        with Tracker("upload", "a.bin", None) as tracker:
            tracker.expect(size)
            with tracker.file("a.bin", size) as file:
                for _ in range(2):
                    clock.now += seconds / 2
                    file.add(size // 2)
        return capsys.readouterr().err

    assert upload(progress.BAR_BYTES, 1.9) == ""
    assert "a.bin: " in upload(progress.BAR_BYTES + 2, 1.9)
    assert "a.bin: " in upload(100, 5)


def test_by_default_nothing_is_shown_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Tracker("upload", "a.bin", None) as tracker:
        tracker.expect(1 << 40)
        tracker.done()
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("shown", [None, True])
def test_a_variable_turns_bars_off(
    shown: bool | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGE_PROGRESS", "0")
    with Tracker("upload", "a.bin", shown) as tracker:
        tracker.expect(1 << 40)
        tracker.skip(1)
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("without_tqdm", "terminal")
def test_without_tqdm_the_default_is_silent_and_true_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "BAR_BYTES", 0)
    store = MemoryStore()
    folder = Folder(store)  # type: ignore[arg-type]
    folder.upload("a.txt", b"x")
    assert store.contents == {"a.txt": b"x"}
    with pytest.raises(MissingPackage, match="install the extra 'progress' of edge-vfs") as raised:
        folder.upload("b.txt", b"x", progress=True)
    assert raised.value.name == "tqdm"
    assert "b.txt" not in store.contents
    monkeypatch.setenv("EDGE_PROGRESS", "0")
    folder.upload("b.txt", b"x", progress=True)
    assert capsys.readouterr().err == ""
    assert caplog.records == []


def test_a_bar_obeys_no_name(capsys: pytest.CaptureFixture[str]) -> None:
    with Tracker("download", "runs/\x1b]0;owned\x07" + "a" * 40, True) as tracker:
        tracker.expect(10)
        tracker.skip(10)
    shown = capsys.readouterr().err
    assert "?]0;owned?aaaaaaaaaaa...: " in shown
    assert "\x1b]" not in shown


def test_a_terminal_that_is_gone_fails_no_call(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Gone:
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

        def write(self, _: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    store = MemoryStore()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", Gone())
        Folder(store).upload("a.txt", b"x", progress=True)  # type: ignore[arg-type]
    assert store.contents == {"a.txt": b"x"}
    assert "BrokenPipeError" in caplog.text


def test_copied_files_are_counted(often: None) -> None:
    class Copying(Tree):
        def make_folder(self, path: str, /, *, exist_ok: bool) -> None:
            pass

        def copy(self, path: str, new_path: str, /, *, overwrite: bool) -> None:
            if path.endswith("d.bin"):
                raise EdgeError("the disk is full")
            self.files[new_path] = self.files[path]

    reports: list[TransferProgress] = []
    names = [f"runs/{name}.bin" for name in "abc"]
    folder = Folder(Copying(dict.fromkeys(names, b"x")))  # type: ignore[arg-type]
    folder.copy("runs", "kept", recursive=True, progress=reports.append)
    assert [(report.phase, report.files, report.total_files) for report in reports] == [
        ("listing", 0, 3),
        *(("copying", files, 3) for files in (1, 2, 3)),
        ("completing", 3, 3),
    ]
    assert {(report.bytes, report.total_bytes) for report in reports} == {(0, None)}
