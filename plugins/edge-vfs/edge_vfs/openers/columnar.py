"""Parquet and Feather."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from edge_vfs.file import File
from edge_vfs.openers import whole_numbers
from edge_vfs.openers.opener import UnreadableContent, need
from edge_vfs.openers.unpacking import MAX_UNPACKED_SIZE, OPTION

OPTIONS = {
    ".parquet": frozenset({"columns", "dtype_backend", "filters", OPTION}),
    ".feather": frozenset({"columns", "dtype_backend"}),
}


def read(file: File, suffix: str, options: dict[str, Any]) -> Any:
    pandas = need("a table", file, "pandas", "pyarrow")
    limit = options.pop(OPTION, MAX_UNPACKED_SIZE)
    if suffix == ".parquet":
        _check_size(file, options.get("columns"), limit)
        frame = pandas.read_parquet(file, **options)
    else:
        frame = pandas.read_feather(file, **options)
    suspects = [name for name in frame.columns if _is_suspect(frame[name])] if frame.columns.is_unique else []
    if suspects:
        table = _table(file, suffix, suspects, options.get("filters"))
        for name in suspects:
            _repair(pandas, frame, name, table)
    return frame


def _check_size(file: File, names: Collection[str] | None, limit: int) -> None:
    """Raise `UnreadableContent` for a Parquet file whose footer says that it takes far more memory than its size.

    A value that is repeated takes no place in the file, so that a few kB can hold billions of rows.
    """
    import pyarrow.parquet

    metadata = pyarrow.parquet.read_metadata(file)
    file.seek(0)
    width = sum(
        names is None or metadata.schema.column(n).path.split(".")[0] in names for n in range(metadata.num_columns)
    )
    packed = sum(metadata.row_group(n).total_byte_size for n in range(metadata.num_row_groups))
    needed = max(8 * metadata.num_rows * width, packed if names is None else 0)
    if needed > limit and needed > 100 * file.size:
        raise UnreadableContent(
            f"{file.basename} has {metadata.num_rows} rows, which take at least {needed} bytes of memory; "
            f"{OPTION}={needed} opens it, and columns= chooses some of its columns"
        )


def _is_suspect(column: Any) -> bool:
    """Return whether a column is of float64 and has a number beyond those that it holds exactly."""
    return column.dtype == "float64" and bool((column.abs() >= whole_numbers.EXACT_UP_TO).any())


def _table(file: File, suffix: str, names: list[str], filters: Any) -> Any:
    file.seek(0)
    if suffix == ".parquet":
        import pyarrow.parquet

        return pyarrow.parquet.read_table(file, columns=names, filters=filters)
    import pyarrow.feather

    return pyarrow.feather.read_table(file, columns=names)


def _repair(pandas: Any, frame: Any, name: str, table: Any) -> None:
    """Replace a column of `frame` by its whole numbers in `table`, if float64 changed one of them."""
    import pyarrow

    if not pyarrow.types.is_integer(table.schema.field(name).type):
        return
    exact = table[name].to_pylist()
    kept = whole_numbers.series(pandas, exact)
    if kept.dtype != "float64":
        frame[name] = kept.set_axis(frame.index)
