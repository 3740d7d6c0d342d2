"""Spreadsheets: the cells as the file types them, by calamine; the table of an OpenDocument text, by odfpy."""

from __future__ import annotations

import collections
import datetime as dt
import io
import zipfile
from typing import Any

from edge_vfs.file import File
from edge_vfs.openers import whole_numbers, workbook_parts
from edge_vfs.openers.cell_markup import Markup
from edge_vfs.openers.opener import UnreadableContent, need, warn
from edge_vfs.openers.unpacking import MAX_UNPACKED_SIZE

SUFFIXES = (".xls", ".xlsx", ".xlsm", ".xlsb", ".ods", ".odf", ".odt")

_CONVERTING = frozenset({"decimal", "dtype_backend", "false_values", "thousands", "true_values"})
"""Options that ask for texts to be converted; the types are left to pandas then."""

OPTIONS = _CONVERTING | {
    "converters",
    "dtype",
    "header",
    "index_col",
    "keep_default_na",
    "max_cells",
    "max_unpacked_size",
    "na_filter",
    "na_values",
    "names",
    "nrows",
    "parse_dates",
    "sheet_name",
    "skipfooter",
    "skiprows",
    "usecols",
}

_FIRST_VISIBLE = object()

_OLE = b"\xd0\xcf\x11\xe0"

MAX_CELLS = 20_000_000
"""Cells that a sheet may span if nine tenths of them are blank, unless the option of this name says otherwise."""


def read_text(file: File, options: dict[str, Any]) -> Any:
    """Return the first table of an OpenDocument text."""
    pandas = need("a table", file, "pandas", "odf")
    content = file.readall()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.getinfo("META-INF/manifest.xml")
    except (zipfile.BadZipFile, KeyError) as error:
        raise UnreadableContent(
            f'{file.basename} is not an OpenDocument text ({error}); open_with="file" gives its bytes'
        ) from error
    _checked(file, content, options)
    return pandas.read_excel(io.BytesIO(content), engine="odf", **options)


def read(file: File, options: dict[str, Any]) -> Any:
    """Return a sheet as a frame, by default the first worksheet that is visible; several as a dict by their names."""
    pandas = need("a table", file, "pandas", "python_calamine")
    import python_calamine

    content = workbook_parts.with_unicode(file.readall())
    sheets = _checked(file, content, options)
    try:
        workbook = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
    except python_calamine.CalamineError as error:
        raise _not_a_workbook(file, content, error) from error
    with workbook:
        chosen_sheets = options.get("sheet_name", _FIRST_VISIBLE)
        names = options["sheet_name"] = _sheets(file, workbook, chosen_sheets)
        for sheet in sheets:
            if sheet.name in (names if isinstance(names, list) else [names]):
                _warn_of_cells(file, sheet)
        markup = Markup(content)
        source = io.BytesIO(markup.with_breaks())
        if _CONVERTING & set(options) or not isinstance(options.get("dtype"), dict | None):
            return pandas.read_excel(source, engine="calamine", **options)
        chosen = options.get("dtype") or {}
        options["dtype"] = collections.defaultdict(lambda: object, chosen)
        options.setdefault("keep_default_na", False)  # a text "NA" is a text; a blank cell is missing all the same
        frames = pandas.read_excel(source, engine="calamine", **options)
    durations = markup.durations()
    if isinstance(frames, dict):
        return {name: _typed(pandas, frame, chosen, durations) for name, frame in frames.items()}
    return _typed(pandas, frames, chosen, durations)


def _typed(pandas: Any, frame: Any, chosen: dict[Any, Any], durations: dict[str, dt.timedelta]) -> Any:
    """Give each column the type of its cells; these keep their own where they have several."""
    columns = []
    for position, name in enumerate(frame.columns):
        column = frame.iloc[:, position]
        if str(column.dtype) in ("object", "str") and name not in chosen:
            cells = [None if cell == "" or cell is None or cell != cell else cell for cell in column]
            if durations and any(isinstance(cell, str) and cell in durations for cell in cells):
                cells = [_duration(cell, durations) for cell in cells]
            column = whole_numbers.series(pandas, cells).set_axis(frame.index)
        columns.append(column)
    if not columns:
        return frame
    typed = pandas.concat(columns, axis=1)
    typed.columns = frame.columns
    if typed.index.nlevels == 1:
        typed.index = typed.index.infer_objects()
    return typed


def _duration(cell: Any, durations: dict[str, dt.timedelta]) -> Any:
    """Return a cell of a column in which durations are; calamine gives those below a day as times of the day."""
    if isinstance(cell, dt.time):
        return dt.timedelta(hours=cell.hour, minutes=cell.minute, seconds=cell.second, microseconds=cell.microsecond)
    return durations.get(cell, cell) if isinstance(cell, str) else cell


def _sheets(file: File, workbook: Any, chosen: Any) -> Any:
    """Return the name of the sheet that `sheet_name` chooses; of several, and for None of all, the list of names."""
    import python_calamine

    sheets = [sheet for sheet in workbook.sheets_metadata if sheet.typ == python_calamine.SheetTypeEnum.WorkSheet]
    names = [sheet.name for sheet in sheets]
    if chosen is None:
        return names
    if isinstance(chosen, int):
        if not -len(names) <= chosen < len(names):
            raise UnreadableContent(f"{file.basename} has {len(names)} worksheets; use one of sheet_name={names}")
        return names[chosen]
    if isinstance(chosen, list | tuple):
        return [_sheets(file, workbook, sheet) for sheet in chosen]
    if chosen is not _FIRST_VISIBLE:
        if chosen not in names:
            raise UnreadableContent(f"{file.basename} has no worksheet {chosen!r}; use one of {', '.join(names)}")
        return chosen
    visible = [sheet.name for sheet in sheets if sheet.visible == python_calamine.SheetVisibleEnum.Visible]
    if not visible:
        hidden = (
            f"sheet_name= opens a hidden one of {', '.join(names)}" if names else 'open_with="file" gives its bytes'
        )
        raise UnreadableContent(f"{file.basename} has no visible worksheet; {hidden}")
    if len(visible) > 1:
        warn(
            f"{file.basename} has {len(visible)} worksheets, and {visible[0]!r} was opened; "
            f"sheet_name= opens another of {', '.join(map(repr, visible[1:]))}"
        )
    return visible[0]


def _not_a_workbook(file: File, content: bytes, error: Exception) -> UnreadableContent:
    import python_calamine

    if workbook_parts.is_encrypted(content) or isinstance(error, python_calamine.PasswordError):
        return UnreadableContent(
            f'{file.basename} is encrypted; save it without a password to open it, or open_with="file" gives its bytes'
        )
    is_text = not content.startswith((b"PK", _OLE)) and b"\0" not in content
    advice = 'open_with="text" shows its text, ' if is_text and content else ""
    return UnreadableContent(
        f'{file.basename} is not a spreadsheet ({error}); {advice}open_with="file" gives its bytes'
    )


def _checked(file: File, content: bytes, options: dict[str, Any]) -> list[workbook_parts.Sheet]:
    """Return what the file says of its sheets; take the limits out of the options.

    Raises:
        UnreadableContent: it would take far more memory than its size suggests.
    """
    max_unpacked_size, max_cells = (
        options.pop("max_unpacked_size", MAX_UNPACKED_SIZE),
        options.pop("max_cells", MAX_CELLS),
    )
    if content.startswith(_OLE) and _is_xls(content):
        return []
    try:
        archive = workbook_parts.opened(content)
    except zipfile.BadZipFile as error:
        raise _not_a_workbook(file, content, error) from error
    if archive is None:
        return []
    with archive:
        unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > max_unpacked_size:
            raise UnreadableContent(
                f"{file.basename} unpacks to {unpacked} bytes, more than {max_unpacked_size}; "
                f"max_unpacked_size={unpacked} opens it"
            )
        sheets = list(workbook_parts.sheets(archive))
    for sheet in sheets:
        if sheet.spanned > max(max_cells, 10 * sheet.filled):
            raise UnreadableContent(
                f"a sheet of {file.basename} spans {sheet.spanned} cells, of which {sheet.filled} hold something; "
                f"max_cells={sheet.spanned} opens it, if the memory is enough"
            )
    return sheets


def _is_xls(content: bytes) -> bool:
    """Return whether content that begins as an xls is one; other workbooks may be behind its beginning."""
    import python_calamine

    try:
        python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(workbook_parts.without_archive(content))).close()
    except python_calamine.CalamineError:
        return False
    return True


def _warn_of_cells(file: File, sheet: workbook_parts.Sheet) -> None:
    """Warn of cells that come as something else than the file has."""
    place = f"the sheet {sheet.name!r} of {file.basename} has"
    if sheet.errors:
        how = "missing"
        if sheet.errors_as_numbers:
            how = f"missing, but {sheet.errors_as_numbers} of them as the number that the file has there, mostly 0"
        warn(f"{place} {_counted(sheet.errors, 'cell')} with an error such as #N/A, read as {how}")
    if sheet.uncalculated:
        warn(
            f"{place} {_counted(sheet.uncalculated, 'formula')} without a result, read as missing; open and save it in "
            "a spreadsheet program, which computes them"
        )
    if sheet.long_numbers:
        warn(
            f"{place} {_counted(len(sheet.long_numbers), 'whole number')} with more digits than spreadsheets keep, "
            f"such as {sheet.long_numbers[0]}, whose last digits are lost; the program that wrote it can save texts"
        )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
