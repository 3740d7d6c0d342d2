"""Discovery of plugins: which there are, without importing any; then one, when it is asked for.

A plugin that fails is a value, not an event: its record says what happened, listing never raises,
and nothing but the plugin itself breaks.

The environment can switch plugins off, by the names of their distributions, separated by commas:

- ``EDGE_DISABLE_PLUGINS``: not these;
- ``EDGE_ENABLE_PLUGINS``: only these; set and empty, none at all;
- ``EDGE_STRICT_PLUGINS``: set to anything, the first plugin that cannot be used raises, also where
  it would be passed over with a warning, or leave its name to another: for build jobs.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from edge_core import forks
from edge_core.errors import EdgeError, PluginAttributeError, PluginError
from edge_core.plugin import PLUGIN_API

if TYPE_CHECKING:
    from importlib_metadata import EntryPoint


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


class _Circular(PluginAttributeError):
    """A plugin asked for itself while it was being made; true only for this moment."""


class _Incompatible(Exception):
    """The plugin states no contract, or one this core does not speak."""


class Registry:
    """The plugins of one entry-point group, and what became of each.

    Args:
        group: the entry-point group, such as ``edge.namespaces``.
        refuse: given name and distribution, the sentence why that pair may not be, or None.
        choices: gives name -> distribution where the user's configuration decides.
    """

    _lock: threading.Lock

    def __init__(
        self,
        group: str,
        *,
        refuse: Callable[[str, str], str | None] = lambda name, distribution: None,
        choices: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self.group = group
        self._refuse = refuse
        self._choices = choices
        forks.renew_lock(self)
        self._making = threading.local()
        self._records: dict[tuple[str, str], PluginRecord] = {}
        self._points: dict[str, _Claim] = {}
        self._causes: dict[str, BaseException] = {}
        self._off: set[tuple[str, str]] = set()
        for name, claims in _scan().get(group, {}).items():
            self._admit(name, claims)

    def _admit(self, name: str, claims: list[_Claim]) -> None:
        """Decide which of the distributions that claim `name` has it."""
        on: list[_Claim] = []
        for claim in claims:
            reason = _switched_off(claim.record.distribution)
            if reason is None:
                on.append(claim)
            else:
                key = name, claim.record.distribution
                self._records[key] = claim.record._replace(status="blocked", error=reason)
                self._off.add(key)
        claims = on
        found = [claim.record for claim in claims]
        refusals = [self._refuse(name, record.distribution) for record in found]
        chosen = None
        if len(found) > 1 or any(refusals):
            chosen = self._choices().get(name)
        free: list[int] = []
        for index, record in enumerate(found):
            if chosen is not None and normalized(record.distribution) == normalized(chosen):
                free = [index]
                break
            if refusals[index] is None:
                free.append(index)
        for index, record in enumerate(found):
            if index not in free:
                reason = refusals[index] or f"the configuration gives {name!r} to {chosen}"
                record = record._replace(status="blocked", error=reason)
            elif len(free) > 1:
                record = record._replace(status="conflict", error=_conflict(name, found))
            else:
                self._points[name] = claims[index]
            self._records[name, record.distribution] = record

    def records(self) -> list[PluginRecord]:
        """One record per name and distribution, by name; imports nothing."""
        return sorted(self._records.values())

    def names(self) -> list[str]:
        """The names that can be asked for; imports nothing."""
        return sorted(self._points)

    def load(self, name: str, make: Callable[[Any], Any] = lambda target: target) -> Any:
        """Import the plugin called `name` and return what `make` makes of its entry point's object.

        Raises:
            PluginAttributeError: there is none, or it is broken; its cause is what the plugin raised.
            KeyError: no distribution claims the name.
            EdgeError: a plugin of this group cannot be used, and `EDGE_STRICT_PLUGINS` is set.
        """
        if is_strict():
            self._check_strictly()
        try:
            return self._load(name, make)
        except _Circular:
            raise
        except PluginError as error:
            if not is_strict():
                raise
            raise strictly(error) from error

    def _load(self, name: str, make: Callable[[Any], Any]) -> Any:
        claim = self._points.get(name)
        if claim is None:
            raise self._unusable(name)
        if name in self._causes:
            raise self._failure(name) from self._causes[name]
        making = self._making.__dict__.setdefault("names", set())
        if name in making:
            raise _Circular(f"{name!r} was asked for while it was being made; its plugin must not ask for itself")
        making.add(name)
        try:
            # No lock is held here: an import under a lock of ours deadlocks against the lock Python
            # holds on each module. Two threads may both come this far; the session keeps the first.
            made = _make(claim, make)
        except (Exception, SystemExit) as cause:
            if _is_circular(cause):
                raise PluginAttributeError(f"{self._title(name)} could not be made: {cause}") from cause
            with self._lock:
                self._note(name, cause)
            raise self._failure(name) from cause
        finally:
            making.discard(name)
        with self._lock:
            key = name, claim.record.distribution
            self._records[key] = self._records[key]._replace(status="loaded")
        return made

    def unusable(self) -> list[PluginRecord]:
        """Those that are known to be of no use, but for what was switched off; imports nothing."""
        return [one for one in self.records() if one.error and (one.name, one.distribution) not in self._off]

    def _check_strictly(self) -> None:
        for record in self.unusable():
            raise strictly(f"{self._title(record.name)} of {record.distribution} cannot be used: {record.error}")

    def _note(self, name: str, cause: BaseException) -> None:
        key = name, self._points[name].record.distribution
        if isinstance(cause, _Incompatible):
            status, error = "incompatible", str(cause)
        else:
            status, error = "failed", f"{type(cause).__name__}: {cause}"
        self._records[key] = self._records[key]._replace(status=status, error=error)
        self._causes[name] = cause

    def _failure(self, name: str) -> PluginAttributeError:
        """A new error each time: one exception object raised twice would grow its traceback."""
        record = self._records[name, self._points[name].record.distribution]
        who = f"{record.distribution} {record.version}"
        if record.status == "incompatible":
            return PluginAttributeError(f"{self._title(name)} cannot be used: {record.error}")
        return PluginAttributeError(
            f"{self._title(name)} is broken: its plugin {who} failed with {record.error}; "
            f"mend, upgrade or uninstall {record.distribution}"
        )

    def _unusable(self, name: str) -> Exception:
        for record in self.records():
            if record.name == name:
                return PluginAttributeError(f"{self._title(name)} cannot be used: {record.error}")
        return KeyError(name)

    def _title(self, name: str) -> str:
        return f"session.{name}" if self.group == "edge.namespaces" else f"{name!r} of {self.group}"


def is_strict() -> bool:
    """Whether no plugin may be passed over."""
    return bool(os.environ.get("EDGE_STRICT_PLUGINS"))


def strictly(error: object) -> EdgeError:
    """What a plugin that cannot be used raises where no plugin may be passed over; nothing takes it for less."""
    return EdgeError(f"{error} (EDGE_STRICT_PLUGINS is set)")


def _switched_off(distribution: str) -> str | None:
    """Why the environment switches `distribution` off, or None."""
    name = normalized(distribution)
    if name in _named("EDGE_DISABLE_PLUGINS"):
        return f"EDGE_DISABLE_PLUGINS switches {distribution} off; take it out of there to use it"
    if "EDGE_ENABLE_PLUGINS" in os.environ and name not in _named("EDGE_ENABLE_PLUGINS"):
        return f"EDGE_ENABLE_PLUGINS does not name {distribution}; add it there to use it"
    return None


def _named(variable: str) -> set[str]:
    return {normalized(name) for name in re.split(r"[\s,]+", os.environ.get(variable, "")) if name}


class _Claim(NamedTuple):
    """One distribution's entry point under a name."""

    record: PluginRecord
    point: EntryPoint


_found: dict[str, dict[str, list[_Claim]]] | None = None
_scan_lock = threading.Lock()


def rescan() -> None:
    """Forget what the last scan found; the next registry looks again."""
    global _found
    _found = None


def is_installed(group: str) -> bool:
    """Whether any distribution has an entry point in `group`; imports nothing."""
    return group in _scan()


def version_of(distribution: str) -> str:
    """The installed version of a distribution; "0" if it is not installed."""
    import importlib_metadata

    try:
        return _name_and_version(importlib_metadata.distribution(distribution))[1]
    except importlib_metadata.PackageNotFoundError:
        return "0"


def _scan() -> dict[str, dict[str, list[_Claim]]]:
    """All entry points in groups of ours, by group and name: one look at the metadata per process."""
    global _found
    with _scan_lock:
        if _found is None:
            _found = _look()
        return _found


def _look() -> dict[str, dict[str, list[_Claim]]]:
    import importlib_metadata

    names: dict[str, None] = {}
    for distribution in importlib_metadata.distributions():
        try:
            # Most have nothing for us, which is seen sooner than their entry points are parsed.
            text = distribution.read_text("entry_points.txt") or ""
            if "[edge." in text and any(point.group.startswith("edge.") for point in distribution.entry_points):
                names[_name_and_version(distribution)[0]] = None
        except Exception:  # noqa: S112  # one damaged distribution must not hide the others
            continue
    found: dict[str, dict[str, list[_Claim]]] = {}
    seen: set[str] = set()
    for name in names:
        # By name, since a distribution can be on the path twice (an editable install beside a
        # wheel, an egg-info beside a dist-info) and Python imports the first one.
        distribution = importlib_metadata.distribution(name)
        if normalized(name) in seen:
            continue
        seen.add(normalized(name))
        _, version = _name_and_version(distribution)
        for point in distribution.entry_points:
            if point.group.startswith("edge."):
                record = PluginRecord(point.name, "available", name, version, point.value)
                found.setdefault(point.group, {}).setdefault(point.name, []).append(_Claim(record, point))
    return found


def _name_and_version(distribution: Any) -> tuple[str, str]:
    """Both from the head of the metadata: asked for by name, each parses the whole of it, README and all."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    head = dict(re.findall(r"^(Name|Version):[ \t]*(\S+)", text.partition("\n\n")[0], flags=re.MULTILINE))
    return head.get("Name") or distribution.name, head.get("Version") or distribution.version


def _make(claim: _Claim, make: Callable[[Any], Any]) -> Any:
    target = claim.point.load()
    _check_contract(target, claim.point.module, claim.record.distribution)
    # Hook plugins may be modules; everything else is called, by the session or by whoever uses it.
    if claim.point.group != "edge.hooks" and not callable(target):
        raise TypeError(f"the entry point names {type(target).__name__} {target!r}, which cannot be called")
    made = make(target)
    if made is None:
        raise TypeError(f"{claim.point.value} returned None instead of an object")
    return made


def normalized(distribution: str) -> str:
    """PEP 503's form of a distribution's name."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _conflict(name: str, found: list[PluginRecord]) -> str:
    claims = " and ".join(f"{record.distribution} {record.version}" for record in found)
    return (
        f"{claims} both claim {name!r}; uninstall one, or write '{name} = {found[0].distribution}' "
        "in the section [plugins] of the profile file"
    )


def _check_contract(target: Any, module: str, distribution: str) -> None:
    # On the object itself, else on its module. Never by inheritance: a base class of ours would
    # always state the contract of the core that is installed.
    own = getattr(target, "__dict__", {}).get("plugin_api")
    stated = own if own is not None else getattr(sys.modules[module], "plugin_api", None)
    if type(stated) is not int:
        raise _Incompatible(
            f"{distribution} states no plugin contract; its author adds plugin_api = {PLUGIN_API} to {module}"
        )
    if stated > PLUGIN_API:
        raise _Incompatible(
            f"{distribution} needs plugin contract {stated}; upgrade edge-core, which speaks {PLUGIN_API}"
        )
    if stated < PLUGIN_API:
        raise _Incompatible(f"{distribution} was written for plugin contract {stated}; upgrade {distribution}")


def _is_circular(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, _Circular):
            return True
        error = error.__cause__ or error.__context__
    return False
