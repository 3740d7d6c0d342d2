"""Text tables (csv, tsv): pandas' reader, without what it does silently to a file that is not quite regular.

Which cells are numbers is pandas' guess, since the format does not state it; `dtype` overrides it.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import IO, Any

from edge_vfs.file import File
from edge_vfs.openers import whole_numbers
from edge_vfs.openers.opener import HEAD, UnreadableContent, UnsavableValue, need, warn
from edge_vfs.openers.text import encoding_of
from edge_vfs.openers.unpacking import is_compressed

OPTIONS = frozenset(
    {
        "comment",
        "converters",
        "date_format",
        "dayfirst",
        "decimal",
        "dtype",
        "dtype_backend",
        "doublequote",
        "encoding",
        "encoding_errors",
        "escapechar",
        "false_values",
        "header",
        "index_col",
        "keep_default_na",
        "lineterminator",
        "na_filter",
        "na_values",
        "names",
        "nrows",
        "on_bad_lines",
        "parse_dates",
        "quotechar",
        "quoting",
        "sep",
        "skip_blank_lines",
        "skipfooter",
        "skipinitialspace",
        "skiprows",
        "thousands",
        "true_values",
        "usecols",
    }
)

SAVE_OPTIONS = frozenset(
    {
        *("decimal", "encoding", "escapechar", "doublequote", "quotechar", "quoting", "sep"),  # how it is written
        *("date_format", "dtype", "dtype_backend", "keep_default_na", "na_values", "parse_dates"),  # how it is opened
        *("header", "index_col"),
    }
)

_WRITING = frozenset({"decimal", "date_format", "escapechar", "doublequote", "quotechar", "quoting", "sep"})

_UNLIKE_CSV = frozenset({"comment", "header", "lineterminator", "names", "on_bad_lines", "skipfooter", "skiprows"})
"""Options with which rows are not those of Python's `csv`; the checks by it are left out then."""

_PAGE = re.compile(r"\ufeff?\s*<(!doctype html|html)\b", re.IGNORECASE)

_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]")

_OTHER_SEPARATORS = {",": (";", "\t"), "\t": (";", ",")}


def read(file: File, separator: str, options: dict[str, Any]) -> Any:
    pandas = need("a table", file, "pandas")
    buffered = io.BufferedReader(file, 1 << 20)
    head = buffered.peek()
    if "encoding" not in options:
        _refuse_zero_bytes(file, head)
    options = {"sep": separator, "encoding": encoding_of(head[:4]), **options}
    if not {"comment", "header", "names", "skiprows"} & set(options):
        _refuse_other_texts(file, head.decode(options["encoding"], "ignore"), is_whole=len(head) == file.size)
    regular = _is_regular(options)
    # The C reader guesses the types of a column by the piece, unless it has all of the column.
    options |= {"low_memory": False} if _for_c(options) else {"engine": "python"}
    if tuple(map(int, pandas.__version__.split(".")[:2])) < (3, 1) and _for_c(options):
        options["float_precision"] = "round_trip"  # before, the last digit of a float could change
    if not {"index_col", "usecols"} & set(options) and not isinstance(options.get("header"), list | tuple):
        options["index_col"] = False  # else a row longer than the header shifts its columns, the first into the index
    if not regular or "usecols" in options:
        return _read(pandas, file, buffered, options)
    text = head.decode(options["encoding"], "ignore")
    header, first = _first_rows(text, options)
    options |= _names(header, text)
    if options.get("index_col") is False and len(first) > len(header) > 0:
        return _read_surplus(pandas, file, buffered.read(), len(header), options)
    try:
        frame = _read(pandas, file, buffered, options)
    except pandas.errors.ParserError as error:
        if "Expected " not in str(error) or options.get("index_col") is not False:
            raise
        file.seek(0)
        return _read_surplus(pandas, file, file.readall(), len(header), options)
    _look_for_separators(file, frame, options["sep"])
    if _is_comment(header, first):
        warn(
            f"the first line of {file.basename} begins with '#' and was read as the names of the columns; "
            'give comment="#" if it is a comment'
        )
    return frame


def _refuse_zero_bytes(file: File, head: bytes) -> None:
    """Raise `UnreadableContent` for content that is binary, or a text in an encoding that it does not state."""
    head = head[:HEAD]
    zeros = head.count(b"\0") if encoding_of(head[:4]) == "utf-8" else 0
    # A cell may hold a zero byte; of a text in UTF-16, half of the bytes are.
    if zeros and (zeros * 4 >= len(head) or _CONTROL.search(head[:16]) or not _is_utf_8(head)):
        raise UnreadableContent(
            f"{file.basename} has zero bytes, as no text in utf-8 has; give its encoding if it is a table, such as "
            "encoding='utf-16', or open_with=\"file\" gives its bytes"
        )


def _is_utf_8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _refuse_other_texts(file: File, text: str, *, is_whole: bool) -> None:
    """Raise `UnreadableContent` for a web page and JSON, which pandas would read as a table.

    Args:
        file: the file, for the error.
        text: what it begins with.
        is_whole: whether that is all of it.
    """
    if _PAGE.match(text):
        raise UnreadableContent(
            f"{file.basename} is a web page and no table: where it was downloaded, one had perhaps to sign in; "
            'open_with="text" shows it'
        )
    rest = _after_json(text, is_whole=is_whole)
    if rest is None:
        return
    if rest.strip():
        raise UnreadableContent(
            f"{file.basename} is JSON lines and no csv; under a name that ends in .jsonl it is opened as a table"
        )
    if is_compressed(file):
        advice = 'which is opened when it is not packed; open_with="file" gives the packed bytes'
    else:
        advice = 'which open_with="json" opens, and of which pandas.DataFrame makes a table'
    raise UnreadableContent(f"{file.basename} is no csv but JSON, {advice}")


def _after_json(text: str, *, is_whole: bool) -> str | None:
    """Return what follows the JSON array or object that a text begins with; None if it begins with none.

    Args:
        text: the text.
        is_whole: False if more of it follows, so that the JSON may be cut off.
    """
    text = text.lstrip("\ufeff \t\r\n")
    if not text.startswith(("[", "{")):
        return None
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except RecursionError:
        return None
    except json.JSONDecodeError as error:
        return None if is_whole or error.pos < len(text) // 2 else ""
    rest = text[end:].lstrip(" \t")
    return rest if not rest or rest.startswith(("\r", "\n")) else None


def _is_regular(options: dict[str, Any]) -> bool:
    separator = options["sep"]
    return isinstance(separator, str) and len(separator) == 1 and not _UNLIKE_CSV & set(options)


def _for_c(options: dict[str, Any]) -> bool:
    """Return whether pandas' C reader takes the options."""
    separator = options["sep"]
    single = isinstance(separator, str) and (len(separator) == 1 or separator == r"\s+")
    return single and not options.get("skipfooter") and not callable(options.get("on_bad_lines"))


def _rows(text: str, options: dict[str, Any]) -> Iterator[list[str]]:
    """Iterate over the rows of cells, without blank lines, as pandas does."""
    dialect = {
        name: options[name]
        for name in ("quotechar", "doublequote", "escapechar", "quoting", "skipinitialspace")
        if name in options
    }
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=options["sep"], **dialect)
    return (row for row in rows if row)


def _first_rows(text: str, options: dict[str, Any]) -> tuple[list[str], list[str]]:
    rows = _rows(text, options)
    try:
        return next(rows, []), next(rows, [])
    except csv.Error:  # such as a cell that is longer than 128 KiB, which pandas does not limit
        return [], []


def _is_comment(header: Sequence[str], first: Sequence[str]) -> bool:
    """Return whether the first row is rather a comment than names, of which the first can be ``#`` or ``#plate``."""
    if not header or not header[0].startswith("#"):
        return False
    is_sentence = len(header) == 1 and header[0][1:2].isspace()
    return is_sentence or (bool(first) and (len(first) != len(header) or first[0].startswith("#")))


def _names(header: Sequence[str], text: str) -> dict[str, Any]:
    """Return options that name the columns of a header which repeats many names as pandas does; else none.

    pandas takes time that grows with the square of their number, as it searches all names for each.
    """
    is_first_line = bool(text.partition("\n")[0].strip()) and not any("\n" in name for name in header)
    if len(header) - len(set(header)) < 100 or not is_first_line:
        return {}
    taken = {name or f"Unnamed: {position}" for position, name in enumerate(header)}
    counts: dict[str, int] = {}
    names = []
    for position, plain in enumerate(header):
        plain = plain or f"Unnamed: {position}"
        name, count = plain, counts.get(plain, 0)
        while count and (name := f"{plain}.{count}") in taken:
            count += 1
        counts[plain] = count + 1
        taken.add(name)
        names.append(name)
    return {"header": None, "skiprows": 1, "names": names}


def _read_surplus(pandas: Any, file: File, content: bytes, width: int, options: dict[str, Any]) -> Any:
    """Read a table with rows longer than its header, if what they have beyond it is empty."""
    text = content.decode(options["encoding"], options.get("encoding_errors") or "strict")
    for number, row in enumerate(_rows(text, options), 1):
        if any(row[width:]):
            others = [other for other in _OTHER_SEPARATORS.get(options["sep"], ()) if other in text.partition("\n")[0]]
            advice = "give index_col=0 if the first column has names of rows, or usecols= to choose columns"
            if text.lstrip("\ufeff\r\n").startswith("#"):
                advice = 'give comment="#" if lines that begin so are comments'
            elif width == 1 and others:
                advice = f"give sep={others[0]!r} if that separates its cells"
            raise UnreadableContent(
                f"row {number} of {file.basename} has {len(row)} cells and its header {width}; {advice}"
            )
    return _read(pandas, file, io.BytesIO(content), options | {"usecols": range(width)})


def _read(pandas: Any, file: File, content: Any, options: dict[str, Any]) -> Any:
    frame = pandas.read_csv(content, **options)
    dtype = options.get("dtype")
    if "dtype_backend" in options or frame.columns.nlevels > 1 or not isinstance(dtype, dict | None):
        return frame
    chosen = {*(dtype or ()), *(options.get("converters") or ())}
    kinds = zip(frame.columns, map(str, frame.dtypes), strict=True)
    suspects = [
        name
        for name, kind in kinds
        if kind in ("float64", "str", "object") and name not in chosen and _is_suspect(frame[name])
    ]
    index_col = options.get("index_col")
    levels = [] if index_col is None or index_col is False else _suspect_levels(frame, chosen)
    if not suspects and not levels:
        return frame
    content.seek(0)
    as_texts = str if levels else {**(dtype or {}), **dict.fromkeys(suspects, str)}
    texts = pandas.read_csv(content, **{**options, "dtype": as_texts})
    thousands = options.get("thousands") or ""
    for name in suspects:
        exact = _exact(pandas, file, name, frame[name], texts[name], thousands)
        if exact is not None:
            frame[name] = exact.set_axis(frame.index)
    if levels:
        indexes = [frame.index.get_level_values(level) for level in range(frame.index.nlevels)]
        for level in levels:
            exact = _exact(
                pandas,
                file,
                frame.index.names[level],
                indexes[level].to_series(),
                texts.index.get_level_values(level),
                thousands,
            )
            if exact is not None:
                indexes[level] = pandas.Index(exact, name=frame.index.names[level])
        frame.index = indexes[0] if len(indexes) == 1 else pandas.MultiIndex.from_arrays(indexes)
    return frame


def _suspect_levels(frame: Any, chosen: set[Any]) -> list[int]:
    """Return the positions of the levels of the index whose whole numbers may be beyond those of its type."""
    indexes = [frame.index.get_level_values(level).to_series() for level in range(frame.index.nlevels)]
    return [
        level
        for level, index in enumerate(indexes)
        if str(index.dtype) in ("float64", "str", "object") and index.name not in chosen and _is_suspect(index)
    ]


def _is_suspect(column: Any) -> bool:
    """Return whether whole numbers of a column may be beyond those of its type."""
    if column.dtype == "float64":
        return bool((column.abs() >= whole_numbers.EXACT_UP_TO).any())
    # From 2**63 on, pandas leaves numbers with gaps as texts.
    return all(isinstance(cell, str) and _LARGE.fullmatch(cell) for cell in itertools.islice(filter(_holds, column), 9))


def _exact(pandas: Any, file: File, name: Any, column: Any, texts: Any, thousands: str) -> Any:
    """Return the whole numbers in the `texts` of a column as a series, if its type does not hold them; else None."""
    cells = [text.replace(thousands, "").strip() if _holds(text) else None for text in texts]
    whole = [None if cell is None else int(cell) for cell in cells if cell is None or _WHOLE.fullmatch(cell)]
    if len(whole) == len(cells):
        if column.dtype == "float64" or all(number is None or 0 <= number < 2**64 for number in whole):
            exact = whole_numbers.series(pandas, whole)
            return None if exact.dtype == "float64" else exact
    elif column.dtype == "float64":
        changed = [number for number in whole if number is not None and not whole_numbers.is_float(number)]
        infinite = [
            cell
            for cell, number in zip(cells, column, strict=True)
            if cell and math.isinf(number) and "n" not in cell.lower()
        ]
        if changed or infinite:
            example = str(changed[0] if changed else infinite[0])[:40]
            warn(
                f"the column {name!r} of {file.basename} has numbers that its floats do not hold, such as {example}, "
                f"beside others; dtype={{{name!r}: str}} gives its texts"
            )
    return None


_WHOLE = re.compile(r"[+-]?[0-9]+")
_LARGE = re.compile(r"[1-9][0-9]{0,19}")


def _holds(cell: Any) -> bool:
    return bool(cell == cell and cell != "" and cell is not None)


def _look_for_separators(file: File, frame: Any, separator: str) -> None:
    """Warn if the only column looks like several, separated by something else."""
    if frame.shape[1] != 1 or frame.empty or str(frame.dtypes.iloc[0]) not in ("str", "object"):
        return
    for other in _OTHER_SEPARATORS.get(separator, ()):
        if all(isinstance(cell, str) and other in cell for cell in frame.iloc[:, 0]):
            warn(
                f"{file.basename} was read as a single column, and each of its cells has {other!r} in it; "
                f"give sep={other!r} if that separates them"
            )
            return


def _is_kept(options: dict[str, Any]) -> bool:
    """Return whether `index_col` names columns; 0 is a position, and False none."""
    return options.get("index_col") is not None and options["index_col"] is not False


def write(file: IO[bytes], frame: Any, separator: str, options: dict[str, Any]) -> None:
    """Write a table, with its index if `index_col` says that it is opened as the index."""
    settings = {name: option for name, option in options.items() if name in _WRITING}
    header = options.get("header", 0)
    if header not in (0, None):
        raise UnsavableValue(f"header must be 0 for a row of names or None for none, not {header!r}")
    if frame.shape[1] == 0 and not _is_kept(options):
        raise UnsavableValue("it has no columns, so that nothing would be written")
    text = io.TextIOWrapper(file, encoding=options.get("encoding") or "utf-8", newline="")
    frame.to_csv(
        text,
        index=_is_kept(options),
        header=header is not None,
        lineterminator="\n",
        **{"sep": separator, **settings},
    )
    text.flush()
    text.detach()
