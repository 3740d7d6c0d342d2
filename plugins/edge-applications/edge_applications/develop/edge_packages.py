"""Where the distributions of Edge come from: from where they came to this environment, and from no index.

None of them is at the public package index, where anyone could take their names.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from edge_core.errors import ConfigurationError

WHEELS_VARIABLE = "EDGE_WHEELS"
"""Names a folder with wheels of all of them."""

CLIENT = (
    "edge-core",
    "edge-files",
    "edge-sources",
    "edge-secrets",
    "edge-tokens",
    "edge-applications",
    "edge-compute",
    "edge-billing",
    "edge-admin",
)
"""What the one package `enthought_edge` is."""

NAMES = frozenset({*CLIENT, "edge-cli", "edge-hub", "edge-server", "edge-testing", "edge-vfs"})


def is_ours(name: str) -> bool:
    """Whether a requirement of this name is a distribution of Edge."""
    return canonicalize_name(name) in NAMES


def with_requirements(requirements: Iterable[Requirement]) -> dict[str, Requirement]:
    """The distributions of Edge that these need, themselves among them, by name.

    Raises:
        ConfigurationError: one of them is not installed here, so that what it needs is not known.
    """
    needed: dict[str, Requirement] = {}
    waiting = list(requirements)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in needed and requirement.extras <= needed[name].extras:
            continue
        if name in needed:
            requirement.extras |= needed[name].extras
        needed[name] = requirement
        waiting += (line for line in _required(name, requirement.extras) if is_ours(line.name))
    return needed


def source(name: str) -> Path:
    """The folder or wheel that a distribution of Edge is installed from.

    Raises:
        ConfigurationError: it is known neither by EDGE_WHEELS nor by how it came here.
    """
    wheels = os.environ.get(WHEELS_VARIABLE)
    if wheels:
        return _wheel(name, Path(wheels))
    for distribution in importlib.metadata.distributions(name=name):
        direct = json.loads(distribution.read_text("direct_url.json") or "{}")
        address = urlsplit(direct.get("url", ""))
        path = Path(url2pathname(address.path))
        if address.scheme == "file" and path.exists():
            return path
    raise ConfigurationError(
        f"{name} cannot be copied from this environment; build the wheels of Edge (README, Install), and name their "
        f"folder in {WHEELS_VARIABLE}"
    )


def _required(name: str, extras: set[str]) -> Iterator[Requirement]:
    try:
        lines = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        raise ConfigurationError(
            f"{name} is not installed here, from where applications get it; install it (README, Install)"
        ) from None
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def _wheel(name: str, folder: Path) -> Path:
    for path in sorted(folder.glob("*.whl")):
        try:
            distribution, *_ = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            continue
        if distribution == name:
            return path.resolve()
    raise ConfigurationError(
        f"{WHEELS_VARIABLE}: {folder} has no wheel of {name}; build the wheels of Edge again (README, Install)"
    )
