"""A whole run at DEBUG, then a search for every token and signature it made.

The run leaves slow tests out, unless EDGE_TEST_SLOW_SECRETS is set.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RUN = ["tests", "plugins", "--ignore=tests/wheels"]
NAME = "tests/test_no_secrets.py::test_no_log_traceback_or_database_holds_a_secret_of_the_run"
SLOW = bool(os.environ.get("EDGE_TEST_SLOW_SECRETS"))


@pytest.mark.slow
def test_no_log_traceback_or_database_holds_a_secret_of_the_run(tmp_path: Path) -> None:
    record = tmp_path / "record"
    record.mkdir()
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "tests.recorder"),
        *(["--deselect", NAME] if SLOW else ["-m", "not slow"]),
        *("--log-level=DEBUG", f"--log-file={record / 'log'}", "--log-file-level=DEBUG"),
        *(f"--basetemp={tmp_path / 'run'}", "-o", "tmp_path_retention_policy=all", *RUN),
    ]
    environment = {**os.environ, "EDGE_TEST_RECORD": str(record), "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=3600 if SLOW else 600
    )
    assert ran.returncode == 0, ran.stdout[-3000:]

    secrets = {line.encode() for line in (record / "secrets").read_text().splitlines()}
    assert len(secrets) > 100
    written = {"what pytest printed": ran.stdout.encode() + ran.stderr.encode()}
    written |= {name: (record / name).read_bytes() for name in ("log", "tracebacks")}
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file() and ("edge.sqlite3" in path.name or path.suffix == ".log"):
            # The one place where a token is meant to be seen is the greeting of the first start.
            lines = path.read_bytes().split(b"\n")
            shown = b"\n".join(line for line in lines if not line.startswith(b"export EDGE_API_TOKEN="))
            written[str(path)] = shown
    assert len(written["log"]) > 100_000
    assert len(written["tracebacks"]) > 100_000
    assert any("edge.sqlite3" in name for name in written)
    hits = {(name, secret) for name, text in written.items() for secret in secrets if secret in text}
    assert hits == set(), f"{len(hits)} of {len(secrets)} secrets found"
