"""New applications, from templates that are built and tested here."""

from __future__ import annotations

import json
import tempfile
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from edge_applications.app_version import AppFrameworkEnum
from edge_applications.develop.running import command_of
from edge_core.errors import BadEntry, ConfigurationError

FRAMEWORKS = {
    "generic": "An application of Flask.",
    "panel": "An application of Panel.",
    "plotly-dash": "An application of Plotly Dash.",
    "react": "An application of React, with a server of Flask.",
    "streamlit": "An application of Streamlit.",
}
"""Name of a framework -> a sentence on its template."""

_DOT = "dot-"
"""How names begin that begin with a dot in an application's folder; patterns of package data leave such files out."""


def create(folder: Path, *, app_id: str, framework: str, organization: str, python_version: str) -> None:
    """Make the folder of a new application; it is there whole, or not at all.

    Args:
        folder: it does not exist yet, or is empty.
        app_id: id of the application.
        framework: one of `FRAMEWORKS`.
        organization: organization of the registry that is to have its image; the file may be changed.
        python_version: version of Python with two numbers.

    Raises:
        BadEntry: the folder has something else in it.
        ConfigurationError: the folder cannot be made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadEntry(f"{folder} has something else in it; choose another id, or another folder with --target")
    texts = {
        "{{app_id}}": app_id,
        "{{organisation}}": organization,
        "{{python_version}}": python_version,
        "{{description}}": FRAMEWORKS[framework],
        "{{command}}": json.dumps(command_of(AppFrameworkEnum(framework), port=9000)),
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{app_id}.") as beside:
            new = Path(beside) / "app"
            for source in ("common", framework.replace("-", "_")):
                _copy(resources.files("edge_applications") / "templates" / source, new, texts)
            if folder.exists():
                folder.rmdir()
            new.rename(folder)
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be made ({error.strerror}); choose a folder that you can write to"
        ) from None


def add_containerfile(folder: Path, *, python_version: str, command: list[str]) -> Path:
    """The Containerfile in an application's folder, which is made if it is not there.

    Args:
        folder: folder of the application.
        python_version: version of Python with two numbers.
        command: what starts the application at port 9000.
    """
    file = folder / "Containerfile"
    if not file.exists():
        template = resources.files("edge_applications") / "templates" / "common" / file.name
        file.write_text(
            _filled(
                template.read_text(encoding="utf-8"),
                {"{{python_version}}": python_version, "{{command}}": json.dumps(command)},
            ),
            encoding="utf-8",
        )
    return file


def _copy(source: Traversable, target: Path, texts: dict[str, str]) -> None:
    target.mkdir(exist_ok=True)
    for entry in source.iterdir():
        name = entry.name.replace(_DOT, ".", 1) if entry.name.startswith(_DOT) else entry.name
        if name in ("__pycache__", "node_modules", "dist", ".pytest_cache"):
            continue
        if entry.is_dir():
            _copy(entry, target / name, texts)
        else:
            (target / name).write_text(_filled(entry.read_text(encoding="utf-8"), texts), encoding="utf-8")


def _filled(text: str, texts: dict[str, str]) -> str:
    for placeholder, value in texts.items():
        text = text.replace(placeholder, value)
    return text
