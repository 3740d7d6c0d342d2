"""What type checkers say to users: the sample files hold the promises, `# error` the lines they must refuse.

The packages are checked as users have them: in the site-packages of an environment that holds
nothing else, so that what makes a distribution typed (py.typed) is checked as well.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLES = Path(__file__).parent / "samples"

CORE = [ROOT / "edge", ROOT / "edge_core"]
WITH_FILES = [*CORE, ROOT / "plugins/edge-vfs/edge_vfs", ROOT / "plugins/edge-files/edge_files"]
#: With a stand-in for pandas, which ships no types: users get them from pandas-stubs.
WITH_SOURCES = [*WITH_FILES, ROOT / "plugins/edge-sources/edge_sources", Path(__file__).parent / "stand_ins/pandas"]

pytestmark = pytest.mark.slow

Wrong = set[tuple[str, int]]
"""Sample and line of each error."""


def _mypy(folder: Path, python: Path) -> Wrong:
    command = ["-m", "mypy", "--strict", "--config-file=", "--python-executable", str(python), "."]
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {(name, int(line)) for name, line in re.findall(r"^(\w+\.py):(\d+): error:", done.stdout, re.MULTILINE)}


def _basedpyright(folder: Path, python: Path) -> Wrong:
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard"}')
    command = ["-m", "basedpyright", "--outputjson", "--pythonpath", str(python)]
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    diagnostics = json.loads(done.stdout)["generalDiagnostics"]
    return {
        (Path(diagnostic["file"]).name, diagnostic["range"]["start"]["line"] + 1)
        for diagnostic in diagnostics
        if diagnostic["severity"] == "error"
    }


def _marked(folder: Path) -> Wrong:
    return {
        (sample.name, number)
        for sample in folder.glob("*.py")
        for number, line in enumerate(sample.read_text().splitlines(), start=1)
        if line.endswith("# error")
    }


@pytest.mark.parametrize("check", [_mypy, _basedpyright], ids=["mypy", "basedpyright"])
@pytest.mark.parametrize(
    ("packages", "samples"),
    [
        pytest.param(
            WITH_FILES,
            ["with_files.py", "misuse_of_files.py", "progress_shown.py", "misuse.py", "records.py"],
            id="with-files",
        ),
        pytest.param(
            WITH_SOURCES, ["files_opened.py", "files_saved.py", "misuse_of_openers.py", "sources.py"], id="with-sources"
        ),
        pytest.param(CORE, ["without_files.py", "misuse.py", "records.py"], id="core-alone"),
    ],
)
def test_a_checker_refuses_exactly_the_marked_lines(
    check: Callable[[Path, Path], Wrong], packages: list[Path], samples: list[str], tmp_path: Path
) -> None:
    environment, folder = tmp_path / "environment", tmp_path / "samples"
    python = _environment(environment, packages)
    folder.mkdir()
    for sample in samples:
        shutil.copy(SAMPLES / sample, folder)

    assert check(folder, python) == _marked(folder)


def _environment(folder: Path, packages: list[Path]) -> Path:
    """The interpreter of a new environment with just these packages."""
    venv.create(folder, symlinks=True)
    paths = sysconfig.get_paths("venv", {"base": str(folder), "platbase": str(folder)})
    for package in packages:
        shutil.copytree(package, Path(paths["purelib"]) / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    return Path(paths["scripts"]) / "python"
