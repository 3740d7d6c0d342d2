"""What differs in a DataFrame that was saved and opened again, and the options with which nothing does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from edge_vfs.openers import comparing


def difference(frame: Any, opened: Any) -> str | None:
    """Return a clause that says what differs in `opened`, or None.

    Equal are values, their types, and which are missing. Texts may be of another type of pandas for texts, an
    index may be a range or the same numbers, and a list may be an array of its elements.
    """
    if frame.shape[1] != opened.shape[1]:
        return f"it has {_count(frame.shape[1], 'column')}, and comes back with {opened.shape[1]}"
    for label, comes_back in zip(_labels(frame), _labels(opened), strict=True):
        if comparing.difference(label, comes_back) is not None:
            return f"the name {label!r} of a column comes back as {comes_back!r}"
    if list(frame.columns.names) != list(opened.columns.names):
        return f"the name {frame.columns.name!r} of its columns does not come back; set columns.name = None"
    if len(frame) != len(opened):
        return f"it has {_count(len(frame), 'row')}, and comes back with {len(opened)}"
    index = _in_index(frame.index, opened.index)
    if index is not None:
        return index
    for position, label in enumerate(frame.columns):
        clause = _in_column(frame.iloc[:, position], opened.iloc[:, position], f"the column {label!r}")
        if clause is not None:
            return clause
    return None if frame.attrs == opened.attrs else "its attrs do not come back; attrs.clear() removes them"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _is_default(index: Any) -> bool:
    return type(index).__name__ == "RangeIndex" and (index.start, index.step, index.name) == (0, 1, None)


def _labels(frame: Any) -> list[Any]:
    return [label.item() if hasattr(label, "item") else label for label in frame.columns]


def _in_index(index: Any, opened: Any) -> str | None:
    named = ", ".join(repr(name) for name in index.names if name is not None)
    place = f"its index {named}".strip()
    if list(index.names) != list(opened.names) or (_is_default(opened) and not index.equals(opened)):
        return f"{place} does not come back; reset_index makes a column of it, and reset_index(drop=True) drops it"
    levels = ((index.get_level_values(n), opened.get_level_values(n)) for n in range(index.nlevels))
    clauses = (_in_column(level.to_series(), comes_back.to_series(), place) for level, comes_back in levels)
    return next((clause for clause in clauses if clause is not None), None)


def _in_column(column: Any, opened: Any, place: str) -> str | None:
    if column.dtype == opened.dtype and column.dtype != object:
        # NaN is another value than NA in some types of pandas.
        if _is_of_floats(column) and (column.isna().to_numpy() != opened.isna().to_numpy()).any():
            return f"NaN or a missing value in {place} comes back as another of them"
        if column.reset_index(drop=True).equals(opened.reset_index(drop=True)):
            return f"-0.0 in {place} comes back as 0.0" if _negative_zeros(column) != _negative_zeros(opened) else None
    elif not (_holds_objects(column) and _holds_objects(opened)):
        return f"{place} is of type {column.dtype}, and comes back as {opened.dtype}{_example(column, opened)}"
    for cell, comes_back in zip(column, opened, strict=True):
        if _is_missing(comes_back) and not _is_missing(cell):
            return f"{_short(cell)} in {place} comes back as a missing value"
        if _is_missing(cell) and not _is_missing(comes_back):
            return f"a missing value in {place} comes back as {_short(comes_back)}"
        if not _is_missing(cell):
            clause = comparing.difference(cell, _as_list(cell, comes_back), f"{_short(cell)} in {place}")
            if clause is not None:
                is_array = type(cell) is tuple and type(comes_back).__name__ == "ndarray"
                return f"{clause}; map(list) makes lists of tuples, which are saved" if is_array else clause
    return None


def _as_list(cell: Any, opened: Any) -> Any:
    """Return an array as a list where a list was saved: pandas has no lists, and gives those of Arrow as arrays.

    Its elements are of the types that they have in the list, so that they are compared as well.
    """
    if type(cell) is not list or type(opened).__name__ != "ndarray" or len(cell) != len(opened):
        return opened
    # Whole numbers, floats and booleans of Python are these types of NumPy, and no others.
    plain = opened.dtype in ("int64", "float64", "bool") and not any(hasattr(element, "dtype") for element in cell)
    elements = opened.tolist() if plain else list(opened)
    return [_as_list(element, comes_back) for element, comes_back in zip(cell, elements, strict=True)]


def _is_of_floats(column: Any) -> bool:
    return getattr(column.dtype, "kind", None) == "f"


def _negative_zeros(column: Any) -> list[int]:
    """Return the positions of -0.0, which equals 0.0, in a column of floats."""
    if not _is_of_floats(column):
        return []
    import numpy

    floats = column.to_numpy(dtype=float, na_value=float("nan"))
    return numpy.flatnonzero((floats == 0) & numpy.signbit(floats)).tolist()


def _holds_objects(column: Any) -> bool:
    """Return whether a column is of objects or of pandas' own type for texts, in which NaN is missing."""
    if column.dtype == object:
        return True
    return type(column.dtype).__name__ == "StringDtype" and isinstance(column.dtype.na_value, float)


def _is_missing(cell: Any) -> bool:
    return cell is None or type(cell).__name__ in ("NAType", "NaTType") or (isinstance(cell, float) and cell != cell)


def _example(column: Any, opened: Any) -> str:
    for cell, comes_back in itertools.islice(zip(column, opened, strict=True), 1000):
        if not _is_missing(cell) and str(cell) != str(comes_back):
            return f", such as {_short(cell)} as {_short(comes_back)}"
    return ""


def _short(cell: Any) -> str:
    shown = repr(cell.item() if getattr(cell, "ndim", None) == 0 else cell)
    return shown if len(shown) <= 50 else f"{shown[:50]}..."


def suggestions(frame: Any, opened: Any) -> Iterator[dict[str, Any]]:
    """Iterate over options with which a frame that was opened as `opened` may come back as it is."""
    if _labels(frame) == list(range(frame.shape[1])) != _labels(opened):
        yield {"header": None}
        return
    options = _options(frame, opened)
    yield options
    yield options | {"keep_default_na": False}


def _options(frame: Any, opened: Any) -> dict[str, Any]:
    """Return options of `open` that give the columns of `opened` the types of those of `frame`."""
    if not frame.columns.is_unique:
        return {}
    options: dict[str, Any] = {}
    names = [name for name in frame.index.names if name is not None]
    if not _is_default(frame.index):
        options["index_col"] = (names[0] if len(names) == 1 else names) or 0
    kinds = {}
    dates = []
    for name in frame.columns:
        column = frame[name]
        if name in opened.columns and len(opened) == len(frame) and _in_column(column, opened[name], "") is None:
            continue
        if str(column.dtype).startswith("datetime64"):
            dates.append(name)
        elif _holds_objects(column):
            kinds[name] = "str"
        else:
            kinds[name] = str(column.dtype)
    if kinds:
        options["dtype"] = kinds
    if dates:
        options["parse_dates"] = dates
    return options
