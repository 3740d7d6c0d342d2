"""The wheel of a plugin's folder, built with whatever is here that builds wheels."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def wheel_files(folder: Path) -> list[str]:
    """The names of the files in the wheel that is built from `folder`, which stays as it is."""
    with tempfile.TemporaryDirectory() as scratch:
        copy, out = Path(scratch) / "project", Path(scratch) / "out"
        ignored = shutil.ignore_patterns("*.egg-info", "build", "dist", "__pycache__", ".*")
        shutil.copytree(folder, copy, ignore=ignored)
        out.mkdir()
        output = ""
        for command in _builders(out):
            done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                with zipfile.ZipFile(next(out.glob("*.whl"))) as wheel:
                    return wheel.namelist()
            output += f"{done.stdout}\n{done.stderr}\n"  # such as that of an old setuptools, which builds none alone
    assert not output, f"the wheel of {folder} cannot be built:\n{output}"
    pytest.skip("nothing here builds wheels; install setuptools, pip or uv")


def _builders(out: Path) -> Iterator[list[str]]:
    """Commands that build a wheel, the quickest first."""
    if importlib.util.find_spec("setuptools") is not None:
        build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
        yield [sys.executable, "-c", build, str(out)]
    if importlib.util.find_spec("pip") is not None:
        yield [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), "."]
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is not None:
        yield [uv, "build", "--quiet", "--wheel", "--out-dir", str(out), "."]
