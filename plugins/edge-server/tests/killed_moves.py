"""Moves a server, and kills the move after so many steps, again and again; prints how each attempt ended.

Called with the data folder, the new settings, and as JSON the numbers of steps after which the attempts are killed. A
step is a statement to a database, or content that is written. Each attempt is a process of its own, by a fork before
anything was opened and after everything was imported.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from edge_server.data.s3_store import S3Store
from edge_server.data.store import FolderStore
from edge_server.run import move
from edge_server.run.command import server


def count(step: Callable[[], object]) -> None:
    """Call `step` before each step of this process."""

    def before_statement(*_: object) -> None:
        step()

    sa.event.listen(sa.Engine, "before_cursor_execute", before_statement)
    for kind in (FolderStore, S3Store):
        kind.write = _counted(kind.write, step)  # type: ignore[method-assign]


def _counted(write: Callable[..., Any], step: Callable[[], object]) -> Callable[..., Any]:
    def counted(*arguments: Any) -> Any:
        step()
        written = write(*arguments)
        step()
        return written

    return counted


def attempt(folder: str, settings: str, steps: int) -> None:
    """Move until so many steps were taken."""
    done = itertools.count(1)

    def step() -> None:
        if next(done) == steps:
            os.kill(os.getpid(), signal.SIGKILL)

    count(step)
    server.main(["move", "--data", folder, "--to", settings, "--quiet"], prog_name="edge server")


def main() -> None:
    folder, settings, kills = sys.argv[1:]
    for name in (
        move.__name__,
        "boto3.session",
        "psycopg",
        "sqlalchemy.dialects.postgresql.psycopg",
        "alembic.command",
    ):
        importlib.import_module(name)
    ends = []
    for steps in json.loads(kills):
        begun = time.monotonic()
        process = os.fork()
        if process == 0:
            attempt(folder, settings, steps)
            os._exit(1)  # click leaves by itself
        ends.append(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
        print(f"after {steps} steps at most: {ends[-1]}, {time.monotonic() - begun:.1f} s", file=sys.stderr, flush=True)
        if ends[-1] == 0:
            break
    print(json.dumps(ends))


if __name__ == "__main__":
    main()
