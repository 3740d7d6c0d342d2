"""Parquet and Feather."""

from __future__ import annotations

from typing import Any

from edge_vfs.file import File
from edge_vfs.openers import whole_numbers
from edge_vfs.openers.opener import need

OPTIONS = {
    ".parquet": frozenset({"columns", "dtype_backend", "filters"}),
    ".feather": frozenset({"columns", "dtype_backend"}),
}


def read(file: File, suffix: str, options: dict[str, Any]) -> Any:
    pandas = need("a table", file, "pandas", "pyarrow")
    if suffix == ".parquet":
        frame = pandas.read_parquet(file, **options)
    else:
        frame = pandas.read_feather(file, **options)
    suspects = [name for name in frame.columns if _is_suspect(frame[name])] if frame.columns.is_unique else []
    if suspects:
        table = _table(file, suffix, suspects, options.get("filters"))
        for name in suspects:
            _repair(pandas, frame, name, table)
    return frame


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
