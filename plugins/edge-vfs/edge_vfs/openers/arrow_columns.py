"""Arrow tables as DataFrames: columns are as pandas makes them, except those in which it would change a value.

pyarrow's own conversion, which pandas uses, gives numbers for times in nanoseconds that are fields of a struct, bytes
for UUIDs there, and floats for whole numbers beside a null; it loses the time zone in lists, and fails on years that
Python's `datetime` does not have and on times of day in nanoseconds.
"""

from __future__ import annotations

import json
from typing import Any

from edge_core.errors import BadEntry
from edge_vfs.openers import whole_numbers
from edge_vfs.openers.opener import UnreadableContent, warn

_SECONDS = (-719162 * 86400, 2932897 * 86400)
"""Times that Python's `datetime` has, from 0001-01-01 up to, but without, 10000-01-01, in seconds since 1970."""


def frame(pandas: Any, name: str, table: Any, dtype_backend: str | None = None) -> Any:
    """Return an Arrow table as a DataFrame.

    Args:
        pandas: the package.
        name: name of the file, for errors and warnings.
        table: the ``pyarrow.Table``.
        dtype_backend: as of `pandas.read_parquet`.

    Raises:
        BadEntry: `dtype_backend` has another value.
        UnreadableContent: the types of pandas do not hold a column.
    """
    mapper = _mapper(pandas, dtype_backend)
    index = index_columns(table.schema)
    replacements: dict[int, Any] = {}
    if dtype_backend != "pyarrow":
        for position, column in enumerate(table.columns):
            cells = _exact(pandas, name, table.schema.names[position], column, nullable=dtype_backend is not None)
            if cells is not None:
                replacements[position] = cells
                table = table.set_column(position, table.schema.names[position], _nulls(len(column)))
    try:
        result = table.to_pandas(types_mapper=mapper)
    except (ValueError, NotImplementedError) as error:
        raise UnreadableContent(
            f'{name} has a column that the types of pandas do not hold ({error}); dtype_backend="pyarrow" gives all '
            "columns as the file has them, and columns= chooses some"
        ) from error
    names = [column for column in table.schema.names if column not in index]
    for position, cells in replacements.items():
        column = table.schema.names[position]
        if column not in index:
            result.isetitem(names.index(column), cells.set_axis(result.index))
        elif result.index.nlevels == 1:
            result.index = pandas.Index(cells, name=result.index.name)
        else:
            levels = [result.index.get_level_values(level) for level in range(result.index.nlevels)]
            levels[index.index(column)] = cells
            result.index = pandas.MultiIndex.from_arrays(levels, names=result.index.names)
    attributes = (table.schema.metadata or {}).get(b"PANDAS_ATTRS")
    if attributes is not None:
        result.attrs = json.loads(attributes)
    return result


def _mapper(pandas: Any, dtype_backend: str | None) -> Any:
    import pyarrow

    if dtype_backend is None:
        return None
    if dtype_backend == "pyarrow":
        return pandas.ArrowDtype
    if dtype_backend != "numpy_nullable":
        raise BadEntry(f'dtype_backend must be "numpy_nullable" or "pyarrow", not {dtype_backend!r}')
    numbers = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64")
    mapping = {pyarrow.type_for_alias(number.lower()): getattr(pandas, f"{number}Dtype")() for number in numbers}
    mapping |= {pyarrow.bool_(): pandas.BooleanDtype()}
    mapping |= dict.fromkeys((pyarrow.string(), pyarrow.large_string()), pandas.StringDtype())
    return mapping.get


def index_columns(schema: Any) -> list[str]:
    """Return the columns of a ``pyarrow.Schema`` that pandas has written for the index of a frame."""
    described = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
    columns = described.get("index_columns") or []
    return [column for column in columns if isinstance(column, str) and column in schema.names]


def _nulls(length: int) -> Any:
    import pyarrow

    return pyarrow.nulls(length)


def _exact(pandas: Any, name: str, column_name: str, column: Any, *, nullable: bool) -> Any:
    """Return the exact values of a column as a series; None if pandas' own conversion does not change one of them."""
    import numpy
    import pyarrow
    from pyarrow import types

    if types.is_integer(column.type):
        if nullable or not _is_inexact(column):
            return None
        return whole_numbers.series(pandas, column.to_pylist())
    whole = column.combine_chunks()
    chunks = whole.chunks if isinstance(whole, pyarrow.ChunkedArray) else [whole]  # a text above 2 GiB stays in several
    if _has_least_time(column):
        warn(
            f"the column {column_name!r} of {name} has the least value of its type, which pandas takes for missing; "
            'dtype_backend="pyarrow" keeps it'
        )
    if not any(_changes(chunk) for chunk in chunks):
        return None
    if "time64[ns]" in str(column.type):
        warn(
            f"the column {column_name!r} of {name} has times of day with nanoseconds, which Python's time does not "
            'have; they come as the time since midnight, and dtype_backend="pyarrow" keeps their type'
        )
    cells = numpy.concatenate([_cells(pandas, chunk) for chunk in chunks])
    return pandas.Series(cells, dtype=cells.dtype)


def _has_least_time(column: Any) -> bool:
    """Return whether a column of times has the number that is NumPy's NaT."""
    from pyarrow import types

    if not types.is_timestamp(column.type) and not types.is_duration(column.type):
        return False
    return bool(compute("min_max", column.cast("int64")).as_py()["min"] == -(2**63))


def _is_inexact(column: Any) -> bool:
    """Return whether float64, which pandas takes for whole numbers with gaps, changes one of `column`."""
    if not column.null_count:
        return False
    extremes = compute("min_max", column).as_py()
    least, most = extremes["min"] or 0, extremes["max"] or 0
    if least >= -whole_numbers.EXACT_UP_TO and most <= whole_numbers.EXACT_UP_TO:
        return False
    return any(not whole_numbers.is_float(number) for number in column.drop_null().to_pylist())


def _changes(array: Any, parent: Any = None) -> bool:
    """Return whether pandas' own conversion changes a value of an array, or fails on it.

    Args:
        array: the ``pyarrow.Array``.
        parent: the type of the list, map or struct that it is in, if any.
    """
    import pyarrow
    from pyarrow import types

    kind = array.type
    if isinstance(kind, pyarrow.BaseExtensionType):
        return parent is not None
    if types.is_dictionary(kind):
        return parent is not None and _changes(array.dictionary_decode(), parent)
    if _has_children(kind):
        return any(_changes(child, kind) for child in _children(array))
    if types.is_integer(kind):
        return parent is not None and _is_inexact(array)
    if types.is_time64(kind):
        return kind.unit == "ns" and bool(compute("any", compute("not_equal", _modulo(array, 1000), 0)).as_py())
    if types.is_date(kind):
        return _is_beyond(array.cast("timestamp[ms]" if types.is_date64(kind) else "timestamp[s]"))
    if parent is None or not (types.is_timestamp(kind) or types.is_duration(kind)):
        return False
    if types.is_struct(parent) or types.is_map(parent):
        return kind.unit == "ns" or _is_beyond(array)
    return types.is_timestamp(kind) and kind.tz is not None


def compute(function: str, *arguments: Any) -> Any:
    """Return the result of a function of ``pyarrow.compute``, which type checkers do not know by name."""
    import pyarrow.compute

    return pyarrow.compute.call_function(function, list(arguments))


def _has_children(kind: Any) -> bool:
    from pyarrow import types

    return types.is_nested(kind) and not types.is_union(kind) and not types.is_run_end_encoded(kind)


def _children(array: Any) -> list[Any]:
    """Return the fields of structs, the values of lists, the keys and the values of maps, one after another."""
    from pyarrow import types

    if types.is_struct(array.type):
        fields: list[Any] = array.flatten()
        return fields
    if types.is_map(array.type):
        pairs: list[Any] = _as_lists(array).flatten().flatten()
        return pairs
    return [array.flatten()]


def _as_lists(array: Any) -> Any:
    """Return maps as lists of their keys and values, which have the functions of lists; lists as they are."""
    import pyarrow
    from pyarrow import types

    if not types.is_map(array.type):
        return array
    pair = pyarrow.struct([pyarrow.field("key", array.type.key_type), pyarrow.field("value", array.type.item_type)])
    return array.cast(pyarrow.list_(pair))


def _modulo(array: Any, divisor: int) -> Any:
    numbers = array.cast("int64")
    return compute("subtract", numbers, compute("multiply", compute("divide", numbers, divisor), divisor))


def _is_beyond(array: Any) -> bool:
    """Return whether a time or duration is beyond the times of Python's `datetime`."""
    a_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[array.type.unit]
    extremes = compute("min_max", array.cast("int64")).as_py()
    least, most = extremes["min"] or 0, extremes["max"] or 0
    first, end = _SECONDS
    return bool(least < first * a_second or most >= end * a_second)


def _cells(pandas: Any, array: Any) -> Any:
    """Return a NumPy array with the values of an Arrow array, each as pandas has it unless this changes it."""
    import numpy
    import pyarrow
    from pyarrow import types

    kind = array.type
    if isinstance(kind, pyarrow.BaseExtensionType):
        return _objects(array.to_pylist()) if kind.extension_name == "arrow.uuid" else _cells(pandas, array.storage)
    if types.is_dictionary(kind):
        return _cells(pandas, array.dictionary_decode())
    if types.is_struct(kind):
        names = [kind.field(position).name for position in range(kind.num_fields)]
        columns = [_scalars(pandas, field) for field in array.flatten()]
        rows = zip(*columns, strict=True) if columns else iter([()] * len(array))
        here = array.is_valid().to_pylist()
        values = (dict(zip(names, row, strict=True)) if valid else None for row, valid in zip(rows, here, strict=True))
        return _objects(list(values))
    if _has_children(kind):
        return _lists(pandas, array)
    if types.is_integer(kind) and _is_inexact(array):
        return _objects(array.to_pylist())
    if types.is_time64(kind) and kind.unit == "ns":
        return array.cast("int64").cast("duration[ns]").to_numpy(zero_copy_only=False)
    if types.is_date(kind):
        if _changes(array):
            return array.cast("timestamp[ms]" if types.is_date64(kind) else "timestamp[s]").to_numpy(
                zero_copy_only=False
            )
        return _objects(array.to_pylist())
    if types.is_timestamp(kind) and kind.tz is not None:
        return array.to_pandas().astype(object).to_numpy()
    cells: numpy.ndarray[Any, Any] = array.to_numpy(zero_copy_only=False)
    return cells


def _lists(pandas: Any, array: Any) -> Any:
    """Return the values of each list as an array, or of each map as pairs."""
    from pyarrow import types

    if types.is_map(array.type):
        keys, values = (_scalars(pandas, child) for child in _children(array))
        flat: Any = list(zip(keys, values, strict=True))
    else:
        flat = _cells(pandas, array.flatten())
    rows: list[Any] = []
    start = 0
    for length in compute("list_value_length", _as_lists(array)).to_pylist():
        rows.append(None if length is None else flat[start : start + length])
        start += length or 0
    return _objects(rows)


def _scalars(pandas: Any, array: Any) -> list[Any]:
    """Return the values of an array as Python's own objects, None for a null; times in nanoseconds as pandas' own."""
    import pyarrow

    cells = _cells(pandas, array)
    if cells.dtype.kind in "Mm" and _changes(array, pyarrow.struct([])):
        cells = pandas.Series(cells).astype(object).to_numpy()
    values = cells.tolist()
    if not array.null_count:
        return list(values)
    return [value if valid else None for value, valid in zip(values, array.is_valid().to_pylist(), strict=True)]


def _objects(values: list[Any]) -> Any:
    import numpy

    return numpy.fromiter(values, dtype=object, count=len(values))
