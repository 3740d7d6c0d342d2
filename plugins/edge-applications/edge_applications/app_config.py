"""`app_config.yaml`: what the folder of an application says about it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from edge_applications.app_version import AppFrameworkEnum, AppKindEnum
from edge_core.errors import BadEntry

FILE_NAME = "app_config.yaml"

LARGEST = 1 << 20
"""Bytes."""


@dataclasses.dataclass(frozen=True)
class AppConfig:
    """What publishing takes from the file; its other entries are for building the image.

    Attributes:
        app_id: the application.
        version: which version it is.
        framework: the framework it is written with.
        kind: what runs it; None where the file does not say.
        link: full image name with a tag, or an address; None where the file does not say.
        title: shown on its tile.
        description: shown on its tile.
        icon: path of a PNG or JPEG file; None for none.
        recommended_profile: id of an app profile.
        organization: short name of the organization it is for; None where the file does not say.
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
    """What the file says.

    Args:
        path: the file, or the folder it is in.

    Raises:
        BadEntry: it is not there or not YAML, or an entry is missing or not valid; the message names it.
    """
    import yaml

    file = path / FILE_NAME if path.is_dir() else path
    try:
        content = file.read_bytes()
        if len(content) > LARGEST:
            raise BadEntry(f"{file} has more than {LARGEST} bytes; it is no {FILE_NAME}")
        stated = yaml.safe_load(content)
    except FileNotFoundError:
        raise BadEntry(f"there is no {file}; run this in the application's folder, or name it") from None
    except OSError as error:
        raise BadEntry(f"{file} cannot be read ({error.strerror}); make it readable") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BadEntry(f"{file} is not YAML ({_first_line(error)}); correct it") from None
    if not isinstance(stated, dict):
        raise BadEntry(f"{file} holds no entries; write them as in app_id: viewer")
    version = _text(stated, "app_version", required=True)
    icon = _text(stated, "icon")
    repository = _text(stated, "repository")
    return AppConfig(
        app_id=_text(stated, "app_id", required=True) or "",
        version=version or "",
        framework=_framework(stated),
        kind=_kind(stated),
        link=_text(stated, "link") or _image(repository, version),
        title=_text(stated, "title") or _text(stated, "app_id") or "",
        description=_text(stated, "description") or "",
        icon=None if icon is None else file.parent / icon,
        recommended_profile=_text(stated, "recommended_profile"),
        organization=_text(stated, "organisation") or _text(stated, "organization"),
    )


def _first_line(error: Exception) -> str:
    return str(error).replace("\n", " ")[:120] or type(error).__name__


def _image(repository: str | None, version: str | None) -> str | None:
    """The image of a version in a repository, which may already name a tag."""
    if repository is None:
        return None
    return repository if ":" in repository.rpartition("/")[2] or "@" in repository else f"{repository}:{version}"


def _text(stated: dict[Any, Any], name: str, *, required: bool = False) -> str | None:
    found = stated.get(name)
    if found is None or found == "":
        if required:
            raise BadEntry(f"{name}: {FILE_NAME} does not have it; add it")
        return None
    if not isinstance(found, str):
        # 1.10 without quotes is the number 1.1 to YAML, so a guess could publish another version.
        raise BadEntry(f'{name}: it is no text in {FILE_NAME}; put it in quotes, as in {name}: "{found}"')
    return found


def _framework(stated: dict[Any, Any]) -> AppFrameworkEnum:
    found = _text(stated, "framework")
    try:
        return AppFrameworkEnum(None if found in (None, "skip", "none") else found)
    except ValueError:
        names = ", ".join(str(one.value) for one in AppFrameworkEnum if one.value is not None)
        raise BadEntry(f"framework: there is no {found!r}; it is one of {names}, or left out") from None


def _kind(stated: dict[Any, Any]) -> AppKindEnum | None:
    found = _text(stated, "kind")
    try:
        return None if found is None else AppKindEnum(found.lower())
    except ValueError:
        raise BadEntry(f"kind: there is no {found!r}; it is native, kubernetes or external") from None
