"""Configurations of older forms, brought to the form that is written today."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from edge_applications import app_config
from edge_applications.app_config import FILE_NAME
from edge_applications.develop import edm_names
from edge_applications.develop.environment import OLDEST_PYTHON
from edge_core.errors import BadEntry, ConfigurationError

_DROPPED = ("env_deps", "cmd_deps", "env_name")

_IMAGE = ("repository", "organisation", "image_name")

_OLD_IMAGE = ("repo_server", "organization")


class Upgrade(NamedTuple):
    """A configuration in today's form.

    Attributes:
        entries: what the file says.
        changes: a sentence for each change that a person may want to look at.
    """

    entries: dict[str, Any]
    changes: list[str]


def upgrade(folder: Path, app_id: str | None) -> Upgrade:
    """Read a configuration of any published form, and say in today's what it says.

    Args:
        folder: folder of the application.
        app_id: id of the application, for a file that leaves it null.

    Raises:
        BadEntry: the file is not valid in any form.
    """
    entries = {str(name): value for name, value in app_config.read_entries(folder).items()}
    config = app_config.read(folder, app_id)
    new: dict[str, Any] = {"app_id": config.app_id}
    changes: list[str] = []
    if config.framework.value:
        new["framework"] = config.framework.value
    new["app_version"] = config.version
    new["python_version"] = _python_version(config.python_version, changes)
    image = _image(config, entries, changes)
    new |= image
    translated = edm_names.translate(config.app_deps.edm)
    pip = [str(line) for line in (*translated.requirements, *edm_names.parse_pip(config.app_deps.pip))]
    new["app_deps"] = {"pip": list(dict.fromkeys(pip))}
    if config.app_deps.edm:
        changes.append(f"app_deps: the {len(config.app_deps.edm)} packages of EDM are packages of pip now")
    changes += translated.warnings
    if config.env_deps.pip:
        new["env_deps"] = {"pip": [str(line) for line in edm_names.parse_pip(config.env_deps.pip)]}
    for name, value in entries.items():
        if name in new or (name in _IMAGE and image):
            continue
        if name in _DROPPED or (name in _OLD_IMAGE and image):
            changes.append(f"{name}: nothing reads it any more")
        else:
            new[name] = value
    return Upgrade(new, changes)


def write(folder: Path, upgraded: Upgrade) -> Path | None:
    """Put the file in place of the old one, and return where the old one is kept; None if nothing changes.

    Raises:
        ConfigurationError: the folder cannot be written to.
    """
    import yaml

    file = folder / FILE_NAME
    if app_config.read_entries(folder) == upgraded.entries:
        return None
    kept = _unused(file)
    text = yaml.safe_dump(upgraded.entries, sort_keys=False, allow_unicode=True, default_flow_style=None)
    beside = file.with_name(f".{FILE_NAME}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        os.link(file, kept)
        beside.replace(file)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written ({error.strerror}); make the folder writable") from None
    return kept


def _image(config: app_config.AppConfig, entries: dict[str, Any], changes: list[str]) -> dict[str, str]:
    """The three entries that name the image, if the old ones name one of a registry."""
    if not any(entries.get(name) for name in (*_IMAGE, *_OLD_IMAGE)):
        return {}
    try:
        image = config.image()
    except BadEntry as error:
        changes.append(f"the entries for the image are left as they are: {error}")
        return {}
    reference = image.removesuffix(f":{config.version}")
    if reference == image:
        return {}  # a whole reference, whose tag is another
    host, _, path = reference.partition("/")
    organisation, _, name = path.rpartition("/")
    if not organisation:
        return {}
    new = {"repository": host, "organisation": organisation}
    if name != config.app_id:
        new["image_name"] = name
    if any(entries.get(entry) != value for entry, value in new.items()):
        changes.append(f"repository, organisation: the image is still {image}")
    return new


def _python_version(version: str | None, changes: list[str]) -> str:
    current = f"{sys.version_info.major}.{sys.version_info.minor}"
    if version is None:
        return current
    if tuple(map(int, version.split("."))) < OLDEST_PYTHON:
        changes.append(f"python_version: {version} is older than Edge runs with; it is {current} now")
        return current
    return version


def _unused(file: Path) -> Path:
    number = 0
    while True:
        kept = file.with_name(f"{file.name}.old{number or ''}")
        if not kept.exists():
            return kept
        number += 1
