"""The folders of applications that are known on this machine, in `cli_apps.yaml` beside the profile file."""

from __future__ import annotations

import os
from pathlib import Path

import click

from edge_applications import app_config
from edge_applications.app_config import AppConfig
from edge_core.config import config_path
from edge_core.errors import BadEntry, ConfigurationError

FILE_NAME = "cli_apps.yaml"


def path() -> Path:
    """The file; `~/.edge/cli_apps.yaml` by default."""
    return Path(config_path()).with_name(FILE_NAME)


def read() -> dict[str, Path]:
    """Id -> folder of each application.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    import yaml

    try:
        entries = yaml.safe_load(path().read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError):
        entries = None
    if not isinstance(entries, dict) or not all(isinstance(folder, str) for folder in entries.values()):
        raise ConfigurationError(f"{path()} cannot be read; remove it with: edge reset known_apps")
    return {str(app_id): Path(folder) for app_id, folder in entries.items()}


def add(app_id: str, folder: Path) -> None:
    """Remember the folder of an application."""
    _write({**read(), app_id: folder.resolve()})


def remove(app_id: str) -> bool:
    """Forget the folder of an application; False if it was not known."""
    apps = read()
    known = apps.pop(app_id, None) is not None
    if known:
        _write(apps)
    return known


def locate(app_id: str | None) -> tuple[Path, AppConfig]:
    """The folder of an application, and what its configuration says.

    It is the working folder, if that is the application's; else one that is known.

    Raises:
        BadEntry: its configuration is missing or not valid.
        click.UsageError: no application is named, or its folder is not known.
    """
    here = Path.cwd()
    if (here / app_config.FILE_NAME).exists() or (here / app_config.OTHER_NAME).exists():
        config = app_config.read(here, app_id)
        if app_id in (None, config.app_id):
            return here, config
    elif app_id is None:
        raise click.UsageError("APP_ID is missing; give it, or run this in an application's folder")
    folder = read().get(app_id)
    if folder is None:
        raise click.UsageError(f"the folder of {app_id} is not known; run this in it, or: edge app register {app_id}")
    config = app_config.read(folder, app_id)
    if config.app_id != app_id:
        raise BadEntry(f"app_id: {folder} is of {config.app_id}; run this in the folder of {app_id}")
    return folder, config


def _write(apps: dict[str, Path]) -> None:
    import yaml

    file = path()
    text = yaml.safe_dump({app_id: str(folder) for app_id, folder in apps.items()})
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f".{file.name}.{os.getpid()}")
        beside.write_text(text, encoding="utf-8")
        beside.replace(file)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written ({error.strerror}); make it writable") from None
