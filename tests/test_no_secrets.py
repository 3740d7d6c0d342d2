"""The search for secrets that follows a whole run (`-p tests.recorder`) finds those that are there.

That a whole run leaves no secret in a log, a traceback or a database is what the run itself says at its end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_server.identity.token_values import new_token
from tests.secret_search import Hit, Needles, search

ROOT = Path(__file__).parent.parent

PASSWORD = 'correct "horse" battery'


def test_needles_show_wherever_they_stand_and_nothing_else_does() -> None:
    needles = [f"needle-{number:04}-of-many".encode() for number in range(2000)]
    there = {needles[7], needles[8], needles[1999]}
    text = needles[7] + b"\0" * 3 + needles[8] + b"needle-0009-of-none, " * 1000 + needles[1999]

    assert Needles(needles).within(text) == there
    assert Needles(needles).within(b"needle-") == set()


@pytest.mark.parametrize("place", ["log-1", "tracebacks", "run/test/edge.sqlite3-wal", "run/test/data.log"])
@pytest.mark.parametrize("form", [str, repr, json.dumps], ids=["plain", "repr", "json"])
def test_a_secret_shows_in_each_place_and_form(place: str, form: type[str], tmp_path: Path) -> None:
    record, run = tmp_path / "record", tmp_path / "run"
    (run / "test").mkdir(parents=True)
    record.mkdir()
    (record / "secrets").write_text(json.dumps(["encode", PASSWORD]) + "\n")
    path = tmp_path / place if place.startswith("run/") else record / place
    path.write_text(f"ada's password is {form(PASSWORD)}, and that of bob is not told")

    result = search(record, [run])

    assert result.hits == {Hit(str(path), "encode")}
    assert result.secrets == {"encode": 1}
    path.write_text("nothing")
    assert search(record, [run]).hits == set()


def test_a_token_that_nothing_noted_shows_but_in_the_greeting_of_a_first_start(tmp_path: Path) -> None:
    (tmp_path / "log-1").write_text(f"export EDGE_API_TOKEN={new_token()}\n")
    assert search(tmp_path, []).hits == set()

    (tmp_path / "log-1").write_text(f"Authorization: Bearer {new_token()}\n")
    assert search(tmp_path, []).hits == {Hit(str(tmp_path / "log-1"), "well-formed")}


LEAKING = """
import logging

def test_a_token_is_made(edge_session):
    logging.getLogger("lab").debug(edge_session.tokens.create("leaks").token)
"""


@pytest.mark.slow
def test_a_run_that_leaks_a_secret_fails_though_its_tests_pass(tmp_path: Path) -> None:
    (tmp_path / "test_lab.py").write_text(LEAKING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.recorder", "-c", str(ROOT / "pyproject.toml")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}

    ran = subprocess.run(
        [*command, "--basetemp", str(tmp_path / "run"), str(tmp_path / "test_lab.py")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr
    assert "holds a secret of EdgeTokens.create" in ran.stdout
    assert ran.returncode == pytest.ExitCode.TESTS_FAILED
