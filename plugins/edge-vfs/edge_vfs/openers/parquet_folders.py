"""Folders of Parquet files that are a single table, as Spark, Dask and pandas write them.

Folders with names such as ``plate=007`` are partitions, as of Hive: each gives a column. Its values are the texts in
these names, which are exact, unless the files state another type.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import json
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from edge_core.errors import BadEntry, EdgeError
from edge_vfs.file import File
from edge_vfs.openers import arrow_columns, columnar
from edge_vfs.openers.opener import UnreadableContent, head_of, warn
from edge_vfs.openers.unpacking import OPTION

if TYPE_CHECKING:
    from edge_vfs.folder import Folder

OPTIONS = columnar.OPTIONS[".parquet"] | {"partition_types"}

_SUFFIXES = (".parquet", ".parq", ".pq")

_MISSING = "__HIVE_DEFAULT_PARTITION__"

_LOGS = {"_delta_log": "Delta Lake", ".hoodie": "Apache Hudi"}
"""Folders in which these formats keep a log, which says which of the files beside it still belong to the table."""

_REQUESTS_AT_ONCE = 8


class Part(NamedTuple):
    """A file of the table.

    Attributes:
        path: path from the table's folder.
        file: the file.
        partitions: what the names of its folders say: text by name of a column, None for a missing value.
    """

    path: str
    file: File
    partitions: dict[str, str | None]


def read(pandas: Any, folder: Folder[Any], options: Mapping[str, Any]) -> Any:
    """Return the table as a DataFrame.

    Raises:
        BadEntry: `partition_types` names no partition, or no type.
        UnreadableContent: the folder has no Parquet files or a table of another format, the files have columns
            whose types do not fit together, or the table takes more memory than the limit.
    """
    import pyarrow.dataset
    import pyarrow.parquet

    parts = _parts(folder)
    first = _fragments(parts[:1], {})
    _footers(parts[:1], first)
    example = first[0].physical_schema
    fields = _partition_fields(folder, parts, example, options.get("partition_types"))
    filters = options.get("filters")
    expression = None if filters is None else pyarrow.parquet.filters_to_expression(filters)
    if expression is not None:
        parts = _matching(parts, fields, example, expression)
    fragments = _fragments(parts, fields)
    footers = _footers(parts, fragments)
    columns = options.get("columns")
    size = sum(part.file.size for part in parts)
    columnar.check_size(folder.basename, size, footers, columns, options.get(OPTION))
    schema = _schema(folder, parts, [fragment.physical_schema for fragment in fragments] or [example])
    schema = pyarrow.schema([*schema, *fields.values()], schema.metadata)
    if columns is not None:
        columns = [*columns, *(name for name in arrow_columns.index_columns(schema) if name not in columns)]

    def read_table(columns: Any, unit: str | None = None) -> Any:
        here = schema
        for name in columns if unit else ():
            here = here.set(here.get_field_index(name), pyarrow.field(name, pyarrow.timestamp(unit)))
        dataset = _dataset(_fragments(parts, fields, unit) if unit else fragments, here)
        try:
            return dataset.to_table(columns=columns, filter=expression)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError) as error:
            raise UnreadableContent(
                f"the files of {folder.basename} could not be read as a single table ({error}); open them one by one"
            ) from error

    table = columnar.exact_int96(folder.basename, footers, read_table(columns), read_table)
    return arrow_columns.frame(pandas, folder.basename, table, options.get("dtype_backend"))


def _parts(folder: Folder[Any]) -> list[Part]:
    parts = []
    for path, file in folder._files(_is_entered):
        *folders, name = path.split("/")
        for log, form in _LOGS.items():
            if log in folders:
                raise UnreadableContent(
                    f"{folder.basename} is a table of {form}, whose log says which of its files still count; "
                    "download_folder gives all of it to a package that reads this format"
                )
        if not name.startswith(("_", ".")):
            parts.append(Part(path, file, dict(_partition(name) for name in folders if "=" in name)))
    named = [part for part in parts if part.path.lower().endswith(_SUFFIXES)]
    parts = sorted(parts, key=_order)
    if not parts or (not named and not head_of(parts[0].file).startswith(b"PAR1")):
        raise UnreadableContent(f"{folder.basename} has no Parquet files; leave open_with out to open it as a Folder")
    if named and len(named) < len(parts):
        others = [part.path for part in parts if part not in named]
        are_left_out = f"{len(others)} files of {folder.basename} are no Parquet files and were left out"
        if len(others) == 1:
            are_left_out = f"1 file of {folder.basename} is no Parquet file and was left out"
        warn(f"{are_left_out}: {', '.join(others[:5])}")
    return sorted(named or parts, key=_order)


def _is_entered(name: str) -> bool:
    # Spark writes what is not finished below _temporary, and enters folders of a partition "_x=1".
    return name in _LOGS or not name.startswith(("_", ".")) or ("=" in name and name.startswith("_"))


def _order(part: Part) -> list[Any]:
    """Return what orders part.2 before part.10, as Dask numbers them."""
    return [int(piece) if piece.isdecimal() else piece for piece in re.split(r"([0-9]+)", part.path)]


def _partition(name: str) -> tuple[str, str | None]:
    key, _, value = name.partition("=")
    return urllib.parse.unquote(key), None if value == _MISSING else urllib.parse.unquote(value)


def _partition_fields(folder: Folder[Any], parts: Sequence[Part], schema: Any, types: Any) -> dict[str, Any]:
    """Return the ``pyarrow.Field`` of each partition by its name, in the order of the folders."""
    import pyarrow

    # A column that the files have as well is read from them.
    partitions = dict.fromkeys(itertools.chain.from_iterable(part.partitions for part in parts))
    names = [name for name in partitions if name not in schema.names]
    chosen = types if isinstance(types, Mapping) else {}
    for name, kind in chosen.items():
        if name not in names:
            raise BadEntry(f"{folder.basename} has no partition {name!r}; use {', '.join(names)} in partition_types")
        if isinstance(kind, str) and _type(kind) is None:
            raise BadEntry(f'{kind!r} is no type of a partition; use one such as "int64", "double", "date32", "string"')
    if types is not None and not isinstance(types, Mapping) and types != "infer":
        raise BadEntry('partition_types must be "infer" or types by name, such as {"year": "int64"}')
    by_pandas = _types_by_pandas(schema)
    fields = {}
    for name in names:
        texts = [text for text in {part.partitions.get(name) for part in parts} if text is not None]
        kind = _type(chosen.get(name)) or by_pandas.get(name)
        if types == "infer" and kind is None and all(re.fullmatch(r"0|-?[1-9][0-9]{0,17}", text) for text in texts):
            kind = pyarrow.int64()
        if kind is not None and not _are_of(texts, kind):
            if name in chosen:
                raise UnreadableContent(
                    f"the partition {name!r} of {folder.basename} has values that are not {kind}; leave it out of "
                    "partition_types to read them as texts"
                )
            kind = None
        fields[name] = pyarrow.field(name, kind or pyarrow.string())
    return fields


def _type(alias: Any) -> Any:
    """Return Arrow's type of this name; None if there is none."""
    import pyarrow

    if not isinstance(alias, str):
        return alias
    try:
        return pyarrow.type_for_alias(alias)
    except ValueError:
        return None


def _types_by_pandas(schema: Any) -> dict[str, Any]:
    """Return the types of columns that pandas had when it wrote the files, which it also states for partitions."""
    described = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
    return {
        column["name"]: _type(column["numpy_type"].lower().replace("datetime64", "timestamp"))
        for column in described.get("columns", ())
        if column["pandas_type"] != "categorical"
    }


def _are_of(texts: list[str], kind: Any) -> bool:
    import pyarrow

    try:
        pyarrow.array(texts, "string").cast(kind)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
        return False
    return True


def _fragments(parts: Sequence[Part], fields: Mapping[str, Any], unit: str | None = None) -> list[Any]:
    """Return the parts as fragments of a dataset of pyarrow; nothing is read.

    Args:
        parts: the parts.
        fields: the ``pyarrow.Field`` of each partition.
        unit: unit of the times of Parquet's type INT96, by default nanoseconds.
    """
    import pyarrow.dataset

    form = pyarrow.dataset.ParquetFileFormat(
        pre_buffer=True, arrow_extensions_enabled=True, coerce_int96_timestamp_unit=unit
    )
    return [form.make_fragment(part.file, partition_expression=_expression(part, fields)) for part in parts]


def _dataset(fragments: Sequence[Any], schema: Any) -> Any:
    import pyarrow.dataset

    return pyarrow.dataset.FileSystemDataset(fragments, schema, pyarrow.dataset.ParquetFileFormat())


def _footers(parts: Sequence[Part], fragments: Sequence[Any]) -> list[Any]:
    """Read the ``pyarrow.parquet.FileMetaData`` of fragments, which keep them, several at once."""

    def footer(part: Part, fragment: Any) -> Any:
        try:
            return fragment.metadata
        except EdgeError:
            raise
        except Exception as error:
            raise UnreadableContent(f"{part.path} could not be read as a Parquet file ({error})") from error

    with concurrent.futures.ThreadPoolExecutor(_REQUESTS_AT_ONCE) as threads:
        return list(threads.map(footer, parts, fragments))


def _expression(part: Part, fields: Mapping[str, Any]) -> Any:
    """Return the expression that holds for all rows of a part; None if the names of its folders say nothing."""
    import pyarrow
    from pyarrow import dataset

    expression = None
    for name, field in fields.items():
        text = part.partitions.get(name)
        column = dataset.field(name)
        holds = column.is_null() if text is None else column == pyarrow.scalar(text, "string").cast(field.type)
        expression = holds if expression is None else expression & holds
    return expression


def _matching(parts: Sequence[Part], fields: Mapping[str, Any], schema: Any, expression: Any) -> list[Part]:
    """Return the parts that can have rows for which `expression` is true, by the names of their folders."""
    import pyarrow

    schema = pyarrow.schema([*schema, *fields.values()])
    try:
        return [
            part for part in parts if any(_dataset(_fragments([part], fields), schema).get_fragments(filter=expression))
        ]
    except pyarrow.ArrowInvalid:  # the first part may lack one of the columns
        return list(parts)


def _schema(folder: Folder[Any], parts: Sequence[Part], schemas: Sequence[Any]) -> Any:
    """Return the schema in which the columns of all parts fit; values that do not are an error when they are read."""
    import pyarrow

    merged = schemas[0]
    for part, schema in zip(parts, schemas, strict=False):
        try:
            merged = pyarrow.unify_schemas([merged, schema], promote_options="permissive")
        except (pyarrow.ArrowTypeError, pyarrow.ArrowInvalid) as error:
            raise UnreadableContent(
                f"{part.path} of {folder.basename} has a column of another type than the files before it ({error}); "
                "columns= leaves columns out, or open the files one by one"
            ) from error
    return merged
