"""Folders of Parquet files, as Spark, Dask and pandas write them, are a single table whose values are exact."""

from __future__ import annotations

import datetime as dt
import io
import pathlib
import uuid
import warnings
from typing import Any

import pandas
import pyarrow
import pyarrow.parquet
import pytest

from edge_core.errors import BadEntry
from edge_vfs.folder import Folder
from edge_vfs.openers import InexactWarning, UnreadableContent

from .stores import Tree


def part(table: Any = None, /, **columns: Any) -> bytes:
    target = io.BytesIO()
    pyarrow.parquet.write_table(table or pyarrow.table(columns), target, store_schema=bool(table))
    return target.getvalue()


def tree(files: dict[str, bytes]) -> Folder[Any]:
    store: Any = Tree({f"t.parquet/{path}": content for path, content in files.items()})
    return Folder(store)


def opened(files: dict[str, bytes], **options: Any) -> Any:
    return tree(files).open("t.parquet", "pandas", **options)


def local(folder: pathlib.Path) -> dict[str, bytes]:
    """The files that a library has written to a local folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_stays_a_folder_unless_it_is_opened_as_a_table() -> None:
    root = tree({"part-0.parquet": part(a=[1])})
    assert isinstance(root.open("t.parquet"), Folder)
    assert root.open("t.parquet", "pandas").to_dict("list") == {"a": [1]}
    for opener in ("file", "pil", "text"):
        with pytest.raises(BadEntry, match=f"'t.parquet' is a folder, which '{opener}' does not open"):
            root.open("t.parquet", opener)
    with pytest.raises(BadEntry, match='leave columns out, or open_with="pandas" opens a folder of Parquet files'):
        root.open("t.parquet", columns=["a"])
    with pytest.raises(BadEntry, match="does not take the option sep for it; use only columns, .*partition_types"):
        root.open("t.parquet", "pandas", sep=";")


def test_partitions_are_the_texts_in_the_names_of_folders() -> None:
    files = {
        "plate=007/run=34_01/part-0.parquet": part(v=[1]),
        "plate=008/run=1e5/part-0.parquet": part(v=[2, 3]),
        "plate=__HIVE_DEFAULT_PARTITION__/run=2024%2F01%3A02/part-0.parquet": part(v=[4]),
    }
    frame = opened(files)
    assert list(frame) == ["v", "plate", "run"]
    assert frame["v"].tolist() == [1, 2, 3, 4]
    assert frame["plate"].tolist()[:3] == ["007", "008", "008"]
    assert frame["plate"].isna().tolist() == [False, False, False, True]
    assert frame["run"].tolist() == ["34_01", "1e5", "1e5", "2024/01:02"]
    assert opened(files, columns=["plate"]).shape == (4, 1)
    assert opened(files, filters=[("plate", "=", "008")])["v"].tolist() == [2, 3]


def test_partitions_have_another_type_where_it_is_chosen_or_changes_no_value() -> None:
    files = {f"year={year}/day={day}/a.parquet": part(v=[1]) for year, day in ((2024, "01"), (2025, "02"))}
    frame = opened(files, partition_types="infer")
    assert frame["year"].tolist() == [2024, 2025]
    assert frame["day"].tolist() == ["01", "02"], "a number would lose the zero"
    frame = opened(files, partition_types={"day": "int8"}, filters=[("day", ">", 1)])
    assert frame.to_dict("list") == {"v": [1], "year": ["2025"], "day": [2]}
    dated = opened({"day=2024-01-02/a.parquet": part(v=[1])}, partition_types={"day": "date32"})
    assert dated["day"].tolist() == [dt.date(2024, 1, 2)]
    large = opened(
        {"id=9007199254740993/a": part(v=[1]), "id=__HIVE_DEFAULT_PARTITION__/a": part(v=[2])}, partition_types="infer"
    )
    assert large["id"][0] == 9007199254740993
    for wrong, sentence in (
        ("int64", 'partition_types must be "infer" or types by name'),
        ({"month": "int64"}, "has no partition 'month'; use year, day"),
        ({"year": "number"}, "'number' is no type of a partition"),
    ):
        with pytest.raises(BadEntry, match=sentence):
            opened(files, partition_types=wrong)
    with pytest.raises(UnreadableContent, match=r"the partition 'plate' of t\.parquet has values that are not int64"):
        opened({"plate=x/a.parquet": part(v=[1])}, partition_types={"plate": "int64"})


def test_what_pandas_wrote_in_partitions_comes_back_with_its_types(tmp_path: pathlib.Path) -> None:
    frame = pandas.DataFrame(
        {"v": [1.5, 2.5], "plate": ["007", "008"], "year": [2024, 2025], "half": [0.1, 0.2], "ok": [True, False]}
    )
    frame.to_parquet(tmp_path, partition_cols=["plate", "year", "half", "ok"])
    pandas.testing.assert_frame_equal(opened(local(tmp_path)), frame)


def test_an_index_comes_back() -> None:
    frames = [pandas.DataFrame({"v": [n]}, index=pandas.Index([f"x{n}"], name="id")) for n in range(2)]
    files = {f"part.{n}.parquet": part(pyarrow.Table.from_pandas(frame)) for n, frame in enumerate(frames)}
    assert opened(files).equals(pandas.concat(frames))
    assert opened(files, columns=["v"]).index.tolist() == ["x0", "x1"]


def test_a_column_that_the_files_have_themselves_is_read_from_them() -> None:
    assert opened({"plate=007/a.parquet": part(plate=[7, 7])})["plate"].tolist() == [7, 7]


def test_files_of_the_writers_are_left_out_and_parts_are_ordered_by_number() -> None:
    files = {f"part.{n}.parquet": part(n=[n]) for n in (10, 9, 2)}
    others = {
        "_SUCCESS": b"",
        "_metadata": b"x",
        "_common_metadata": b"x",
        ".part.2.parquet.crc": b"crc",
        "part.3.parquet": part(n=[3]),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = opened({**files, **others, "_temporary/0/part.4.parquet": part(n=[4])})
        assert opened({"000000_0": part(n=[1]), "000001_0": part(n=[2])})["n"].tolist() == [1, 2]
        assert opened({"_x=1/a.parquet": part(n=[1])})["_x"].tolist() == ["1"]
    assert frame["n"].tolist() == [2, 3, 9, 10]
    with pytest.warns(InexactWarning, match=r"1 file of t\.parquet is no Parquet file and was left out: notes\.txt"):
        assert opened({**files, "notes.txt": b"by hand"})["n"].tolist() == [2, 9, 10]
    with pytest.warns(InexactWarning, match=r"2 files of t\.parquet are no Parquet files and were left out: a\.md, b"):
        assert opened({**files, "b.txt": b"", "a.md": b""})["n"].tolist() == [2, 9, 10]


def test_what_is_not_a_folder_of_parquet_files_is_a_sentence() -> None:
    others: list[dict[str, bytes]] = [{"_SUCCESS": b""}, {"a.csv": b"a,b", "b.png": b""}, {"a": b"PAR", "b": b"x" * 99}]
    for files in others:
        with pytest.raises(UnreadableContent, match=r"t\.parquet has no Parquet files; leave open_with out"):
            opened(files)
    with pytest.raises(UnreadableContent, match="a table of Delta Lake, whose log says which of its files still count"):
        opened({"part-0.parquet": part(a=[1]), "_delta_log/00000.json": b"{}"})
    with pytest.raises(UnreadableContent, match=r"part-1\.parquet could not be read as a Parquet file"):
        opened({"part-0.parquet": part(a=[1]), "part-1.parquet": b"PAR1 but no more PAR1"})


def test_files_with_other_columns_are_merged_where_no_value_changes() -> None:
    small, large = pyarrow.array([1], "int32"), pyarrow.array([2**40])
    frame = opened({"a.parquet": part(id=small), "b.parquet": part(id=large, note=["x"])})
    assert frame["id"].tolist() == [1, 2**40]
    assert frame["note"].tolist()[1:] == ["x"]
    assert frame["note"].isna().tolist() == [True, False]
    assert opened({"a.parquet": part(n=[1.5]), "b.parquet": part(n=[2])})["n"].tolist() == [1.5, 2.0]
    with pytest.raises(UnreadableContent, match=r"could not be read as a single table \(.*9007199254740993"):
        opened({"a.parquet": part(n=[1.5]), "b.parquet": part(n=[2**53 + 1])})
    with pytest.raises(UnreadableContent, match=r"b\.parquet of t\.parquet has a column of another type"):
        opened({"a.parquet": part(n=["x"]), "b.parquet": part(n=[2])})


def test_the_limit_counts_all_files() -> None:
    content = part(a=pyarrow.array([7] * 100_000))
    files = {f"part-{n}.parquet": content for n in range(5)}
    assert len(content) < 5_000
    with pytest.raises(UnreadableContent, match=r"t\.parquet has 500000 rows, which take at least 4000000 bytes"):
        opened(files, max_unpacked_size=3_999_999)
    assert len(opened(files, max_unpacked_size=4_000_000)) == 500_000


def test_values_are_as_exact_as_of_a_single_file() -> None:
    files = {"a.parquet": part(id=[2**53 + 1, None]), "b.parquet": part(id=[1, 2])}
    assert opened(files)["id"].tolist()[0] == 2**53 + 1
    target = io.BytesIO()
    times = pyarrow.array([dt.datetime(9999, 1, 1)], "timestamp[us]")
    pyarrow.parquet.write_table(pyarrow.table({"when": times}), target, use_deprecated_int96_timestamps=True)
    assert opened({"p=1/a.parquet": target.getvalue()})["when"].tolist() == [dt.datetime(9999, 1, 1)]


def test_uuids_by_their_logical_type_alone() -> None:
    ids = [uuid.UUID(int=5), None]
    frame = opened({"a.parquet": part(id=pyarrow.array(ids, pyarrow.uuid()))})
    assert frame["id"].tolist() == ids


def test_requests() -> None:
    """A request for each folder and each small file; parts that a filter leaves out are not read."""
    root = tree({f"plate={n:03}/part-0.parquet": part(v=list(range(1000))) for n in range(5)})
    store: Any = root._store
    assert len(root.open("t.parquet", "pandas")) == 5000
    assert store.requests == 6 + 5
    store.readers.clear()
    store.listings = 0
    assert len(root.open("t.parquet", "pandas", filters=[("plate", "=", "004")])) == 1000
    assert store.requests == 6 + 2, "the first part tells the columns"
