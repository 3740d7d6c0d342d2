"""Spreadsheets that are saved: xlsx by openpyxl, ods by odfpy."""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from edge_vfs.openers.opener import Content, UnsavableValue, need, suffix_of

OPTIONS = frozenset({"dtype", "header", "index_col", "parse_dates", "sheet_name"})


def write(file: Content, frame: Any, options: dict[str, Any]) -> None:
    """Write a frame as the only sheet of a workbook, with its index if `index_col` says that it is opened as one."""
    suffix = suffix_of(file.basename)
    sheet_name, header = options.get("sheet_name", "Sheet1"), options.get("header", 0)
    if suffix not in (".xlsx", ".ods"):
        raise UnsavableValue(f"nothing here writes {suffix}, and of the spreadsheets xlsx and ods can be saved")
    if not isinstance(sheet_name, str) or header not in (0, None):
        raise UnsavableValue("sheet_name must be a text, and header 0 for a row of names or None for none")
    if suffix == ".xlsx" and not _is_sheet_name(sheet_name):
        raise UnsavableValue(
            f"{sheet_name!r} is no name for a sheet, which has 1 to 31 characters, none of them one of []:*?/\\, and "
            "no apostrophe at an end"
        )
    with_index = options.get("index_col") is not None and options["index_col"] is not False
    columns = [frame.iloc[:, position] for position in range(frame.shape[1])]
    names = list(frame.columns)
    if with_index:
        levels = [frame.index.get_level_values(level) for level in range(frame.index.nlevels)]
        columns = [*(level.to_series() for level in levels), *columns]
        names = [*frame.index.names, *names]
    _check_columns(len(frame), names, columns)
    if suffix == ".ods":
        need("a spreadsheet", file, "odf", doing="saving")
        settings = {"index": with_index, "header": header is not None, "sheet_name": sheet_name}
        frame.to_excel(file, engine="odf", merge_cells=False, **settings)
        return
    cells = [column.astype(object).where(column.notna().to_numpy(), None) for column in columns]
    rows = itertools.chain([] if header is None else [names], zip(*cells, strict=True))
    _write_workbook(file, sheet_name, rows)


def _write_workbook(file: Content, sheet_name: str, rows: Iterator[Sequence[Any]]) -> None:
    # Not pandas' writer: it makes formulas of texts that begin with "=".
    openpyxl = need("a spreadsheet", file, "openpyxl", "openpyxl.cell", doing="saving")
    workbook = openpyxl.Workbook(write_only=True)
    sheet = workbook.create_sheet(sheet_name)
    for row in rows:
        cells = []
        for cell in row:
            if isinstance(cell, str | float):
                # A float as its digits: openpyxl writes 16, and some floats need 17.
                text = _escaped(cell) if isinstance(cell, str) else repr(float(cell))
                typed = openpyxl.cell.WriteOnlyCell(sheet, text)
                typed.data_type = "s" if isinstance(cell, str) else "n"
                cells.append(typed)
            else:
                cells.append(cell.to_pydatetime(warn=False) if hasattr(cell, "to_pydatetime") else cell)
        sheet.append(cells)
    workbook.save(file)


def _escaped(text: str) -> str:
    """Return a text with escapes for what Office Open XML changes: returns, and what looks like an escape."""
    return re.sub(r"_(?=x[0-9A-Fa-f]{4}_)", "_x005F_", text).replace("\r", "_x000D_")


_CELLS = (str, int, float, dt.datetime, dt.date, dt.time, dt.timedelta, decimal.Decimal)
"""Types of Python for which openpyxl has cells."""

_MAX_ROWS, _MAX_COLUMNS, _MAX_TEXT = 1 << 20, 1 << 14, 32_767

_NOT_IN_XML = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def _is_sheet_name(name: str) -> bool:
    length = len(name.encode("utf-16-le", "surrogatepass")) // 2  # as Excel counts
    is_quoted = name.startswith("'") or name.endswith("'")
    return 1 <= length <= 31 and not is_quoted and not re.search(r"[\[\]:*?/\\]", name) and not _NOT_IN_XML.search(name)


def _check_columns(rows: int, names: Sequence[Any], columns: Sequence[Any]) -> None:
    """Raise `UnsavableValue` for what a spreadsheet cannot hold, where its writers fail or cut off."""
    if rows >= _MAX_ROWS or len(columns) > _MAX_COLUMNS:
        raise UnsavableValue(
            f"it has {rows} rows and {len(columns)} columns, and a sheet has {_MAX_ROWS - 1} rows below its header and "
            f"{_MAX_COLUMNS} columns"
        )
    _check_cells_of("the row of names", [name for name in names if name is not None])
    for name, column in zip(names, columns, strict=True):
        kind = getattr(column.dtype, "kind", "O")
        if kind == "M" and getattr(column.dtype, "tz", None) is not None:
            raise UnsavableValue(
                f"the column {name!r} has a time zone, which a spreadsheet cannot hold; dt.tz_localize(None) removes it"
            )
        if kind == "f" and (column.abs() == float("inf")).any():
            raise UnsavableValue(f"the column {name!r} has an infinite number, which a spreadsheet cannot hold")
        if kind not in "biufmM":
            _check_cells_of(f"the column {name!r}", column[column.notna()])


def _check_cells_of(place: str, cells: Iterable[Any]) -> None:
    for cell in cells:
        if not isinstance(cell, _CELLS):
            raise UnsavableValue(
                f"{place} has values of type {type(cell).__name__}, for which a spreadsheet has no cells"
            )
        if isinstance(cell, str) and len(cell) > _MAX_TEXT:
            raise UnsavableValue(f"{place} has a text of {len(cell)} characters, and a cell holds {_MAX_TEXT}")
        if isinstance(cell, str) and (character := _NOT_IN_XML.search(cell)):
            raise UnsavableValue(f"{place} has the control character {character[0]!r}, which a spreadsheet cannot hold")
