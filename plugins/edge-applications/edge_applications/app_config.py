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
        link: the address or whole image reference that the file names; None if it names none.
        repository: host of the registry; what else it may be, `image` says.
        organisation: the registry's organisation that has the image, which need not be one of Edge.
        repo_server: host of the registry in files of 2024.
        image_name: name of the image; None for the id of the application.
        title: shown on its tile.
        description: shown on its tile.
        icon: path of a PNG or JPEG file; None for none.
        recommended_profile: id of an app profile.
    """

    app_id: str
    version: str
    framework: AppFrameworkEnum
    kind: AppKindEnum | None
    link: str | None
    repository: str | None
    organisation: str | None
    repo_server: str | None
    image_name: str | None
    title: str
    description: str
    icon: Path | None
    recommended_profile: str | None

    def image(self) -> str:
        """The reference of the image, which is `repository/organisation/app_id:app_version`.

        Files of 2024 have the registry in `repo_server` and the organisation in `repository`, or both in `repository`,
        and name the image in `image_name`. A repository that ends with the image's name, or has a tag or digest, is
        whole.

        Raises:
            BadEntry: the entries do not tell the image.
        """
        if self.repository is None:
            raise BadEntry(f"repository: {FILE_NAME} does not have it; add it, or give --image")
        parts = [part for part in (self.repo_server, self.repository, self.organisation) if part]
        name = self.image_name or self.app_id
        if len(parts) > 1 or self.image_name:
            return f"{'/'.join([*parts, name])}:{self.version}"
        place, _, last = self.repository.rpartition("/")
        if place and ("@" in last or ":" in last):
            return self.repository
        if place and last == name:
            return f"{self.repository}:{self.version}"
        raise BadEntry(
            f"organisation: {FILE_NAME} does not have it, and {self.repository} alone does not tell the image; "
            "add it, or give the whole image reference as link or --image"
        )


def read(path: Path, app_id: str | None = None) -> AppConfig:
    """Read the file.

    Args:
        path: the file, or the folder it is in.
        app_id: id of the application, for a file that leaves it null.

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
    if entries.get("app_id") is None:
        entries["app_id"] = app_id
    app_id = _required(entries, "app_id")
    version = _required(entries, "app_version")
    icon = _text(entries, "icon")
    return AppConfig(
        app_id=app_id,
        version=version,
        framework=_framework(entries),
        kind=_kind(entries),
        link=_text(entries, "link"),
        repository=_text(entries, "repository"),
        organisation=_text(entries, "organisation") or _text(entries, "organization"),
        repo_server=_text(entries, "repo_server"),
        image_name=_text(entries, "image_name"),
        title=_text(entries, "title") or app_id,
        description=_text(entries, "description") or "",
        icon=None if icon is None else file.parent / icon,
        recommended_profile=_text(entries, "recommended_profile"),
    )


def _first_line(error: Exception) -> str:
    return str(error).replace("\n", " ")[:120] or type(error).__name__


def _required(entries: dict[Any, Any], name: str) -> str:
    text = _text(entries, name)
    if text is None:
        raise BadEntry(f"{name}: {FILE_NAME} does not have it; add it")
    return text


def _text(entries: dict[Any, Any], name: str) -> str | None:
    text = entries.get(name)
    if text is None or text == "":
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
