"""Parquet and Feather: every value is exact, and columns that pandas reads exactly are as by pandas."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import uuid
import warnings
from typing import Any

import numpy
import pandas
import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest

from edge_core.errors import BadEntry
from edge_vfs.openers import InexactWarning, UnreadableContent

from .opening import opened

ID = 9007199254740993


def written(suffix: str, **columns: Any) -> bytes:
    target = io.BytesIO()
    table = pyarrow.table(columns)
    if suffix == ".parquet":
        pyarrow.parquet.write_table(table, target)
    else:
        pyarrow.feather.write_feather(table, target)
    return target.getvalue()


@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
@pytest.mark.parametrize(
    ("kind", "cells", "dtype"),
    [
        ("int64", [ID, None], "Int64"),
        ("int64", [-ID, None, 2**63 - 1], "Int64"),
        ("uint64", [2**64 - 1, None], "UInt64"),
        ("int64", [2**53, None], "float64"),
        ("int64", [1, None], "float64"),
        ("int64", [ID, 1], "int64"),
        ("double", [1e17, None], "float64"),
    ],
)
def test_whole_numbers_with_gaps(suffix: str, kind: str, cells: list[Any], dtype: str) -> None:
    content = written(suffix, id=pyarrow.array(cells, kind), other=pyarrow.array([1, *[None] * (len(cells) - 1)]))
    frame = opened(f"a{suffix}", content)
    assert (str(frame["id"].dtype), str(frame["other"].dtype)) == (dtype, "float64")
    here = [None if gap else value for value, gap in zip(frame["id"].tolist(), frame["id"].isna(), strict=True)]
    assert here == cells


def test_rows_that_a_filter_chose() -> None:
    content = written(".parquet", id=[ID, None, 5], n=[1, 2, 3])
    frame = opened("a.parquet", content, filters=[("n", "<", 3)])
    assert frame["id"][0] == ID
    assert len(frame) == 2
    assert str(opened("a.parquet", content, filters=[("n", ">", 1)], columns=["id"])["id"].dtype) == "float64"


def test_a_small_file_of_many_rows_is_refused_by_its_footer() -> None:
    content = written(".parquet", a=pyarrow.array([7] * 500_000), b=pyarrow.array(["x"] * 500_000))
    assert len(content) < 10_000
    with pytest.raises(
        UnreadableContent, match="has 500000 rows, which take at least 8000000 bytes.*=8000000 opens it"
    ):
        opened("a.parquet", content, max_unpacked_size=1_000_000)
    assert len(opened("a.parquet", content, max_unpacked_size=8_000_000)) == 500_000
    assert list(opened("a.parquet", content, columns=["a"], max_unpacked_size=4_000_000)) == ["a"]
    assert len(opened("a.parquet", content)) == 500_000


def test_a_small_feather_file_of_many_rows_is_refused_before_it_is_a_frame() -> None:
    content = written(".feather", a=pyarrow.nulls(500_000))
    assert len(content) < 2_000
    with pytest.raises(UnreadableContent, match="has 500000 rows, which take at least 4000000 bytes of memory"):
        opened("a.feather", content, max_unpacked_size=1_000_000)
    assert len(opened("a.feather", content, max_unpacked_size=4_000_000)) == 500_000


NS = 1700000000123456789
WHEN = pandas.Timestamp(NS)
IN_BERLIN = pandas.Timestamp(NS, tz="Europe/Berlin")
UUID = uuid.UUID(int=5)


def in_struct(cell: Any, kind: Any) -> Any:
    return pyarrow.array(
        [{"x": cell, "y": [1.5]}, {"x": None, "y": None}],
        pyarrow.struct([("x", kind), ("y", pyarrow.list_(pyarrow.float64()))]),
    )


def in_list(cell: Any, kind: Any) -> Any:
    return pyarrow.array([[cell, None], None], pyarrow.list_(kind))


def plain(value: Any) -> Any:
    """Arrays as lists, and missing values as None."""
    if isinstance(value, numpy.ndarray | list):
        return [plain(cell) for cell in value]
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    if isinstance(value, dict):
        return {name: plain(cell) for name, cell in value.items()}
    return None if pandas.isna(value) else value


@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (in_struct(NS, pyarrow.timestamp("ns")), [{"x": WHEN, "y": [1.5]}, {"x": None, "y": None}]),
        (
            in_struct(NS, pyarrow.timestamp("ns", "Europe/Berlin")),
            [{"x": IN_BERLIN, "y": [1.5]}, {"x": None, "y": None}],
        ),
        (in_struct(5, pyarrow.duration("ns")), [{"x": pandas.Timedelta(5), "y": [1.5]}, {"x": None, "y": None}]),
        (in_struct(ID, pyarrow.int64()), [{"x": ID, "y": [1.5]}, {"x": None, "y": None}]),
        (in_list(NS, pyarrow.timestamp("ns")), [[numpy.datetime64(NS, "ns"), None], None]),
        (in_list(NS, pyarrow.timestamp("ns", "Europe/Berlin")), [[IN_BERLIN, None], None]),
        (in_list(ID, pyarrow.int64()), [[ID, None], None]),
        (in_list(2**64 - 1, pyarrow.uint64()), [[2**64 - 1, None], None]),
        (in_list([ID, None], pyarrow.list_(pyarrow.int64())), [[[ID, None], None], None]),
        (in_list({"x": ID}, pyarrow.struct([("x", pyarrow.int64())])), [[{"x": ID}, None], None]),
        (in_list([("k", NS)], pyarrow.map_(pyarrow.string(), pyarrow.timestamp("ns"))), [[[("k", WHEN)], None], None]),
        (pyarrow.array([[ID, None], None], pyarrow.list_(pyarrow.int64(), 2)), [[ID, None], None]),
        (
            pyarrow.array([[("a", ID), ("b", None)], None], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
            [[("a", ID), ("b", None)], None],
        ),
        (pyarrow.array([UUID, None], pyarrow.uuid()), [UUID, None]),
        (pyarrow.ListArray.from_arrays([0, 2, 2], pyarrow.array([UUID, None], pyarrow.uuid())), [[UUID, None], []]),
        (
            pyarrow.StructArray.from_arrays([pyarrow.array([UUID, None], pyarrow.uuid())], ["x"]),
            [{"x": UUID}, {"x": None}],
        ),
        (pyarrow.array([dt.date(9999, 1, 1), dt.date(1, 1, 1), None]), [dt.date(9999, 1, 1), dt.date(1, 1, 1), None]),
        (pyarrow.array([10**7, None], "int32").cast("date32"), [pandas.Timestamp(numpy.datetime64(10**7, "D")), None]),
        (in_list(10**13, pyarrow.timestamp("ms")), [[numpy.datetime64(10**13, "ms"), None], None]),
        (
            in_struct(10**16, pyarrow.timestamp("ms")),
            [{"x": pandas.Timestamp(numpy.datetime64(10**16, "ms")), "y": [1.5]}, {"x": None, "y": None}],
        ),
        (pyarrow.array([dt.datetime(9999, 1, 1), None], "timestamp[us]"), [dt.datetime(9999, 1, 1), None]),
        (
            pyarrow.array([decimal.Decimal("1" * 60), None], pyarrow.decimal256(70, 3)),
            [decimal.Decimal("1" * 60), None],
        ),
        (pyarrow.array([1.5, None], "float16"), [1.5, None]),
        (pyarrow.array(["a", None, "b"]).dictionary_encode(), ["a", None, "b"]),
    ],
    ids=lambda cells: str(cells.type) if isinstance(cells, pyarrow.Array) else "",
)
def test_values_that_are_exact(suffix: str, cells: Any, values: list[Any]) -> None:
    for chunks in (cells, pyarrow.chunked_array([cells[:1], cells[1:]])):
        column = opened(f"a{suffix}", written(suffix, a=chunks, n=range(len(cells))))["a"]
        assert plain(column.tolist()) == values


@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
def test_times_of_day_with_nanoseconds_come_with_a_warning(suffix: str) -> None:
    times = pyarrow.array([5, 3600 * 10**9, None], "time64[ns]")
    with pytest.warns(InexactWarning, match=f"the column 'a' of a{suffix} has times of day with nanoseconds"):
        frame = opened(f"a{suffix}", written(suffix, a=times))
    assert plain(frame["a"].tolist()) == [pandas.Timedelta(5), pandas.Timedelta(hours=1), None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert opened(f"a{suffix}", written(suffix, a=times[1:]))["a"].tolist() == [dt.time(1), None]
        frame = opened(f"a{suffix}", written(suffix, a=times), dtype_backend="pyarrow")
    assert str(frame["a"].dtype) == "time64[ns][pyarrow]"


def test_times_of_the_type_int96_do_not_wrap_around() -> None:
    def content(*times: Any) -> bytes:
        target = io.BytesIO()
        table = pyarrow.table({"when": pyarrow.array(times, "timestamp[us]"), "n": range(len(times))})
        pyarrow.parquet.write_table(table, target, use_deprecated_int96_timestamps=True)
        return target.getvalue()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert opened("a.parquet", content(dt.datetime(9999, 1, 1), None))["when"].tolist() == [
            dt.datetime(9999, 1, 1),
            pandas.NaT,
        ]
        frame = opened(
            "a.parquet",
            content(dt.datetime(1, 1, 1), dt.datetime(2024, 1, 1)),
            filters=[("n", "=", 0)],
            columns=["when"],
        )
        assert frame["when"].tolist() == [dt.datetime(1, 1, 1)]
        assert str(opened("a.parquet", content(dt.datetime(2024, 1, 1)))["when"].dtype) == "datetime64[ns]"
    nested = pyarrow.array([[dt.datetime(9999, 1, 1)]], pyarrow.list_(pyarrow.timestamp("us")))
    target = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"a": nested}), target, use_deprecated_int96_timestamps=True)
    with pytest.warns(InexactWarning, match="it comes in microseconds, and nanoseconds of its times are lost"):
        assert opened("a.parquet", target.getvalue())["a"][0].tolist() == [dt.datetime(9999, 1, 1)]


def test_a_zone_that_is_not_known_names_the_way() -> None:
    content = written(".parquet", a=pyarrow.array([NS], pyarrow.timestamp("ns", "Mars/Base")), b=[1])
    with pytest.raises(
        UnreadableContent, match='that the types of pandas do not hold .*; dtype_backend="pyarrow" gives'
    ):
        opened("a.parquet", content)
    assert opened("a.parquet", content, columns=["b"])["b"].tolist() == [1]


def ordinary() -> pandas.DataFrame:
    return pandas.DataFrame(
        {
            "text": ["a", None],
            "flag": [True, None],
            "number": [1.5, None],
            "gaps": pandas.array([1, None], dtype="Int64"),
            "when": pandas.to_datetime(["2024-01-01", None]),
            "zoned": pandas.to_datetime(["2024-01-01", None]).tz_localize("Europe/Berlin"),
            "kind": pandas.Categorical(["x", None]),
            "list": [[1, 2], None],
            "floats": [[1.5, None], [2.5]],
            "struct": [{"x": 1, "y": dt.datetime(2024, 1, 1)}, {"x": None, "y": None}],
            "bytes": [b"\xff", None],
            "date": [dt.date(2024, 1, 1), None],
            "decimal": [decimal.Decimal("1.10"), None],
        },
        index=pandas.MultiIndex.from_tuples([("u", 1), ("v", 2)], names=["outer", None]),
    )


@pytest.mark.parametrize(
    "options",
    [{}, {"dtype_backend": "numpy_nullable"}, {"dtype_backend": "pyarrow"}, {"columns": ["list", "text"]}],
    ids=str,
)
def test_ordinary_columns_are_as_by_pandas(options: dict[str, Any]) -> None:
    frame = ordinary()
    frame.attrs = {"run": 7}
    content = io.BytesIO()
    frame.to_parquet(content)
    exact = opened("a.parquet", content.getvalue(), **options)
    by_pandas = pandas.read_parquet(content, **options)
    pandas.testing.assert_frame_equal(exact, by_pandas)
    assert [list(map(type, exact[name])) for name in exact] == [list(map(type, by_pandas[name])) for name in by_pandas]
    assert exact.attrs == {"run": 7}
    content = io.BytesIO()
    frame.reset_index().to_feather(content)
    pandas.testing.assert_frame_equal(
        opened("a.feather", content.getvalue(), **options), pandas.read_feather(content, **options)
    )


def test_an_index_of_whole_numbers_with_gaps() -> None:
    for index in (
        pandas.Index([ID, None], dtype="Int64", name="id"),
        pandas.MultiIndex.from_arrays([pandas.array([ID, None], dtype="Int64"), [1, 2]], names=["id", "n"]),
    ):
        table = pyarrow.Table.from_pandas(pandas.DataFrame({"v": [1, 2]}, index=index))
        # As pandas without Int64 has written it.
        described = table.schema.metadata[b"pandas"].replace(b'"Int64"', b'"float64"')
        target = io.BytesIO()
        pyarrow.parquet.write_table(table.replace_schema_metadata({b"pandas": described}), target)
        frame = opened("a.parquet", target.getvalue())
        assert frame.index.get_level_values("id")[0] == ID
        assert frame["v"].tolist() == [1, 2]


def test_an_unknown_backend_is_a_sentence() -> None:
    with pytest.raises(BadEntry, match='dtype_backend must be "numpy_nullable" or "pyarrow"'):
        opened("a.parquet", written(".parquet", a=[1]), dtype_backend="polars")
