"""Discovery of plugins: which there are, without importing any; then one, when its name is used.

Distributions claim names by their entry points. Each claim gets a reason against it or none; where
several are left, the user's configuration picks; a single one left has the name, more are a conflict.
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
from typing import Any

from edge_core import forks
from edge_core.errors import EdgeError, PluginAttributeError, PluginError
from edge_core.installed import Claim, PluginRecord, claims_of, normalized, rescan
from edge_core.plugin import PLUGIN_API

__all__ = ["PluginRecord", "Registry", "is_strict", "rescan", "strictly"]


class _Circular(PluginAttributeError):
    """A plugin used itself while it was being loaded; true only for this moment."""


class _Incompatible(Exception):
    """The plugin names no contract, or one this core does not speak."""


class Registry:
    """The plugins of one entry-point group, and what became of each.

    Args:
        group: the entry-point group, such as ``edge.namespaces``.
        refuse: from name and distribution, the sentence why that pair may not be, or None.
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
        forks.renew_lock(self)
        self._loading = threading.local()
        self._records: dict[tuple[str, str], PluginRecord] = {}
        self._owners: dict[str, Claim] = {}
        self._causes: dict[str, BaseException] = {}
        self._off: set[tuple[str, str]] = set()
        for name, claims in claims_of(group).items():
            self._admit(name, claims, refuse, choices)

    def _admit(
        self,
        name: str,
        claims: list[Claim],
        refuse: Callable[[str, str], str | None],
        choices: Callable[[], Mapping[str, str]],
    ) -> None:
        """Decide which of the distributions that claim `name` has it."""
        for claim in claims:
            reason = _switched_off(claim.record.distribution)
            self._records[claim.key] = claim.record._replace(status="blocked" if reason else "available", error=reason)
            if reason:
                self._off.add(claim.key)
        rivals = [claim for claim in claims if claim.key not in self._off]
        reasons = {claim.key: refuse(*claim.key) for claim in rivals}
        if len(rivals) > 1 or any(reasons.values()):  # only then the configuration is read
            chosen = choices().get(name, "")
            if normalized(chosen) in [normalized(claim.record.distribution) for claim in rivals]:
                for key, reason in reasons.items():
                    is_chosen = normalized(key[1]) == normalized(chosen)
                    reasons[key] = None if is_chosen else reason or f"the configuration gives {name!r} to {chosen}"
        left = [claim for claim in rivals if reasons[claim.key] is None]
        for claim in rivals:
            if claim not in left:
                self._set(claim, "blocked", reasons[claim.key])
            elif len(left) > 1:
                self._set(claim, "conflict", _conflict(name, rivals))
            else:
                self._owners[name] = claim

    def _set(self, claim: Claim, status: str, error: str | None) -> None:
        self._records[claim.key] = claim.record._replace(status=status, error=error)

    def records(self) -> list[PluginRecord]:
        """One record per name and distribution, by name; imports nothing."""
        return sorted(self._records.values())

    def names(self) -> list[str]:
        """The names that can be loaded; imports nothing."""
        return sorted(self._owners)

    def unusable(self) -> list[PluginRecord]:
        """Those that are known to be of no use, but for what was switched off; imports nothing."""
        return sorted(record for key, record in self._records.items() if record.error and key not in self._off)

    def load(self, name: str, make: Callable[[Any], Any] = lambda target: target) -> Any:
        """Import the plugin called `name` and return what `make` makes of its entry point's object.

        Raises:
            PluginAttributeError: it cannot be used; its cause is what the plugin raised.
            KeyError: no distribution claims the name.
            EdgeError: a plugin of this group cannot be used, and `EDGE_STRICT_PLUGINS` is set.
        """
        if not is_strict():
            return self._load(name, make)
        for record in self.unusable():
            raise strictly(f"{self._title(record.name)} of {record.distribution} cannot be used: {record.error}")
        try:
            return self._load(name, make)
        except _Circular:
            raise
        except PluginError as error:
            raise strictly(error) from error

    def _load(self, name: str, make: Callable[[Any], Any]) -> Any:
        claim = self._owners.get(name)
        if claim is None:
            errors = [record.error for record in self.records() if record.name == name]
            raise PluginAttributeError(f"{self._title(name)} cannot be used: {errors[0]}") if errors else KeyError(name)
        if name in self._causes:
            raise self._failure(claim) from self._causes[name]
        loading = self._loading.__dict__.setdefault("names", set())
        if name in loading:
            raise _Circular(f"{name!r} was used while it was being loaded; its plugin must not use itself then")
        loading.add(name)
        try:
            # No lock is held here: an import under a lock of ours deadlocks against the lock Python
            # holds on each module. Two threads may both come this far; the session keeps the first.
            plugin = _imported(claim, make)
        except (Exception, SystemExit) as cause:
            if _is_circular(cause):
                raise PluginAttributeError(f"{self._title(name)} could not be loaded: {cause}") from cause
            with self._lock:
                self._causes[name] = cause
                if isinstance(cause, _Incompatible):
                    self._set(claim, "incompatible", str(cause))
                else:
                    self._set(claim, "failed", f"{type(cause).__name__}: {cause}")
            raise self._failure(claim) from cause
        finally:
            loading.discard(name)
        with self._lock:
            self._set(claim, "loaded", None)
        return plugin

    def _failure(self, claim: Claim) -> PluginAttributeError:
        """A new error each time: one exception object raised twice would grow its traceback."""
        record = self._records[claim.key]
        if record.status == "incompatible":
            return PluginAttributeError(f"{self._title(record.name)} cannot be used: {record.error}")
        return PluginAttributeError(
            f"{self._title(record.name)} is broken: its plugin {record.distribution} {record.version} failed with "
            f"{record.error}; fix, upgrade or uninstall {record.distribution}"
        )

    def _title(self, name: str) -> str:
        return f"session.{name}" if self.group == "edge.namespaces" else f"{name!r} of {self.group}"


def is_strict() -> bool:
    """Whether no plugin may be passed over."""
    return bool(os.environ.get("EDGE_STRICT_PLUGINS"))


def strictly(error: object) -> EdgeError:
    """The error of a plugin that cannot be used, where none may be passed over."""
    return EdgeError(f"{error} (EDGE_STRICT_PLUGINS is set)")


def _switched_off(distribution: str) -> str | None:
    """Why the environment switches `distribution` off, or None."""
    name = normalized(distribution)
    if name in _listed("EDGE_DISABLE_PLUGINS"):
        return f"EDGE_DISABLE_PLUGINS switches {distribution} off; take it out of there to use it"
    if "EDGE_ENABLE_PLUGINS" in os.environ and name not in _listed("EDGE_ENABLE_PLUGINS"):
        return f"EDGE_ENABLE_PLUGINS does not name {distribution}; add it there to use it"
    return None


def _listed(variable: str) -> set[str]:
    return {normalized(name) for name in re.split(r"[\s,]+", os.environ.get(variable, "")) if name}


def _conflict(name: str, rivals: list[Claim]) -> str:
    claims = " and ".join(f"{record.distribution} {record.version}" for record, _ in rivals)
    return (
        f"{claims} both claim {name!r}; uninstall one, or write '{name} = {rivals[0].record.distribution}' "
        "in the section [plugins] of the profile file"
    )


def _imported(claim: Claim, make: Callable[[Any], Any]) -> Any:
    target = claim.point.load()
    _check_contract(target, claim.point.module, claim.record.distribution)
    # Hook plugins may be modules; everything else is called, by the session or by whoever uses it.
    if claim.point.group != "edge.hooks" and not callable(target):
        raise TypeError(f"the entry point names {type(target).__name__} {target!r}, which cannot be called")
    plugin = make(target)
    if plugin is None:
        raise TypeError(f"{claim.point.value} returned None instead of an object")
    return plugin


def _check_contract(target: Any, module: str, distribution: str) -> None:
    # On the object itself, else on its module. Never by inheritance: a base class of ours would
    # always name the contract of the core that is installed.
    own = getattr(target, "__dict__", {}).get("plugin_api")
    contract = own if own is not None else getattr(sys.modules[module], "plugin_api", None)
    if type(contract) is not int:
        raise _Incompatible(
            f"{distribution} states no plugin contract; its author adds plugin_api = {PLUGIN_API} to {module}"
        )
    if contract > PLUGIN_API:
        raise _Incompatible(
            f"{distribution} needs plugin contract {contract}; upgrade edge-core, which speaks {PLUGIN_API}"
        )
    if contract < PLUGIN_API:
        raise _Incompatible(f"{distribution} was written for plugin contract {contract}; upgrade {distribution}")


def _is_circular(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, _Circular):
            return True
        error = error.__cause__ or error.__context__
    return False
