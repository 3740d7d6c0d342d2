"""`app_config.yaml`, the description in an application's folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from edge_applications.app_version import AppFrameworkEnum, AppKindEnum
from edge_core.errors import BadEntry

FILE_NAME = "app_config.yaml"

MAX_SIZE = 1 << 20
"""The largest file that is read, in bytes."""


@dataclasses.dataclass(frozen=True)
class AppConfig:
    """What publishing takes from the file; its other entries are for building the image.

    Attributes:
        app_id: id of the application.
        version: the version in this folder.
        framework: the framework it is written with.
        kind: what runs it; None if the file does not name it.
        link: full image name with a tag, or an address; None if the file does not name it.
        title: shown on its tile.
        description: shown on its tile.
        icon: path of a PNG or JPEG file; None for none.
        recommended_profile: id of an app profile.
        organization: short name of the organization it is for; None if the file does not name it.
    """

    app_id: str
    version: str
    framework: AppFrameworkEnum
    kind: AppKindEnum | None
    link: str | None
    title: str
    description: str
    icon: Path | None
    recommended_profile: str | None
    organization: str | None


def read(path: Path) -> AppConfig:
    """Read the file.

    Args:
        path: the file, or the folder it is in.

    Raises:
        BadEntry: the file is missing or not YAML, or an entry is missing or not valid; the message names it.
    """
    import yaml

    file = path / FILE_NAME if path.is_dir() else path
    try:
        content = file.read_bytes()
        if len(content) > MAX_SIZE:
            raise BadEntry(f"{file} has more than {MAX_SIZE} bytes; it is not an {FILE_NAME}")
        entries = yaml.safe_load(content)
    except FileNotFoundError:
        raise BadEntry(f"{file} does not exist; run this in the application's folder, or name it") from None
    except OSError as error:
        raise BadEntry(f"{file} cannot be read ({error.strerror}); make it readable") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BadEntry(f"{file} is not YAML ({_first_line(error)}); correct it") from None
    if not isinstance(entries, dict):
        raise BadEntry(f"{file} holds no entries; write them as in app_id: viewer")
    version = _text(entries, "app_version", required=True)
    icon = _text(entries, "icon")
    repository = _text(entries, "repository")
    return AppConfig(
        app_id=_text(entries, "app_id", required=True) or "",
        version=version or "",
        framework=_framework(entries),
        kind=_kind(entries),
        link=_text(entries, "link") or _image(repository, version),
        title=_text(entries, "title") or _text(entries, "app_id") or "",
        description=_text(entries, "description") or "",
        icon=None if icon is None else file.parent / icon,
        recommended_profile=_text(entries, "recommended_profile"),
        organization=_text(entries, "organisation") or _text(entries, "organization"),
    )


def _first_line(error: Exception) -> str:
    return str(error).replace("\n", " ")[:120] or type(error).__name__


def _image(repository: str | None, version: str | None) -> str | None:
    """The image of a version in a repository, which may already name a tag."""
    if repository is None:
        return None
    return repository if ":" in repository.rpartition("/")[2] or "@" in repository else f"{repository}:{version}"


def _text(entries: dict[Any, Any], name: str, *, required: bool = False) -> str | None:
    text = entries.get(name)
    if text is None or text == "":
        if required:
            raise BadEntry(f"{name}: {FILE_NAME} does not have it; add it")
        return None
    if not isinstance(text, str):
        # 1.10 without quotes is the number 1.1 to YAML, so a guess could publish another version.
        raise BadEntry(f'{name}: it is not a text in {FILE_NAME}; put it in quotes, as in {name}: "{text}"')
    return text


def _framework(entries: dict[Any, Any]) -> AppFrameworkEnum:
    name = _text(entries, "framework")
    try:
        return AppFrameworkEnum(None if name in (None, "skip", "none") else name)
    except ValueError:
        names = ", ".join(str(framework.value) for framework in AppFrameworkEnum if framework.value is not None)
        raise BadEntry(f"framework: {name!r} is unknown; use one of {names}, or leave it out") from None


def _kind(entries: dict[Any, Any]) -> AppKindEnum | None:
    name = _text(entries, "kind")
    try:
        return None if name is None else AppKindEnum(name.lower())
    except ValueError:
        raise BadEntry(f"kind: {name!r} is unknown; use native, kubernetes or external") from None
