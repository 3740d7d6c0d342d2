"""Programs that tests run and that no Python distribution brings."""

from __future__ import annotations

import os
import shutil

import pytest

# Where systems have what only an administrator starts, which is not on everybody's PATH.
_ALSO = ("/usr/local/sbin", "/usr/sbin")


def program(name: str, installed_by: str) -> str:
    """The path of a program; the test is skipped where it is missing, and the summary of the run says so.

    Args:
        name: of the program.
        installed_by: what a person types to have it.
    """
    path = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *_ALSO)))
    if path is None:
        pytest.skip(f"{name} is not installed here; `{installed_by}` brings it")
    return path
