"""What is installed: one look at the metadata of distributions per process, which imports none of them."""

import re
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint


class PluginRecord(NamedTuple):
    """What is known of one plugin.

    Attributes:
        name: the entry point's name; in ``edge.namespaces`` the attribute on the session.
        status: ``available`` (not imported yet), ``loaded``, ``failed`` (it raised), ``blocked``
            (switched off, or it may not have this name), ``conflict`` (two distributions claim the name) or
            ``incompatible`` (written for another plugin contract).
        distribution: name of the distribution that brings it.
        version: version of that distribution.
        source: ``module:object`` of the entry point.
        error: one sentence on what is wrong, or None.
    """

    name: str
    status: str
    distribution: str
    version: str
    source: str
    error: str | None = None


class Claim(NamedTuple):
    """One distribution's entry point under a name."""

    record: PluginRecord
    point: "EntryPoint"

    @property
    def key(self) -> tuple[str, str]:
        return self.record.name, self.record.distribution


_claims: dict[str, dict[str, list[Claim]]] | None = None
_scan_lock = threading.Lock()


def rescan() -> None:
    """Forget what the last scan saw; the next registry looks again."""
    global _claims
    _claims = None


def claims_of(group: str) -> dict[str, list[Claim]]:
    """The claims in `group` by name; imports nothing."""
    return _scan().get(group, {})


def is_installed(group: str) -> bool:
    """Whether any distribution has an entry point in `group`; imports nothing."""
    return group in _scan()


def version_of(distribution: str) -> str:
    """The installed version of a distribution; "0" if it is not installed."""
    from importlib import metadata

    try:
        return _name_and_version(metadata.distribution(distribution))[1]
    except metadata.PackageNotFoundError:
        return "0"


def _scan() -> dict[str, dict[str, list[Claim]]]:
    """All claims in groups of ours, by group and name: one look at the metadata per process."""
    global _claims
    with _scan_lock:
        if _claims is None:
            _claims = {}
            for name, version, points in _distributions():
                for point in points:
                    if point.group.startswith("edge."):
                        claim = Claim(PluginRecord(point.name, "available", name, version, point.value), point)
                        _claims.setdefault(point.group, {}).setdefault(point.name, []).append(claim)
        return _claims


def _distributions() -> "Iterable[tuple[str, str, Iterable[EntryPoint]]]":
    """Name, version and entry points of each distribution that may have one in a group of ours."""
    from importlib import metadata

    names: set[str] = set()
    for distribution in metadata.distributions():
        try:
            # Most have nothing for us, which shows sooner than their entry points are parsed.
            if "[edge." not in (distribution.read_text("entry_points.txt") or ""):
                continue
            name, version = _name_and_version(distribution)
            if normalized(name) in names:
                continue
            names.add(normalized(name))
            # A distribution can be on the path twice (an editable install beside a wheel, an egg-info
            # beside a dist-info), and Python imports the first one, which may not be a plugin.
            first = metadata.distribution(name)
            if first.locate_file("") != distribution.locate_file(""):
                distribution = first
                name, version = _name_and_version(first)
            points = distribution.entry_points
        except Exception:  # noqa: S112  # one damaged distribution must not hide the others
            continue
        yield name, version, points


def _name_and_version(distribution: "Distribution") -> tuple[str, str]:
    """Both from the head of the metadata: by its attributes, each parses the whole of it, README and all."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    head = dict(re.findall(r"^(Name|Version):[ \t]*(\S+)", text.partition("\n\n")[0], flags=re.MULTILINE))
    return head.get("Name") or distribution.name, head.get("Version") or distribution.version


def normalized(distribution: str) -> str:
    """PEP 503's form of a distribution's name."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
