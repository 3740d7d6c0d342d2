"""`app_config.yaml`, the description in an application's folder."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from edge_applications.app_version import AppFrameworkEnum, AppKindEnum
from edge_core.errors import BadEntry

FILE_NAME = "app_config.yaml"

OTHER_NAME = "app_config.yml"

MAX_SIZE = 1 << 20
"""The largest file that is read, in bytes."""


@dataclasses.dataclass(frozen=True)
class Packages:
    """The packages that an entry such as `app_deps` names.

    Attributes:
        edm: requirements of EDM, such as `numpy ^= 1.26`.
        pip: requirements of pip, such as `numpy>=1.26`.
    """

    edm: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class AppConfig:
    """What the file says of an application, its environment and its image.

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
        python_version: version of Python with two numbers, such as `3.11`; None for that of the `edge` command.
        app_deps: what the application needs.
        env_deps: what working on it needs beside that.
        command: what starts it; None for what is usual with its framework.
        exclude: patterns of files that do not belong into the image, as in `.dockerignore`.
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
    python_version: str | None = None
    app_deps: Packages = Packages()
    env_deps: Packages = Packages()
    command: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()

    def image(self) -> str:
        """The reference of the image, which is `repository/organisation/app_id:app_version`.

        Files of 2024 have the registry in `repo_server` and the organisation in `repository`, or both in `repository`,
        and name the image in `image_name`. A repository that ends with the id of the application, or has a tag or
        digest, is whole.

        Raises:
            BadEntry: the entries do not tell the image, or tell more than one.
        """
        if self.repository is not None and _has_tag(self.repository):
            self._check_alone()
            return self.repository
        server = self.repo_server or (self.repository or "").partition("/")[0]
        if not server:
            advice = "add the registry's host, as in repository: quay.io, or give --image"
            if self.image_name and _is_host(self.image_name.partition("/")[0]):
                advice = f"write the whole image reference as link: {self.image_name}:{self.version}"
            raise BadEntry(f"repository: {FILE_NAME} does not have it; {advice}")
        if not _is_host(server) or "/" in server:
            entry = "repo_server" if self.repo_server else "repository"
            raise BadEntry(
                f"{entry}: {server!r} is not the host of a registry; write it as in quay.io, with the organisation in "
                f"{'repository' if self.repo_server else 'organisation'}"
            )
        entry, organisation = self._organisation(server)
        name = (self.image_name or self.app_id).rpartition("/")[2]
        if entry == "repository":
            *place, last = organisation.split("/")
            if last == name and place and not (self.image_name or self.repo_server):
                return f"{self.repository}:{self.version}"
            if last == name or (place and not self.image_name):
                raise BadEntry(
                    f"organisation: {FILE_NAME} does not have it, and {self.repository} alone does not tell the image; "
                    "add it, with the host alone in repository, or give the whole image reference as link or --image"
                )
        return f"{server}/{organisation}/{name}:{self.version}"

    def _organisation(self, server: str) -> tuple[str, str]:
        """Return the registry's organisation, and the name of the entry that has it."""
        repository, image_name = self.repository or "", self.image_name or ""
        organisations = {
            "repository": repository if self.repo_server else repository.partition("/")[2],
            "organisation": self.organisation,
            "image_name": image_name.rpartition("/")[0],
        }
        places = [(entry, organisation) for entry, organisation in organisations.items() if organisation]
        if not places:
            raise BadEntry(
                f"organisation: {FILE_NAME} does not have it, and {server} alone does not tell the image; "
                "add it, or give the whole image reference as link or --image"
            )
        if len(places) > 1:
            raise BadEntry(
                f"{places[0][0]}: {FILE_NAME} has an organisation of the registry in "
                f"{' and in '.join(f'{entry} ({organisation})' for entry, organisation in places)}; leave it in one of "
                "them, or give the whole image reference as link or --image"
            )
        entry, organisation = places[0]
        first, slash, _ = organisation.partition("/")
        # An organisation may have a dot, such as my.lab.
        if first == server or (slash and entry != "organisation" and _is_host(first)):
            raise BadEntry(
                f"{entry}: {organisation} begins with the host of a registry, and {server} is one too; leave one of "
                "them out, or give the whole image reference as link or --image"
            )
        return entry, organisation

    def _check_alone(self) -> None:
        others = [name for name in ("repo_server", "organisation", "image_name") if getattr(self, name)]
        if others:
            raise BadEntry(
                f"repository: {self.repository} is a whole image reference, and {FILE_NAME} has {', '.join(others)} "
                "too; leave out what does not count"
            )


def _is_host(text: str) -> bool:
    """Return whether the first part of an image reference is a registry, by the rule of Docker."""
    return "." in text or ":" in text or text == "localhost"


def _has_tag(repository: str) -> bool:
    _, slash, path = repository.partition("/")
    return bool(slash) and (":" in path or "@" in path)


def read(path: Path, app_id: str | None = None) -> AppConfig:
    """Read the file.

    Args:
        path: the file, or the folder it is in.
        app_id: id of the application, for a file that leaves it null.

    Raises:
        BadEntry: the file is missing or not YAML, or an entry is missing or not valid; the message names it.
    """
    file = path / FILE_NAME if path.is_dir() else path
    entries = read_entries(path)
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
        organisation=_organisation_of(entries),
        repo_server=_text(entries, "repo_server"),
        image_name=_text(entries, "image_name"),
        title=_text(entries, "title") or app_id,
        description=_text(entries, "description") or "",
        icon=None if icon is None else file.parent / icon,
        recommended_profile=_text(entries, "recommended_profile"),
        python_version=_python_version(entries),
        app_deps=_packages(entries, "app_deps"),
        env_deps=_packages(entries, "env_deps"),
        command=_texts(entries, "command", "command") or None,
        exclude=_texts(entries, "exclude", "exclude"),
    )


def read_app_id(path: Path) -> str:
    """Read the id of the application in a folder, whatever else the file says; for errors see `read`."""
    return _required(read_entries(path), "app_id")


def read_entries(path: Path) -> dict[Any, Any]:
    """Read what the file holds, whether it is right or not.

    Args:
        path: the file, or the folder it is in.

    Raises:
        BadEntry: the file is missing, not YAML, there twice, or says something twice.
    """
    import yaml

    file = path / FILE_NAME if path.is_dir() else path
    other = file.with_name(OTHER_NAME)
    if other.exists():
        advice = f"rename it to {FILE_NAME}" if not file.exists() else "remove one of them"
        raise BadEntry(f"{other} is there{' beside ' + FILE_NAME if file.exists() else ''}; {advice}")

    class Loader(yaml.SafeLoader):
        """YAML that says nothing twice: of two entries of one name, PyYAML keeps the last in silence."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            names = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                raise BadEntry(f"{twice[0]}: {FILE_NAME} has it twice; remove one of the entries")
            return super().construct_mapping(node, deep)

    try:
        content = file.read_bytes()
        if len(content) > MAX_SIZE:
            raise BadEntry(f"{file} has more than {MAX_SIZE} bytes; it is not an {FILE_NAME}")
        entries = yaml.load(content, Loader)  # noqa: S506 - a safe loader
    except FileNotFoundError:
        raise BadEntry(f"{file} does not exist; run this in the application's folder, or name it") from None
    except OSError as error:
        raise BadEntry(f"{file} cannot be read ({error.strerror}); make it readable") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BadEntry(f"{file} is not YAML ({_first_line(error)}); correct it") from None
    if not isinstance(entries, dict):
        raise BadEntry(f"{file} holds no entries; write them as in app_id: viewer")
    return entries


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


def _texts(entries: dict[Any, Any], name: str, shown: str) -> tuple[str, ...]:
    values = entries.get(name)
    if values is None:
        return ()
    if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
        raise BadEntry(f"{shown}: it is not a list of texts in {FILE_NAME}; write it as in {name}: [first, second]")
    return tuple(values)


def _packages(entries: dict[Any, Any], name: str) -> Packages:
    lists = entries.get(name)
    if lists is None:
        return Packages()
    if not isinstance(lists, dict):
        raise BadEntry(f"{name}: it has no lists in {FILE_NAME}; write it as in {name}: {{edm: [], pip: [numpy]}}")
    return Packages(*(_texts(lists, kind, f"{name}: {kind}") for kind in ("edm", "pip")))


def _python_version(entries: dict[Any, Any]) -> str | None:
    version = entries.get("python_version")
    if isinstance(version, float) and version != 3.1:
        return str(version)
    if version == 3.1:
        raise BadEntry('python_version: without quotes, 3.10 is the number 3.1; write python_version: "3.10"')
    text = _text(entries, "python_version")
    if text is not None and not re.fullmatch(r"3\.[0-9]{1,2}", text):
        raise BadEntry(f'python_version: {text!r} has not two numbers; write it as in python_version: "3.11"')
    return text


def _organisation_of(entries: dict[Any, Any]) -> str | None:
    spellings = [_text(entries, name) for name in ("organisation", "organization")]
    if all(spellings) and spellings[0] != spellings[1]:
        raise BadEntry(
            f"organisation: {FILE_NAME} has organisation: {spellings[0]} and organization: {spellings[1]}; leave one"
        )
    return spellings[0] or spellings[1]


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
