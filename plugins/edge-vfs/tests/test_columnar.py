"""Parquet and Feather: whole numbers with gaps keep every digit, other columns are as by pandas."""

from __future__ import annotations

import io
from typing import Any

import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest

from edge_vfs.openers import UnreadableContent

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
