"""A stand-in for docker and podman, which records how it is called and builds nothing: few machines have an engine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_SOURCE = """\
#!{python}
import json, os, sys
calls = {calls!r}
command = sys.argv[1]
sent = sys.stdin.read() if "--password-stdin" in sys.argv else None
if command != "version":  # which looks whether the engine runs, where there is another one
    with open(calls, "a") as file:
        file.write(json.dumps({{"arguments": sys.argv[1:], "stdin": sent, "environment": dict(os.environ)}}) + "\\n")
failures = json.loads(open(calls + ".failures").read())
if command in failures:
    print(failures[command], file=sys.stderr)
    sys.exit(1)
print("done", command)
"""


class Engine:
    """The stand-in, and what it was called with.

    Attributes:
        folder: where the command is, to be put on the PATH.
    """

    def __init__(self, folder: Path, name: str = "docker") -> None:
        self.folder = folder
        self._calls = folder / "calls"
        folder.mkdir()
        command = folder / name
        command.write_text(_SOURCE.format(python=sys.executable, calls=str(self._calls)))
        command.chmod(0o755)
        self.fail({})

    def fail(self, failures: dict[str, str]) -> None:
        """Let these commands fail, such as `push`, with what docker writes then."""
        Path(f"{self._calls}.failures").write_text(json.dumps(failures))

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Arguments, standard input and environment of each call."""
        return [json.loads(line) for line in self._calls.read_text().splitlines()] if self._calls.exists() else []

    @property
    def commands(self) -> list[str]:
        """The first argument of each call."""
        return [call["arguments"][0] for call in self.calls]
