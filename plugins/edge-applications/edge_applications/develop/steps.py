"""Long steps: what they do is shown, what they write is kept, and what they wrote last is shown if they fail."""

from __future__ import annotations

import collections
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edge_cli import output
from edge_core.errors import EdgeError

LAST_LINES = 15

_NO_NETWORK = (
    "error sending request",
    "failed to fetch",
    "dns error",
    "enotfound",
    "econnrefused",
    "failed to establish a new connection",
    "name or service not known",
    "temporary failure in name resolution",
)
"""What uv, pip and npm write where their registry cannot be reached."""


class StepFailed(EdgeError):
    """A command that a step runs has failed."""


def run(
    title: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    folder: Path,
    verbose: bool = False,
    environment: Mapping[str, str] | None = None,
    stdin: str | None = None,
    failure: Callable[[str], str | None] = lambda _text: None,
) -> None:
    """Run a command, with all that it writes in a log.

    Args:
        title: what it does, such as `Installing packages`.
        command: the program and its arguments; no shell reads them.
        log: the file for what it writes; it is begun anew.
        folder: its working folder.
        verbose: show what it writes as well.
        environment: its environment; by default ours.
        stdin: text for its standard input, such as a password; it is not logged.
        failure: gives a sentence for what it wrote last, where that is understood.

    Raises:
        StepFailed: it cannot be started, or has failed.
    """
    output.note(f"{title} ...")
    started = time.monotonic()
    last: collections.deque[str] = collections.deque(maxlen=LAST_LINES)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", encoding="utf-8") as file:
            code = _run(command, folder, environment, stdin, _Keep(file.write, last, verbose))
    except OSError as error:
        raise StepFailed(f"{error.filename or command[0]}: {error.strerror}; {title.lower()} needs it") from None
    if code == 0:
        output.note(f"{title}: done in {time.monotonic() - started:.1f} s.")
        return
    if not verbose:
        output.text("\n".join(last), err=True)
    text = "\n".join(last)
    if any(words in text.lower() for words in _NO_NETWORK):
        reason = "the registry of packages could not be reached; connect to the network, or set its proxy"
    else:
        reason = failure(text) or f"{Path(command[0]).name} ended with exit code {code}"
    raise StepFailed(
        f"{title.lower()} failed: {reason}; the whole log is {log}; run the command again when it is solved"
    )


class _Keep:
    """Takes each line that a command writes."""

    def __init__(self, write: Callable[[str], object], last: collections.deque[str], verbose: bool) -> None:
        self._write, self._last, self._verbose = write, last, verbose

    def __call__(self, line: str) -> None:
        self._write(line)
        self._last.append(line.rstrip("\r\n"))
        if self._verbose:
            output.note(line.rstrip("\r\n"))


def _run(
    command: Sequence[str | Path],
    folder: Path,
    environment: Mapping[str, str] | None,
    stdin: str | None,
    keep: Callable[[str], None],
) -> int:
    process = subprocess.Popen(  # noqa: S603 - an argument list
        [str(part) for part in command],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    with process:
        try:
            if process.stdin is not None:
                with process.stdin as pipe:
                    pipe.write(stdin or "")

            for line in process.stdout or ():
                keep(line)
        except BaseException:
            process.kill()
            raise
        return process.wait()
