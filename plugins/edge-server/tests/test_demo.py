"""`edge demo` does the main job, and fails if any result is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_files.folder import Folder
from edge_server.testing.demo import demo

pytestmark = pytest.mark.slow


def run(*arguments: str) -> Result:
    return CliRunner().invoke(demo, arguments)


def test_it_shows_the_main_job_on_public_data() -> None:
    shown = run()
    assert shown.exit_code == 0, shown.output
    for part in (
        ">>> edge = EdgeSession()",
        "'admin'",
        "['grace_hopper.jpg', 'penguins']",
        "(344, 17)",
        "(344, 8)",
        "(512, 600)",
        "(200, 61306)",
        "4 files came back with the SHA-256 they left with.",
        "('files', 'loaded', 'edge-files')",
        "Every result was checked",
    ):
        assert part in shown.output
    assert "edg_" not in shown.output


def test_it_takes_a_folder_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "it's 100%.txt").write_text("x")
    (tmp_path / "table.tsv").write_text("a\tb\n1\t2\n")
    (tmp_path / "large.bin").write_bytes(bytes(range(256)) * 8192)
    (tmp_path / "empty").write_bytes(b"")
    shown = run(str(tmp_path))
    assert shown.exit_code == 0, shown.output
    assert "(1, 2)" in shown.output
    assert "4 files came back" in shown.output


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    shown = run(str(tmp_path))
    assert shown.exit_code == 1
    assert "has no files" in shown.output


def test_a_wrong_result_fails_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("x")
    monkeypatch.setattr(Folder, "list", lambda self: ["b.txt"])
    shown = run(str(tmp_path))
    assert shown.exit_code == 1
    assert "gave ['b.txt'], which is not what the local files say" in shown.output
