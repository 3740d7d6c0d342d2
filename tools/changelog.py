"""Checks that changes come with a changelog fragment: `python -m tools.changelog [BASE]`.

A commit that changes what is shipped needs a fragment in `changes/`, in itself or in another commit of its branch. One
that nobody who uses the product can see says so in its message, by the trailer `Changelog: none`. Changes of tests,
documents, benchmarks and tools need neither.

The branch is what comes after BASE, a commit that CI may name. Without it, it is what `origin/HEAD` does not have yet,
or, where that is everything (on the main branch) or nobody knows (without a remote, detached), what came after the
last commit that touched a fragment.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
SHIPPED = re.compile(r"(?:edge|edge_core|plugins/[^/]+/edge_\w+)/|(?:plugins/[^/]+/)?setup\.cfg$")
TRAILER = re.compile(r"^Changelog: none$", re.MULTILINE | re.IGNORECASE)


def main() -> int:
    """Prints what was checked, or what is missing; 1 if a fragment is missing or cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m tools.changelog", description="Checks for changelog fragments.")
    parser.add_argument("base", nargs="?", help="a commit: the changes after it are checked")
    parser.add_argument("--folder", type=Path, default=ROOT, help="the clone; default: this one")
    arguments = parser.parse_args()
    problems = misnamed(arguments.folder)
    if not (arguments.folder / ".git").exists():
        print("\n".join([*problems, "This is not a clone, so its history is not checked."]))
        return 1 if problems else 0
    try:
        base, commits = branch(arguments.folder, arguments.base)
    except subprocess.CalledProcessError as error:
        print(f"{error.stderr.strip()}\nThe history cannot be read; work in a clone, and fetch the base.")
        return 1
    unexplained = without_fragment(arguments.folder, commits)
    if unexplained:
        problems.append(
            "These commits change what is shipped, and there is no fragment for them; add one to changes/, or the line "
            "`Changelog: none` to the end of the message of a commit whose change no user can see:"
        )
        problems += [f"  {commit}" for commit in unexplained]
    print("\n".join(problems) or f"{len(commits)} commits since {base or 'the beginning of the history'} are in order")
    return 1 if problems else 0


def misnamed(folder: Path) -> list[str]:
    """A sentence for each fragment that towncrier would pass over in silence."""
    settings = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    kinds = [kind["directory"] for kind in settings["tool"]["towncrier"]["type"]]
    pattern = re.compile(rf"[^.]+\.(?:{'|'.join(kinds)})\.md|README\.md")
    names = sorted(path.name for path in (folder / "changes").glob("[!.]*"))
    return [
        f"changes/{name} is not read; call it +TOPIC.KIND.md, where KIND is {', '.join(kinds)}"
        for name in names
        if not pattern.fullmatch(name)
    ]


def branch(folder: Path, base: str | None = None) -> tuple[str, list[str]]:
    """The commit that a branch begins after, and the commits of the branch, the newest first.

    Raises:
        subprocess.CalledProcessError: this history is not here.
    """
    if base is not None:
        base = _git(folder, "merge-base", base, "HEAD")
    else:
        base = _begin(folder)
    return base, _git(folder, "rev-list", "--no-merges", *([f"{base}..HEAD"] if base else ["HEAD"])).split()


def _begin(folder: Path) -> str:
    head = _git(folder, "rev-parse", "HEAD")
    try:
        shared = _git(folder, "merge-base", "origin/HEAD", "HEAD")
    except subprocess.CalledProcessError:
        shared = head
    if shared != head:
        return shared
    return _git(folder, "rev-list", "-1", "HEAD", "--", "changes", ":(exclude)changes/README.md")


def without_fragment(folder: Path, commits: list[str]) -> list[str]:
    """The commits that need a fragment, each with its subject, if none of them brings one."""
    unexplained = []
    for commit in commits:
        paths = _git(folder, "show", "--format=", "--name-only", "-z", commit).split("\0")
        if any(path.startswith("changes/") and path != "changes/README.md" for path in paths):
            return []
        message = _git(folder, "show", "--no-patch", "--format=%B", commit)
        if any(SHIPPED.match(path) for path in paths) and not TRAILER.search(message):
            unexplained.append(f"{commit[:10]} {message.splitlines()[0]}")
    return unexplained


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True).stdout.strip()


if __name__ == "__main__":
    raise SystemExit(main())
