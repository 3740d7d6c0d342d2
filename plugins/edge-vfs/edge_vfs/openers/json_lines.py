"""JSON lines: one JSON object a line, read with the types that JSON states.

pandas' own reader is not used: it guesses dates from the names of columns and numbers from texts, changes most floats
in their last digit, and does not take integers above 64 bits.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator
from typing import IO, Any

from edge_vfs.file import File
from edge_vfs.openers import json_text, whole_numbers
from edge_vfs.openers.opener import UnreadableContent, UnsavableValue, need
from edge_vfs.openers.text import encoding_of

OPTIONS = frozenset({"dtype", "encoding", "nrows", "parse_float", "parse_int", "usecols"})


SAVE_OPTIONS = frozenset({"dtype", "encoding"})


def read(file: File, options: dict[str, Any]) -> Any:
    pandas = need("a table", file, "pandas")
    buffered = io.BufferedReader(file, 1 << 20)
    encoding = options.get("encoding") or encoding_of(buffered.peek(4)[:4])
    lines = io.TextIOWrapper(buffered, encoding=encoding, newline="\n")
    parsers = {name: options[name] for name in ("parse_float", "parse_int") if name in options}
    decoder = json_text.Decoder(file.basename, **parsers)
    rows = list(itertools.islice(_rows(file, lines, decoder), options.get("nrows")))
    decoder.warn()
    names = dict.fromkeys(itertools.chain.from_iterable(rows))
    if options.get("usecols") is not None:
        missing = [name for name in options["usecols"] if name not in names]
        if missing:
            raise UnreadableContent(f"{file.basename} has no column {missing[0]!r}; take it out of usecols")
        names = dict.fromkeys(options["usecols"])
    if not names:
        return pandas.DataFrame(index=range(len(rows)))
    columns = {name: whole_numbers.series(pandas, [row.get(name) for row in rows]) for name in names}
    try:
        frame = pandas.DataFrame(columns)
    except UnicodeEncodeError:  # half of a surrogate pair in a name
        frame = pandas.DataFrame(dict(enumerate(columns.values())))
        frame.columns = pandas.Index(columns, dtype=object)
    return frame if options.get("dtype") is None else frame.astype(options["dtype"])


_BLOCK = 1 << 16
"""Characters of whole lines that are decoded at once."""


def _decoded(file: File, lines: io.TextIOWrapper, decoder: json_text.Decoder) -> Iterator[tuple[int, Any]]:
    """Iterate over the numbers of the lines that are not blank, and their values."""
    numbers = itertools.count(1)
    for block in iter(lambda: lines.readlines(_BLOCK), []):
        decode = decoder.function_for("".join(block))
        for line, number in zip(block, numbers, strict=False):
            if not line.strip():
                continue
            try:
                value = decode(line)
            except ValueError as error:
                raise UnreadableContent(
                    f'line {number} of {file.basename} is not JSON ({error}); open_with="file" gives its bytes'
                ) from error
            yield number, value


def _rows(file: File, lines: io.TextIOWrapper, decoder: json_text.Decoder) -> Iterator[dict[Any, Any]]:
    """Iterate over the lines as rows: an object by its names, an array and a single value by their positions."""
    first: type | None = None
    for number, value in _decoded(file, lines, decoder):
        shape = type(value) if isinstance(value, dict | list) else object
        if shape is not (first := first or shape):
            raise UnreadableContent(
                f"line {number} of {file.basename} is of another kind than the lines before it (an object, an array or "
                'a single value); open_with="file" gives its bytes'
            )
        if isinstance(value, dict):
            yield value
        else:
            yield dict(enumerate(value if isinstance(value, list) else [value]))


def write(file: IO[bytes], frame: Any, options: dict[str, Any]) -> None:
    """Write a line for each row: an object by the columns' names, with null for a missing value."""
    names = list(frame.columns)
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise UnsavableValue("its columns need names that are texts and all different, as those of a JSON object")
    if "dtype" in options:
        frame = frame.astype(dict.fromkeys(names, object))
    columns = [frame.iloc[:, position] for position in range(len(names))]
    cells = [column.astype(object).where(column.notna(), None) for column in columns]
    lines = io.TextIOWrapper(file, encoding=options.get("encoding") or "utf-8", newline="\n")
    # Each row by its columns' texts, since encoding rows one by one takes several times as long.
    members = (json.dumps(name, ensure_ascii=False).replace("%", "%%") + ": %s" for name in names)
    line = "{" + ", ".join(members) + "}\n"
    for start in range(0, len(frame), _ROWS):
        try:
            texts = [_texts(column.iloc[start : start + _ROWS].tolist()) for column in cells]
        except ValueError as error:
            raise UnsavableValue("it has an infinite number, which JSON does not") from error
        except TypeError as error:
            raise UnsavableValue(
                f"JSON has texts, numbers, True, False, and lists and dicts of them ({error})"
            ) from error
        lines.writelines(map(line.__mod__, zip(*texts, strict=True)))
    lines.flush()
    lines.detach()


_ROWS = 10_000
"""Number of rows that are encoded at once."""

_SCALARS = {str, int, float, bool, type(None)}


def _texts(cells: list[Any]) -> list[str]:
    """Return each cell as JSON; raise like `json.dumps` for those that are not JSON."""
    if cells and _SCALARS.issuperset(map(type, cells)):
        # In JSON, a line break in a text is an escape, so that it ends each cell.
        encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=("\n", ": ")).encode
        return encode(cells)[1:-1].split("\n")
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    return [encode(cell) for cell in cells]
