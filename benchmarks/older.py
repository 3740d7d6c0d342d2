"""An older version of everything, beside which today's is measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.peers import FOLDER, Missing, say

_HERE = Path(__file__).parent.parent


def installed_at(commit: str) -> tuple[str, Path]:
    """Return the short name of a commit, and the interpreter of an environment that has everything as it was then.

    Raises:
        Missing: there is no commit of that name, or it cannot be installed.
    """
    named = _git("rev-parse", "--short", "--verify", "--quiet", f"{commit}^{{commit}}")
    if named.returncode:
        raise Missing(f"this clone has no commit {commit}; fetch it, or name another one")
    short = named.stdout.decode().strip()
    folder = FOLDER / f"commit-{short}-python{'{}.{}'.format(*sys.version_info)}"
    python, done = folder / "environment" / "bin" / "python", folder / "installed"
    if not done.exists():
        say(f"installing everything as of {short} into {folder}")
        tree = folder / "tree"
        tree.mkdir(parents=True, exist_ok=True)
        archive = _git("archive", "--format=tar", short)
        subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder / "environment")], check=True)
        # With what others make as it is today, so that only our own differs.
        command = [str(python), "-I", "-m", "pip", "install", "--quiet", "-c", str(_HERE / "constraints.txt")]
        if subprocess.run([*command, *_everything(tree)], cwd=tree, stdout=sys.stderr).returncode:
            raise Missing(f"the commit {short} could not be installed, as pip said above; name another one")
        done.touch()
    return short, python


def _everything(tree: Path) -> list[str]:
    """What pip is told to install; the first commits had no list of it."""
    if (tree / "requirements.txt").exists():
        return ["-r", "requirements.txt"]
    return [".", *(f"./plugins/{path.parent.name}" for path in sorted(tree.glob("plugins/*/setup.cfg")))]


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(_HERE), *arguments], capture_output=True)
