"""Progress of long calls: one `Tracker` of each call counts, and tells a bar, a callback and the session's hooks.

Counting is cheap and may be done by several threads at once. Who listens is told by whichever thread counts when it is
time, one report after another, so that no report is older than the one before.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol, TypeAlias

from edge_core import sizes
from edge_core.errors import MissingPackage

log = logging.getLogger("edge")

INTERVAL = 0.125
"""Seconds between two reports of a call; with the report that begins the last phase, a second has at most ten."""

RATE_SECONDS = 5.0
"""Seconds over which the rate is measured."""

BAR_BYTES = 64 << 20
"""Bytes of a transfer that has a bar from its beginning."""

BAR_SECONDS = 2.0
"""Seconds after which any other call has a bar."""

LISTING_SECONDS = 0.5
"""Seconds after which a bar shows that files are being listed; that of a single file never does."""

SWITCH = "EDGE_PROGRESS"
"""Name of the environment variable that turns all bars off if it is ``0``."""

NAME_WIDTH = 24
"""Maximum number of characters of a name in front of a bar."""

Direction: TypeAlias = Literal["upload", "download", "copy", "move", "delete", "check"]

Phase: TypeAlias = Literal["listing", "sending", "receiving", "copying", "moving", "deleting", "checking", "completing"]

_WORK: dict[Direction, Phase] = {
    "upload": "sending",
    "download": "receiving",
    "copy": "copying",
    "move": "moving",
    "delete": "deleting",
    "check": "checking",
}

_OF_BYTES = frozenset({"upload", "download", "check"})


@dataclasses.dataclass(frozen=True, slots=True)
class TransferProgress:
    """How far a call has come.

    Of one call, `files`, `bytes`, `skipped_files` and `skipped_bytes` never decrease, and never exceed the totals.

    Attributes:
        direction: ``"upload"``, ``"download"``, ``"copy"``, ``"move"``, ``"delete"`` or ``"check"``.
        path: path of the file or folder of the call, from the root and without a leading ``/``.
        phase: ``"listing"``, then ``"sending"``, ``"receiving"``, ``"copying"``, ``"moving"``, ``"deleting"`` or
            ``"checking"``, then ``"completing"``: all bytes have gone, and are being confirmed.
        files: number of files that are done.
        total_files: number of files in all, and while listing, of those listed so far; 0 where nothing is counted,
            as in a deletion that is a single request.
        bytes: bytes that went; 0 where they do not go through this machine.
        total_bytes: bytes in all, `skipped_bytes` with them; None if that is not known.
        skipped_files: number of files that need not go, as the other side has them; not in `files`.
        skipped_bytes: bytes that need not go; not in `bytes`.
        rate: bytes per second over the last seconds, or files per second where no bytes go; None if not known yet.
        eta: seconds left at this rate; None if not known.
    """

    direction: Direction
    path: str
    phase: Phase
    files: int
    total_files: int
    bytes: int
    total_bytes: int | None
    skipped_files: int
    skipped_bytes: int
    rate: float | None
    eta: float | None


class FsspecCallback(Protocol):
    """What is used of an fsspec ``Callback``."""

    def set_size(self, size: int, /) -> object: ...
    def absolute_update(self, value: int, /) -> object: ...


Progress: TypeAlias = bool | Callable[[TransferProgress], object] | FsspecCallback | None
"""The argument `progress` of long calls.

True shows a bar, False none; None shows one on a terminal or in a notebook if the call is long and tqdm installed. A
function is called with a `TransferProgress` at most ten times a second, and once at the end if the call succeeds.
"""


class Hear(Protocol):
    """Takes note of the progress of a file, as `FileStore.progress` does."""

    def __call__(self, direction: str, path: str, done: int, total: int | None, /, *, finished: bool) -> None: ...


class Tracker:
    """Counts what a call has done; any number of threads may count at once.

    Leaving its ``with`` block without an error sends the last report.

    Args:
        direction: what the call does.
        path: path of the file or folder that it is called for.
        progress: the argument of the call.
        hear: is told of each file, and of its end however many there are.

    Raises:
        MissingPackage: `progress` is True, and tqdm is not installed.
        TypeError: `progress` is none of what it can be.
    """

    def __init__(self, direction: Direction, path: str, progress: Progress, hear: Hear | None = None) -> None:
        self._direction: Direction = direction
        self._path = path
        self._listeners = _listeners(progress)
        self._hear = hear
        self._lock = threading.Lock()  # held while counting
        self._telling = threading.Lock()  # held while the listeners are told
        self._due = 0.0
        self._phase: Phase = "listing"
        self._files = 0
        self._total_files = 0
        self._completing_files = 0
        self._bytes = 0
        self._peak_bytes = 0
        self._total_bytes = 0
        self._unmeasured_files = 0
        self._skipped_files = 0
        self._skipped_bytes = 0
        self._speed = _Speed()

    def expect(self, size: int | None = None, *, files: int = 1) -> None:
        """Count files that have been listed.

        Args:
            size: bytes of all of them; None if that is not known.
            files: number of files.
        """
        with self._lock:
            self._total_files += files
            if size is None:
                self._unmeasured_files += files
            else:
                self._total_bytes += size
        self._report_if_due()

    @contextlib.contextmanager
    def file(self, path: str, size: int | None) -> Iterator[FileTracker]:
        """Count a file as done when the block ends without an error.

        Args:
            path: the file's path.
            size: bytes that were expected of it; None if that was not known.
        """
        self._begin()
        tracker = FileTracker(self, path, size)
        yield tracker
        tracker._finish()

    def done(self, files: int = 1) -> None:
        """Count files as done that no bytes are counted of."""
        self._begin()
        with self._lock:
            self._files += files
        self._report_if_due()

    def skip(self, size: int, *, files: int = 0) -> None:
        """Count bytes, and files, that were expected and need not go as the other side has them."""
        self._begin()
        with self._lock:
            self._skipped_bytes += size
            self._skipped_files += files
        self._report_if_due()

    def _begin(self) -> None:
        """End the phase of listing."""
        if self._phase == "listing":
            with self._lock:
                self._phase = _WORK[self._direction]
            self._speed.start(time.monotonic())

    def _report_if_due(self, file: FileTracker | None = None) -> None:
        if time.monotonic() < self._due or not self._telling.acquire(blocking=False):
            return  # too soon, or another thread is about to report
        try:
            if time.monotonic() >= self._due:
                self._report(file)
        finally:
            self._telling.release()

    def _report(self, file: FileTracker | None = None) -> None:
        """Tell all listeners; the caller holds `_telling`."""
        if self._listeners:
            state = self._state()
            for listener in tuple(self._listeners):
                self._tell(listener, state)
        if file is not None:
            self._tell_of(file)
        self._due = time.monotonic() + INTERVAL

    def _tell(self, listener: Callable[[TransferProgress], object], state: TransferProgress) -> None:
        try:
            listener(state)
        except Exception as error:
            self._listeners.remove(listener)
            log.warning(
                "the progress of the %s of %r is not shown any more, since its callback failed with %s: %s",
                *(self._direction, self._path, type(error).__name__, error),
            )

    def _tell_of(self, file: FileTracker, *, finished: bool = False) -> None:
        if self._hear is not None:
            done, total = file._state()
            self._hear(self._direction, file.path, done, done if finished else total, finished=finished)

    def _state(self) -> TransferProgress:
        with self._lock:
            # What is sent again is taken off the count, and not off what was told.
            self._peak_bytes = sent = max(self._peak_bytes, self._bytes)
            known = self._phase == "listing" or not self._unmeasured_files
            # A file can be longer than it was when it was listed.
            total = max(self._total_bytes, sent + self._skipped_bytes) if known and self._counts_bytes else None
            files, skipped_files, skipped = self._files, self._skipped_files, self._skipped_bytes
            total_files = max(self._total_files, files + skipped_files)
            phase = self._phase
        if self._counts_bytes:
            rate = self._speed.of(sent, time.monotonic())
            left = None if total is None else total - sent - skipped
        else:
            rate = self._speed.of(files, time.monotonic())
            left = total_files - files - skipped_files
        eta = left / rate if rate and left is not None and phase != "listing" else None
        return TransferProgress(
            *(self._direction, self._path, phase, files, total_files, sent, total, skipped_files, skipped, rate, eta)
        )

    @property
    def _counts_bytes(self) -> bool:
        return self._direction in _OF_BYTES

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        try:
            if kind is None:
                with self._telling:
                    self._phase = "completing"
                    self._report()
        finally:
            for listener in self._listeners:
                if isinstance(listener, Bar):
                    with contextlib.suppress(Exception):  # of a terminal that is gone
                        listener.close()


class FileTracker:
    """Counts the bytes of one file; made by `Tracker.file`.

    Attributes:
        path: the file's path.
    """

    def __init__(self, call: Tracker, path: str, size: int | None) -> None:
        self.path = path
        self._call = call
        self._size = size
        self._bytes = 0
        self._peak_bytes = 0
        self._skipped_bytes = 0
        self._is_completing = False

    def add(self, count: int) -> None:
        """Count bytes that went; a negative number of those that will be sent again."""
        call = self._call
        with call._lock:
            self._bytes += count
            call._bytes += count
        call._report_if_due(self)

    def skip(self, count: int) -> None:
        """Count bytes that need not go, as the other side has them."""
        with self._call._lock:
            self._skipped_bytes += count
        self._call.skip(count)

    def completing(self) -> None:
        """Say that all bytes of the file have gone, and are being confirmed."""
        call = self._call
        with call._lock:
            if not self._is_completing:
                self._is_completing = True
                call._completing_files += 1
            if call._files + call._skipped_files + call._completing_files < call._total_files:
                return
            call._phase = "completing"
        with call._telling:
            call._report(self)

    def restarting(self) -> None:
        """Say that bytes of the file go again, though all had gone."""
        call = self._call
        with call._lock:
            if self._is_completing:
                self._is_completing = False
                call._completing_files -= 1
                call._phase = _WORK[call._direction]

    def _finish(self) -> None:
        call = self._call
        with call._lock:
            call._files += 1
            if self._is_completing:
                call._completing_files -= 1
            # It can be longer or shorter than it was when it was listed.
            call._total_bytes += self._bytes + self._skipped_bytes - (self._size or 0)
            if self._size is None:
                call._unmeasured_files -= 1
        if call._hear is not None:
            with call._telling:
                call._tell_of(self, finished=True)
        call._report_if_due()

    def _state(self) -> tuple[int, int | None]:
        """Return the bytes that have gone or need not go, and those of the whole file if they are known."""
        with self._call._lock:
            self._peak_bytes = max(self._peak_bytes, self._bytes + self._skipped_bytes)
            return self._peak_bytes, None if self._size is None else max(self._size, self._peak_bytes)


class _Speed:
    """Measures how fast a count grows, over `RATE_SECONDS`."""

    def __init__(self) -> None:
        self._samples: collections.deque[tuple[float, int]] = collections.deque()

    def start(self, now: float) -> None:
        self._samples.append((now, 0))

    def of(self, count: int, now: float) -> float | None:
        if not self._samples:
            return None
        self._samples.append((now, count))
        while len(self._samples) > 2 and now - self._samples[1][0] >= RATE_SECONDS:
            self._samples.popleft()
        before, counted = self._samples[0]
        return (count - counted) / (now - before) if now > before else None


def _listeners(progress: Progress) -> list[Callable[[TransferProgress], object]]:
    """Return who is told of the progress of a call."""
    if progress is None:
        return [Bar(at_once=False)] if _shows_bars() and (_is_terminal() or in_notebook()) else []
    if isinstance(progress, bool):
        if not progress or not _shows_bars():
            return []
        _tqdm()  # its absence is told before anything is done
        return [Bar(at_once=True)]
    # By its class, as a mock has any attribute.
    if all(callable(getattr(type(progress), name, None)) for name in ("set_size", "absolute_update")):
        return [_Fsspec(progress)]  # type: ignore[arg-type]
    if callable(progress):
        return [progress]
    raise TypeError(
        f"progress must be True, False, None, a function or an fsspec Callback, not {type(progress).__name__}"
    )


class _Fsspec:
    """Tells an fsspec Callback."""

    def __init__(self, callback: FsspecCallback) -> None:
        self._callback = callback
        self._size: int | None = None

    def __call__(self, state: TransferProgress) -> None:
        if state.phase == "listing":
            return
        done, total = _counted(state)
        if total is not None and total != self._size:
            self._callback.set_size(total)
            self._size = total
        self._callback.absolute_update(done)


def _counted(state: TransferProgress) -> tuple[int, int | None]:
    """Return what has been done and need not be done, and all there is to do: bytes, or files where no bytes go."""
    if state.direction in _OF_BYTES:
        return state.bytes + state.skipped_bytes, state.total_bytes
    return state.files + state.skipped_files, state.total_files


class Bar:
    """A bar of tqdm.

    Args:
        at_once: whether it appears as soon as bytes go, and not only once the call turns out to be long.
    """

    def __init__(self, *, at_once: bool) -> None:
        self._at_once = at_once
        self._began = time.monotonic()
        self._bar: Any = None
        self._is_listing = False

    def __call__(self, state: TransferProgress) -> None:
        is_listing = state.phase == "listing"
        if self._bar is None or is_listing != self._is_listing:
            if self._bar is None and not self._is_due(state):
                return
            if self._bar is not None:
                self._bar.leave = False
                self._bar.close()
            self._is_listing = is_listing
            self._bar = self._opened(state)
        self._show(state)

    def _is_due(self, state: TransferProgress) -> bool:
        seconds = time.monotonic() - self._began
        if state.phase == "listing" and seconds <= LISTING_SECONDS:
            return False
        if self._at_once:
            return state.total_files > 0
        if state.files + state.skipped_files >= state.total_files:
            return False  # it would only flash up
        long = state.phase != "listing" and (state.total_bytes or 0) > BAR_BYTES
        return (long or seconds > BAR_SECONDS) and _tqdm_or_none() is not None

    def _opened(self, state: TransferProgress) -> Any:
        name = _printable(state.path.rpartition("/")[2])
        if len(name) > NAME_WIDTH:
            name = name[: NAME_WIDTH - 3] + "..."
        in_files = self._is_listing or state.direction not in _OF_BYTES
        unit = {"unit": " files"} if in_files else {"unit": "B", "unit_scale": True}
        return _tqdm()(
            total=None if self._is_listing else _counted(state)[1],
            desc=name or state.direction,
            # A bar below another one, such as that of the caller's own loop, goes when it is done.
            leave=True if in_notebook() else None,
            dynamic_ncols=True,
            mininterval=0,
            **unit,
        )

    def _show(self, state: TransferProgress) -> None:
        bar = self._bar
        if self._is_listing:
            done, total = state.total_files, None
        else:
            done, total = _counted(state)
        bar.measured_rate = state.rate
        if bar.total is not None:
            bar.total = total
        bar.set_postfix_str(_postfix(state), refresh=False)
        bar.n = done
        bar.refresh()

    def close(self) -> None:
        """Leave the bar as it is, at the end of the call."""
        if self._bar is not None:
            self._bar.close()


def _postfix(state: TransferProgress) -> str:
    """Return what stands after a bar."""
    words = []
    if state.phase != "listing" and state.direction in _OF_BYTES and state.total_files > 1:
        words.append(f"{state.files + state.skipped_files}/{state.total_files} files")
    if state.skipped_bytes:
        words.append(f"{sizes.shown(state.skipped_bytes)} skipped")
    is_complete = state.files + state.skipped_files >= state.total_files
    if state.phase == "listing" or (state.phase == "completing" and not is_complete):
        words.append(state.phase)
    return ", ".join(words)


def _printable(name: str) -> str:
    r"""Return a name without the characters that a terminal would obey.

    >>> _printable("\x1b]0;owned\x07plate-7.csv")
    '?]0;owned?plate-7.csv'
    """
    return "".join(character if character.isprintable() else "?" for character in name)


@functools.cache
def _tqdm() -> Any:
    """Return the class of bars for where this runs.

    Raises:
        MissingPackage: tqdm is not installed.
    """
    try:
        with warnings.catch_warnings():
            # In a notebook without ipywidgets the bar is text, and a warning tells to install them.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("tqdm"):
            raise
        raise MissingPackage(
            "progress=True needs tqdm, which is not installed; install the extra 'progress' of edge-vfs "
            "(README, Install), or leave progress out",
            name="tqdm",
        ) from None

    class MeasuredBar(tqdm):  # type: ignore[misc]
        """Shows the rate that was measured; tqdm's own would count what is skipped."""

        monitor_interval = 0  # no thread that looks after slow bars
        measured_rate: float | None = None

        @property
        def format_dict(self) -> dict[str, Any]:
            return {**super().format_dict, "rate": self.measured_rate}

    return MeasuredBar


def _tqdm_or_none() -> Any:
    try:
        return _tqdm()
    except MissingPackage:
        return None


def _shows_bars() -> bool:
    return os.environ.get(SWITCH) != "0"


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # a program without a console has none, or has closed it
        return False


def in_notebook() -> bool:
    """Return whether this runs in the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in shell.config
