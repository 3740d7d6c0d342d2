"""`edge server logs`: the last lines of a log, and those that come, also while its file is moved away."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_server.run import log_files
from edge_server.run.command import server as command


def shown(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(command, ["logs", *arguments])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "server.toml").write_text('[log]\nfile = "logs/server.log"\n')
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "server.log"


@pytest.mark.parametrize("size", [1, 80, 9000])
def test_the_last_lines_come_in_their_order(log: Path, size: int) -> None:
    lines = [f"{n} {'x' * size}" for n in range(100)]
    log.write_text("\n".join(lines) + "\nnot who")
    assert shown("--data", str(log.parents[1])).splitlines() == lines[-50:]
    assert shown("--data", str(log.parents[1]), "-n", "100").splitlines() == lines
    assert shown("--data", str(log.parents[1]), "-n", "1000").splitlines() == lines
    assert shown("--data", str(log.parents[1]), "-n", "0") == ""


def test_a_log_cannot_write_to_the_terminal(log: Path) -> None:
    log.write_text("red \x1b[31m\n")
    assert "\x1b" not in shown("--data", str(log.parents[1]))


def test_lines_are_followed_to_the_next_file_when_theirs_is_moved_away(log: Path) -> None:
    log.write_text("1\n2")
    with contextlib.closing(log_files.lines_of(log.open("rb"), 10, follow=True)) as further:
        assert next(further) == "1"
        with log.open("a") as writer:
            writer.write("2\n")
            writer.flush()
            assert next(further) == "22"
            log.rename(log.with_name("server.log.1"))
            writer.write("3\n")
        log.write_text("4\n")
        assert list(itertools.islice(further, 2)) == ["3", "4"]


def test_lines_are_followed_in_a_file_that_is_emptied(log: Path) -> None:
    log.write_text("a line that is longer\n")
    with contextlib.closing(log_files.lines_of(log.open("rb"), 1, follow=True)) as further:
        assert next(further) == "a line that is longer"
        log.write_text("1\n")
        assert next(further) == "1"


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("server", "journalctl -u edge-server"),
        ("access", "start the server with --access-log"),
        ("audit", "nothing has been logged yet"),
    ],
)
def test_where_there_is_no_file_a_sentence_tells_how_to_see_it(kind: str, sentence: str, tmp_path: Path) -> None:
    assert sentence in shown(kind, "--data", str(tmp_path), code=1)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert f"there is no folder {tmp_path / 'no'}" in shown("--data", str(tmp_path / "no"), code=1)


@pytest.mark.slow
def test_a_pipe_that_nobody_reads_to_its_end_is_no_fault(log: Path) -> None:
    log.write_text("a line\n" * 100_000)
    edge = Path(sys.executable).with_name("edge")
    line = f"{edge} server logs --data {log.parents[1]} -n 100000 | head -n 1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("a line\n", "")
