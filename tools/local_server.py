"""An Edge server in a process of its own, for benchmarks and the tests of wheels."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SETTINGS = {"EDGE_API_TOKEN", "EDGE_API_SERVICE_URL", "EDGE_API_ORG"}


class LocalServer(NamedTuple):
    """A running server.

    Attributes:
        pid: its first process; workers are children of it.
        environment: the variables a client needs, on top of this process's own.
    """

    pid: int
    environment: dict[str, str]


@contextlib.contextmanager
def local_server(data: Path, python: str = sys.executable, *options: str) -> Iterator[LocalServer]:
    """Run a new server on the folder `data` with the interpreter `python`, on a free port.

    What it wrote is printed if what was done with it failed.

    Args:
        data: the data folder; with nothing but settings in it, if anything.
        python: the interpreter.
        options: further ones of `edge server run`.

    Raises:
        RuntimeError: it ended before it listened.
    """
    command = [python, "-I", "-m", "edge_server", "run", "--data", str(data), "--port", "0", *options]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, cwd=data.parent, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        try:
            settings: dict[str, str] = {}
            while not settings.keys() >= SETTINGS:
                line = process.stdout.readline()
                if not line:
                    raise RuntimeError("the server ended before it listened")
                for word in shlex.split(line)[1:] if line.startswith("export ") else ():
                    name, _, value = word.partition("=")
                    settings[name] = value
            yield LocalServer(process.pid, {**os.environ, "no_proxy": "127.0.0.1", **settings})
        except BaseException:
            log.seek(0)
            print(log.read(), file=sys.stderr)
            raise
        finally:
            process.terminate()
            try:
                process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
