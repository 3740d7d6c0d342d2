"""Parquet and Feather."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any

from edge_vfs.file import File
from edge_vfs.openers.arrow_columns import compute, frame
from edge_vfs.openers.opener import Content, UnreadableContent, need, warn
from edge_vfs.openers.unpacking import MAX_UNPACKED_SIZE, OPTION

OPTIONS = {
    ".parquet": frozenset({"columns", "dtype_backend", "filters", OPTION}),
    ".feather": frozenset({"columns", "dtype_backend", OPTION}),
}


def read(file: File, suffix: str, options: dict[str, Any]) -> Any:
    pandas = need("a table", file, "pandas", "pyarrow")
    table = parquet(file, options) if suffix == ".parquet" else feather(file, options)
    return frame(pandas, file.basename, table, options.get("dtype_backend"))


def parquet(file: File, options: dict[str, Any]) -> Any:
    """Return a Parquet file as an Arrow table.

    Raises:
        UnreadableContent: it takes more memory than the option ``max_unpacked_size``.
    """
    import pyarrow.parquet

    columns = options.get("columns")
    metadata = pyarrow.parquet.read_metadata(file)
    file.seek(0)
    names = metadata.schema.to_arrow_schema().names
    has_twins = len(set(names)) < len(names)
    check_size(file.basename, file.size, [metadata], columns, options.get(OPTION))

    def read_table(columns: Any, unit: str | None = None) -> Any:
        file.seek(0)
        if has_twins and options.get("filters") is None:
            # read_table goes through a dataset, whose columns have a name each.
            single = pyarrow.parquet.ParquetFile(file, coerce_int96_timestamp_unit=unit)
            return single.read(columns, use_pandas_metadata=True)
        return pyarrow.parquet.read_table(
            file,
            columns=columns,
            filters=options.get("filters"),
            use_pandas_metadata=True,
            coerce_int96_timestamp_unit=unit,
        )

    table = read_table(columns)
    return exact_int96(file.basename, [metadata], table, read_table)


def exact_int96(name: str, footers: Sequence[Any], table: Any, read_table: Callable[[list[str], str], Any]) -> Any:
    """Return a table in which the times of Parquet's type INT96 are exact.

    In nanoseconds, as pyarrow reads them, they wrap around beyond the years 1677 to 2262.

    Args:
        name: name of the file or folder, for the warning.
        footers: the ``pyarrow.parquet.FileMetaData`` of each file.
        table: the ``pyarrow.Table``.
        read_table: reads columns again, with the times of INT96 in a unit.
    """
    import pyarrow

    leaves = [footer.schema.column(n) for footer in footers for n in range(footer.num_columns)]
    names = {leaf.path.split(".")[0] for leaf in leaves if leaf.physical_type == "INT96"}
    columns = [column for column in table.schema.names if column in names]
    if not columns:
        return table
    coarse = read_table(columns, "us")
    for column in columns:
        position = table.schema.get_field_index(column)
        fine, exact = table.column(position), coarse[column]
        try:
            exact.cast(fine.type)
        except pyarrow.ArrowInvalid:
            table = table.set_column(position, table.schema.field(position).with_type(exact.type), exact)
            if _has_nanoseconds(fine, exact):
                warn(
                    f"the column {column!r} of {name} has times beyond the years 1677 to 2262, so that it comes in "
                    "microseconds, and nanoseconds of its times are lost"
                )
    return table


def _has_nanoseconds(fine: Any, coarse: Any) -> bool:
    """Return whether times in nanoseconds, which may have wrapped around, have digits that microseconds do not have.

    Args:
        fine: the times in nanoseconds.
        coarse: the times in microseconds.
    """
    from pyarrow import types

    if not types.is_timestamp(fine.type):
        return True  # of nested times, this is not known
    # Arrow's arithmetic wraps around as well, so that the difference is what microseconds do not hold.
    rest = compute("subtract", fine.cast("int64"), compute("multiply", coarse.cast("int64"), 1000))
    return bool(compute("any", compute("not_equal", rest, 0)).as_py())


def feather(file: File, options: dict[str, Any]) -> Any:
    """Return a Feather file as an Arrow table; raises like `parquet`."""
    import pyarrow.feather

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "pyarrow.feather.read_table is deprecated", FutureWarning)
        table = pyarrow.feather.read_table(file, columns=options.get("columns"))
    refuse_large(file.basename, file.size, table.num_rows, 8 * table.num_rows * table.num_columns, options.get(OPTION))
    return table


def check_size(
    name: str, size: int, footers: Sequence[Any], columns: Collection[str] | None, limit: int | None
) -> None:
    """Raise `UnreadableContent` for Parquet files whose footers say that they take far more memory than their size.

    A value that is repeated takes no place in the file, so that a few kB can hold billions of rows.

    Args:
        name: name of the file or folder.
        size: size of the files, in bytes.
        footers: the ``pyarrow.parquet.FileMetaData`` of each file.
        columns: names of the columns to read, or None for all.
        limit: value of the option ``max_unpacked_size``, or None.
    """
    needed = 0
    for footer in footers:
        paths = [footer.schema.column(n).path for n in range(footer.num_columns)]
        width = sum(columns is None or path.split(".")[0] in columns for path in paths)
        packed = sum(footer.row_group(n).total_byte_size for n in range(footer.num_row_groups))
        needed += max(8 * footer.num_rows * width, packed if columns is None else 0)
    refuse_large(name, size, sum(footer.num_rows for footer in footers), needed, limit)


def refuse_large(name: str, size: int, rows: int, needed: int, limit: int | None) -> None:
    if needed > (MAX_UNPACKED_SIZE if limit is None else limit) and needed > 100 * size:
        raise UnreadableContent(
            f"{name} has {rows} rows, which take at least {needed} bytes of memory; "
            f"{OPTION}={needed} opens it, and columns= chooses some of its columns"
        )


def write(file: Content, suffix: str, frame: Any) -> None:
    need("a table", file, "pyarrow", doing="saving")
    if suffix == ".parquet":
        frame.to_parquet(file, engine="pyarrow")
    else:
        frame.to_feather(file)
