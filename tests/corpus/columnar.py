"""Parquet and Feather: what their types say."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import uuid
from collections.abc import Iterator
from typing import Any

import pandas
import pyarrow
import pyarrow.feather
import pyarrow.parquet

from .cases import Case

ID = 1234567890123456789
WHEN = dt.datetime(2024, 3, 31, 1, 30, 0, 123456)


def parquet(**columns: Any) -> bytes:
    target = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), target)
    return target.getvalue()


def feather(**columns: Any) -> bytes:
    target = io.BytesIO()
    pyarrow.feather.write_feather(pyarrow.table(columns), target)
    return target.getvalue()


def cases() -> Iterator[Case]:
    stamp = pandas.Timestamp(WHEN)
    zoned = pandas.Timestamp("2024-03-31 03:30", tz="Europe/Berlin")
    kinds: dict[str, tuple[Any, list[Any], str]] = {
        "ids": (pyarrow.array([ID, None]), [ID, None], "ids of 19 digits with a gap"),
        "unsigned": (pyarrow.array([2**64 - 1, None], "uint64"), [2**64 - 1, None], "beyond int64, with a gap"),
        "gaps": (pyarrow.array([1, None]), [1.0, None], "small numbers with a gap, as by pandas"),
        "tiny": (pyarrow.array([-128, 127], "int8"), [-128, 127], "8 bits"),
        "booleans": (pyarrow.array([True, None]), [True, None], "a boolean beside a gap"),
        "decimal": (
            pyarrow.array([decimal.Decimal("0.10"), None], pyarrow.decimal128(38, 2)),
            [decimal.Decimal("0.10"), None],
            "decimals keep their digits",
        ),
        "dictionary": (pyarrow.array(["b", "a", None, "b"]).dictionary_encode(), ["b", "a", None, "b"], "categories"),
        "dates": (pyarrow.array([dt.date(2024, 1, 2), None]), [dt.date(2024, 1, 2), None], "days without a time"),
        "years": (
            pyarrow.array([dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
            [dt.date(1, 1, 1), dt.date(9999, 12, 31)],
            "days before and after the range of nanoseconds",
        ),
        "times": (pyarrow.array([dt.time(12, 30), None]), [dt.time(12, 30), None], "times of a day"),
        "stamps": (pyarrow.array([WHEN, None], pyarrow.timestamp("us")), [stamp, None], "microseconds"),
        "old_stamps": (
            pyarrow.array([dt.datetime(1066, 10, 14)], pyarrow.timestamp("us")),
            [pandas.Timestamp("1066-10-14")],
            "a year that nanoseconds do not have",
        ),
        "nanoseconds": (
            pyarrow.array([1711848600123456789], pyarrow.timestamp("ns")),
            [pandas.Timestamp(1711848600123456789)],
            "nine digits of a second",
        ),
        "zones": (
            pyarrow.array([zoned.to_pydatetime()], pyarrow.timestamp("us", "Europe/Berlin")),
            [zoned],
            "an hour after the clocks change",
        ),
        "durations": (
            pyarrow.array([dt.timedelta(hours=30)], pyarrow.duration("us")),
            [pandas.Timedelta(hours=30)],
            "30 hours",
        ),
        "lists": (pyarrow.array([[1, 2], None, []]), [[1, 2], None, []], "lists in cells"),
        "structs": (pyarrow.array([{"x": 1, "y": "a"}]), [{"x": 1, "y": "a"}], "structures in cells"),
        "list_gaps": (pyarrow.array([[ID, None]]), [[ID, None]], "ids of 19 digits with gaps, in lists"),
        "struct_gaps": (pyarrow.array([{"x": ID}, {"x": None}]), [{"x": ID}, {"x": None}], "ids in structures"),
        "bytes": (pyarrow.array([b"\xff\0", None]), [b"\xff\0", None], "bytes, not texts"),
        "nulls": (pyarrow.nulls(2), [None, None], "nothing at all"),
        "half": (pyarrow.array([1.5, -0.0], "float16"), [1.5, -0.0], "16-bit floats"),
        "nan": (pyarrow.array([float("nan"), None, 1.5]), [None, None, 1.5], "NaN and gaps are both missing"),
        "texts": (pyarrow.array(["007", "NA", "", None]), ["007", "NA", "", None], "texts that look like others"),
    }
    for name, (column, value, why) in kinds.items():
        yield Case(f"{name}.parquet", parquet(v=column), why, {"v": value})
        yield Case(f"{name}.feather", feather(v=column), why, {"v": value})
    marker = uuid.UUID("12345678-1234-5678-1234-567812345678")
    storage = pyarrow.array([marker.bytes], pyarrow.binary(16))
    yield Case(
        "uuid.parquet",
        parquet(v=pyarrow.ExtensionArray.from_storage(pyarrow.uuid(), storage)),
        "UUIDs",
        {"v": [marker]},
    )
    for kind in ("duration[us]", "timestamp[ns]"):
        least = pyarrow.array([-(2**63), 0]).cast(kind)
        name = f"least_{kind.partition('[')[0]}.feather"
        yield Case(name, feather(v=least), "a value that NumPy takes for missing", warns="'v'.*dtype_backend")
    yield Case("no_rows.parquet", parquet(a=pyarrow.array([], "int64")), "no rows", {"a": []})
    yield Case("no_columns.parquet", parquet(), "no columns", {})
    yield Case("no_rows.feather", feather(a=pyarrow.array([], "string")), "no rows", {"a": []})
    indexed = io.BytesIO()
    pandas.DataFrame({"v": [1.5]}, index=pandas.Index(["x"], name="well")).to_parquet(indexed)
    yield Case("index.parquet", indexed.getvalue(), "row names that pandas wrote", {"well": ["x"], "v": [1.5]})
    nullable = io.BytesIO()
    pandas.DataFrame({"v": pandas.array([ID, None], "Int64")}).to_parquet(nullable)
    yield Case("nullable.parquet", nullable.getvalue(), "a nullable type that pandas wrote", {"v": [ID, None]})
    twice = io.BytesIO()
    batch = pyarrow.Table.from_arrays([pyarrow.array([1]), pyarrow.array([ID])], names=["v", "v"])
    pyarrow.parquet.write_table(batch, twice)
    yield Case("same_names.parquet", twice.getvalue(), "two columns of one name", {"v": [1], "v (2)": [ID]})
    packed = parquet(a=pyarrow.array([7] * 300_000))
    yield Case(
        "bomb.parquet",
        packed,
        "300,000 rows in 1 kB",
        error="has 300000 rows.*max_unpacked_size=",
        options={"max_unpacked_size": 1_000_000},
    )
    yield Case("truncated.parquet", packed[:-4], "cut short", error="[Pp]arquet")
    yield Case("truncated.feather", feather(a=[1])[:-9], "cut short", error="[Ff]eather|Arrow")
    yield Case("PLATE.v2.PARQUET", parquet(a=[1]), "an upper-case suffix", {"a": [1]})
