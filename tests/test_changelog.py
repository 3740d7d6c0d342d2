"""A change that users can see comes with a changelog fragment: what `python -m tools.changelog` checks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import changelog
from tools.set_version import ROOT

CODE = "edge_core/session.py"
FRAGMENT = "changes/+retries.changed.md"


class Clone:
    """A clone to commit to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.folder), "-c", "user.name=Ada", "-c", "user.email=ada@example.org", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def commit(self, *paths: str, message: str = "Retries wait longer") -> str:
        """Changes these files in one commit, and returns its id."""
        for path in paths:
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            with open(self.folder / path, "a") as file:
                file.write("A line.\n")
        self.git("add", "-A")
        self.git("commit", "-m", message)
        return self.git("rev-parse", "HEAD")

    def check(self, *base: str) -> tuple[int, str]:
        """The exit code and the text of the command."""
        command = [sys.executable, changelog.__file__, "--folder", str(self.folder), *base]
        run = subprocess.run(command, capture_output=True, text=True)
        assert not run.stderr
        return run.returncode, run.stdout


@pytest.fixture
def main(tmp_path: Path) -> Clone:
    """A main branch with a fragment in its history, and nothing after it."""
    folder = tmp_path / "main"
    folder.mkdir()
    shutil.copy(ROOT / "pyproject.toml", folder)
    clone = Clone(folder)
    clone.git("init", "-b", "main")
    clone.commit(CODE, message="Before there was any check")
    clone.commit(CODE, "changes/+first.added.md")
    return clone


def cloned(main: Clone, *options: str) -> Clone:
    folder = main.folder.parent / "clone"
    subprocess.run(["git", "clone", "-q", *options, main.folder.as_uri(), str(folder)], check=True)
    return Clone(folder)


def test_the_history_before_the_last_fragment_passes(main: Clone) -> None:
    code, text = main.check()
    assert code == 0
    assert text.startswith("0 commits since ")


@pytest.mark.parametrize("path", [CODE, "edge/api.py", "plugins/edge-files/edge_files/store.py", "setup.cfg"])
def test_a_change_without_a_fragment_fails(main: Clone, path: str) -> None:
    commit = main.commit(path)
    code, text = main.check()
    assert code == 1
    assert f"{commit[:10]} Retries wait longer" in text


def test_a_change_with_a_fragment_passes(main: Clone) -> None:
    main.commit(CODE, FRAGMENT)
    assert main.check()[0] == 0


def test_a_fragment_may_come_in_a_later_commit(main: Clone) -> None:
    main.commit(CODE)
    main.commit(FRAGMENT)
    assert main.check()[0] == 0


@pytest.mark.parametrize(
    "path",
    [
        "tests/test_http.py",
        "docs/hooks.md",
        "benchmarks/calls.py",
        "plugins/edge-files/tests/test_files.py",
        "changes/README.md",
    ],
)
def test_what_is_not_shipped_needs_no_fragment(main: Clone, path: str) -> None:
    main.commit(path)
    code, text = main.check()
    assert code == 0
    assert text.startswith("1 commits since ")


def test_a_commit_excuses_itself_by_a_trailer(main: Clone) -> None:
    main.commit(CODE, message="Rename a variable\n\nIt was misleading.\n\nChangelog: none")
    assert main.check()[0] == 0
    main.commit(CODE, message="Say so in the text: Changelog: none")
    assert main.check()[0] == 1


def test_a_fragment_that_would_not_be_read_fails(main: Clone) -> None:
    main.commit(CODE, "changes/retries.md")
    code, text = main.check()
    assert code == 1
    assert "changes/retries.md is not read; call it +TOPIC.KIND.md" in text


def test_a_branch_needs_a_fragment_of_its_own(main: Clone) -> None:
    clone = cloned(main)
    assert clone.check()[0] == 0
    clone.git("switch", "-q", "-c", "longer")
    clone.commit(CODE)
    assert clone.check()[0] == 1
    clone.commit(FRAGMENT)
    clone.commit(CODE)
    assert clone.check()[0] == 0


def test_a_fresh_clone_is_checked_back_to_the_last_fragment(main: Clone) -> None:
    main.commit(CODE)
    clone = cloned(main)
    assert clone.check()[0] == 1
    clone.git("remote", "remove", "origin")
    assert clone.check()[0] == 1


def test_a_detached_head_is_checked(main: Clone) -> None:
    main.git("checkout", "-q", "--detach")
    main.commit(CODE)
    assert main.check()[0] == 1


def test_a_shallow_clone_is_checked_as_far_as_it_goes(main: Clone) -> None:
    main.commit(CODE)
    main.commit("tests/test_http.py")
    assert cloned(main, "--depth", "2").check()[0] == 0  # its oldest commit seems to bring all files
    shutil.rmtree(main.folder.parent / "clone")
    assert cloned(main, "--depth", "3").check()[0] == 1


def test_merges_are_judged_by_what_they_merge(main: Clone) -> None:
    main.git("switch", "-q", "-c", "longer")
    main.commit("edge/api.py")
    main.git("switch", "-q", "main")
    main.commit("tests/test_http.py")
    main.git("merge", "-q", "--no-ff", "longer", "-m", "Merge longer")
    assert main.check()[0] == 1


def test_an_unpacked_archive_has_no_history_to_check(main: Clone) -> None:
    main.commit(CODE, FRAGMENT)
    shutil.rmtree(main.folder / ".git")
    assert main.check()[0] == 0
    (main.folder / "changes" / "retries.md").touch()
    assert main.check()[0] == 1


def test_ci_may_name_the_base(main: Clone) -> None:
    base = main.commit(CODE)
    main.commit("tests/test_http.py")
    assert main.check(base)[0] == 0
    assert main.check(f"{base}^")[0] == 1
    code, text = main.check("a-branch-that-was-not-fetched")
    assert code == 1
    assert "fetch the base" in text
