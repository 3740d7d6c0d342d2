"""Whether a value that was opened is the one that was saved: equal, and of the same types all through."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any


def difference(value: Any, opened: Any, place: str = "it") -> str | None:
    """Return a clause that says what differs in `opened`, such as ``"it['n'] is 1, and comes back as 2"``.

    Returns:
        None if all is the same. Objects of a class without ``==`` are the same if their classes are.
    """
    if isinstance(opened, Mapping) and _type(value) in ("dict", _type(opened)):
        # Also archives, which read their items when they are accessed.
        return _in_dict(dict(value), dict(opened), place)
    if type(value) is not type(opened):
        return f"{place} is of type {_type(value)}, and comes back as {_type(opened)}"
    if type(value) in (list, tuple):
        return _in_list(value, opened, place)
    if hasattr(value, "__array_interface__") and hasattr(value, "dtype"):
        return _in_array(value, opened, place)
    if not _has_equality(value) or _is_equal(value, opened):
        return None
    return f"{place} is {_short(value)}, and comes back as {_short(opened)}"


def _in_dict(value: dict[Any, Any], opened: dict[Any, Any], place: str) -> str | None:
    if len(value) != len(opened):
        return f"{place} has {len(value)} items, and comes back with {len(opened)}"
    for key, comes_back in zip(value, opened, strict=True):
        clause = difference(key, comes_back, f"the key {_short(key)} of {place}")
        clause = clause or difference(value[key], opened[comes_back], f"{place}[{_short(key)}]")
        if clause is not None:
            return clause
    return None


def _in_list(value: Any, opened: Any, place: str) -> str | None:
    if len(value) != len(opened):
        return f"{place} has {len(value)} items, and comes back with {len(opened)}"
    clauses = (difference(value[n], opened[n], f"{place}[{n}]") for n in range(len(value)))
    return next((clause for clause in clauses if clause is not None), None)


def _in_array(value: Any, opened: Any, place: str) -> str | None:
    for what in ("dtype", "shape"):
        if getattr(value, what) != getattr(opened, what):
            return f"{place} has the {what} {getattr(value, what)}, and comes back with {getattr(opened, what)}"
    if value.dtype.hasobject:
        return difference(value.tolist(), opened.tolist(), place)
    # By their bytes, since NaN is not equal to itself; a True of Pillow's has the byte 255.
    same = bool((value == opened).all()) if value.dtype == bool else value.tobytes() == opened.tobytes()
    return None if same else f"{place} comes back with other values"


def _has_equality(value: Any) -> bool:
    return any("__eq__" in vars(kind) for kind in type(value).__mro__[:-1])


def _is_equal(value: Any, opened: Any) -> bool:
    if value != value:
        return bool(opened != opened)
    return bool(value == opened) and _unseen(value) == _unseen(opened)


def _unseen(value: Any) -> Any:
    """Return what ``==`` leaves out: the sign of zero, which of two hours a clock shows, and the time zone."""
    if isinstance(value, float):
        return math.copysign(1, value)
    if isinstance(value, dt.datetime | dt.time):
        return value.fold, value.utcoffset(), value.tzname()
    return None


def _type(value: Any) -> str:
    return type(value).__name__


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 50 else f"{shown[:50]}..."
