"""What a case is, and the plain form in which opened objects are compared."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import pandas

from edge_vfs.file import File
from edge_vfs.openers import UnreadableContent

ANYTHING = object()
"""The value of a case that is about its warning only."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A file, and what comes of opening it.

    Attributes:
        name: the file's name, unique in the corpus.
        content: its bytes; texts are encoded as UTF-8.
        why: what is odd about it.
        value: what is opened, in the form of `plain`.
        error: regular expression for the error's sentence; no value then.
        warns: regular expression for the one `InexactWarning`; None for no warning.
        open_with: name of the opener; None for the one of the suffix.
        options: keyword arguments of `open`.
    """

    name: str
    content: bytes | str
    why: str
    value: Any = ANYTHING
    error: str | None = None
    warns: str | None = None
    open_with: str | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def payload(self) -> bytes:
        return self.content.encode() if isinstance(self.content, str) else self.content


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of opening a file: a value in the form of `plain` or the sentence of an error, and all warnings."""

    value: Any
    error: str | None
    warnings: list[str]


def outcome(folder: Any, case: Case, name: str) -> Outcome:
    """Open `name` as the case says; errors other than `UnreadableContent` and `BadEntry` pass."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value, error = None, None
        try:
            value = plain(folder.open(name, case.open_with, **case.options))
        except UnreadableContent as refusal:
            error = str(refusal)
    return Outcome(value, error, [f"{warning.category.__name__}: {warning.message}" for warning in caught])


def plain(opened: Any) -> Any:
    """Return what was opened as values of Python.

    Frames are lists by column, with None for a gap; a second column of a name has (2) after it. Pictures are pairs of
    mode and pixels, arrays of dtype and values, archives, dictionaries, HDF5 and netCDF files dictionaries, and files
    their bytes.
    """
    kind = type(opened).__module__.partition(".")[0], type(opened).__name__
    match kind:
        case "pandas", "DataFrame":
            return _frame(opened)
        case "edge_vfs", "HDF5File":
            with opened:
                paths: list[str] = []
                opened.visit(paths.append)
                return {path: _values(opened[path][()]) for path in paths if hasattr(opened[path], "dtype")}
        case "xarray", "Dataset":
            with opened:
                return {name: _values(variable.values) for name, variable in opened.variables.items()}
        case "PIL", _:
            import numpy

            picture = opened.convert(opened.palette.mode) if opened.mode == "P" else opened
            return picture.mode, numpy.asarray(picture).tolist()
        case "numpy", "ndarray":
            return str(opened.dtype), _cell(opened.tolist())
        case _, "NpzFile":
            with opened:
                return {name: _member(opened, name) for name in opened}
    if isinstance(opened, File):
        with opened:
            return opened.readall()
    return opened


def _values(array: Any) -> Any:
    return str(array.dtype), array.tolist()


def _frame(frame: Any) -> dict[Any, list[Any]]:
    index = frame.index
    if index.nlevels > 1 or index.dtype != "int64" or index.tolist() != list(range(len(frame))):
        frame = frame.reset_index()
    columns = [frame.iloc[:, position] for position in range(frame.shape[1])]
    cells: dict[Any, list[Any]] = {}
    for name, column in zip(frame.columns, columns, strict=True):
        pairs = zip(column.tolist(), _gaps(column), strict=True)
        key = f"{name} (2)" if name in cells else name
        cells[key] = [None if gap else _cell(cell) for cell, gap in pairs]
    return cells


def _gaps(column: Any) -> list[bool]:
    return [
        cell is None or (not hasattr(cell, "__len__") and bool(cell is pandas.NA or cell != cell)) for cell in column
    ]


def _cell(cell: Any) -> Any:
    match cell:
        case list() | tuple():
            return type(cell)(map(_cell, cell))
        case dict():
            return {name: _cell(value) for name, value in cell.items()}
    return _cell(cell.tolist()) if type(cell).__name__ == "ndarray" else cell


def _member(archive: Any, name: str) -> Any:
    try:
        return plain(archive[name])
    except UnreadableContent as refusal:
        return str(refusal)


def differences(expected: Any, value: Any, place: str = "") -> list[str]:
    """Return where two values in the form of `plain` differ, in type or value; a float NaN equals itself."""
    if type(expected) is not type(value):
        return [f"{place}: {expected!r} ({type(expected).__name__}) is {value!r} ({type(value).__name__})"]
    if isinstance(expected, dict):
        if list(expected) != list(value):
            return [f"{place}: keys {list(expected)} are {list(value)}"]
        return [line for key in expected for line in differences(expected[key], value[key], f"{place}[{key!r}]")]
    if isinstance(expected, list | tuple):
        if len(expected) != len(value):
            return [f"{place}: length {len(expected)} is {len(value)}: {value!r}"]
        pairs = enumerate(zip(expected, value, strict=True))
        return [line for n, (left, right) in pairs for line in differences(left, right, f"{place}[{n}]")]
    if isinstance(expected, float) and math.isnan(expected) and math.isnan(value):
        return []
    if isinstance(expected, float) and math.copysign(1, expected) != math.copysign(1, value):
        return [f"{place}: {expected!r} is {value!r}"]
    return [] if expected == value else [f"{place}: {expected!r} is {value!r}"]
