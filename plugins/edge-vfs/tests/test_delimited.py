"""Text tables: no column is lost, no digit changed, and what looks like a mistake is told."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import warnings
from typing import Any

import pandas
import pytest

from edge_vfs.openers import InexactWarning, UnreadableContent

from .opening import opened


@pytest.mark.parametrize(
    "rows",
    [
        "Sample,Value\nA,1,\nB,2,\n",
        "Sample,Value\nA,1,,\nB,2,,\n",
        "Sample,Value\nA,1\nB,2,\n",
        "Sample,Value\nA,1\nB,2,,\n",
        'Sample,Value\n"A",1,""\n\nB,2\n',
    ],
)
def test_empty_cells_beyond_the_header_take_no_column_away(rows: str) -> None:
    frame = opened("a.csv", rows)
    assert frame.to_dict("list") == {"Sample": ["A", "B"], "Value": [1, 2]}
    assert frame.index.tolist() == [0, 1]
    frame = opened("a.tsv", rows.replace(",", "\t"))
    assert frame.to_dict("list") == {"Sample": ["A", "B"], "Value": [1, 2]}


@pytest.mark.parametrize("rows", ["a,b\n0,0,0\n", "a,b\n0,0,\n1,1,5\n", "a,b\n1,2\n3,4,5\n", "a,b\n1,2,NA\n"])
def test_cells_beyond_the_header_are_an_error(rows: str) -> None:
    with pytest.raises(UnreadableContent, match=r"row \d of a\.csv has 3 cells and its header 2; give index_col=0"):
        opened("a.csv", rows)
    assert opened("a.csv", rows, usecols=["a"]).shape[1] == 1


def test_row_names_without_a_header_are_an_index_by_option() -> None:
    assert opened("r.csv", "a,b\nx,1,2\n", index_col=0).loc["x"].tolist() == [1, 2]


def test_another_separator_warns() -> None:
    with pytest.raises(UnreadableContent, match="give sep=';' if that separates its cells"):
        opened("a.csv", "Probe;Wert\nA1;0,5\n")
    for name, rows, separator in (
        ("a.csv", "Probe;Wert\nA1;1\nA2;2\n", "';'"),
        ("a.csv", "Probe\tWert\nA1\t1\n", r"'\\t'"),
        ("a.tsv", "Probe,Wert\nA1,1\n", "','"),
    ):
        with pytest.warns(InexactWarning, match=f"single column.*give sep={separator}"):
            assert opened(name, rows).shape[1] == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened("a.csv", "Probe\nA1;1\nA2\n")
        opened("a.csv", "Probe;Wert\nA1;1\n", sep=";")


def test_a_column_has_a_single_type_however_long_it_is() -> None:
    frame = opened("a.csv", "v\n" + "1\n" * 800_000 + "x\n")
    assert frame["v"].map(type).unique().tolist() == [str]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-be"])
def test_byte_order_marks(encoding: str) -> None:
    mark = "\ufeff" if encoding.endswith("-be") else ""
    frame = opened("a.csv", f'{mark}"größe",b\n1,ä\n'.encode(encoding))
    assert frame.to_dict("list") == {"größe": [1], "b": ["ä"]}
    assert opened("a.tsv", f"{mark}größe\tb\n1\tä\n".encode(encoding)).equals(frame)
    assert opened("a.txt", f"{mark}größe\n".encode(encoding)) == "größe\n"
    assert opened("a.json", f'{mark}{{"größe": 1}}'.encode(encoding)) == {"größe": 1}


def test_floats_keep_every_digit() -> None:
    source = random.Random(2)
    numbers = [struct.unpack("d", source.randbytes(8))[0] for _ in range(2000)] + [source.random() for _ in range(2000)]
    numbers = [number for number in numbers if abs(number) < float("inf")]
    assert opened("a.csv", "v\n" + "".join(f"{number!r}\n" for number in numbers))["v"].tolist() == numbers


def test_a_header_that_repeats_its_names_is_named_as_by_pandas() -> None:
    names = ["x", "", "x.1", "y", "Unnamed: 5", *["x"] * 150, "", "x.1", *["y"] * 60]
    content = ",".join(names) + "\n" + ",".join(["1"] * len(names)) + "\n"
    assert list(opened("a.csv", content)) == list(pandas.read_csv(io.StringIO(content)))


def test_pandas_does_not_name_columns_of_a_header_that_repeats_many(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[dict[str, Any]] = []
    read_csv = pandas.read_csv
    monkeypatch.setattr(
        pandas, "read_csv", lambda content, **options: taken.append(options) or read_csv(content, **options)
    )
    frame = opened("a.csv", ",".join(["x"] * 20_000) + "\n" + ",".join(["1"] * 20_000) + "\n")
    assert list(frame)[:3] + list(frame)[-1:] == ["x", "x.1", "x.2", "x.19999"]
    assert frame.to_numpy().sum() == 20_000
    for options in taken:  # its time for this grows with the square of their number
        assert options["header"] is None
        assert len(set(options["names"])) == 20_000


@pytest.mark.parametrize(
    ("cells", "values", "dtype"),
    [
        (["1", "2"], [1, 2], "int64"),
        (["1", ""], [1.0, None], "float64"),
        (["9007199254740992", ""], [9007199254740992.0, None], "float64"),
        (["1e17", ""], [1e17, None], "float64"),
        (["9007199254740993", ""], [9007199254740993, None], "Int64"),
        (["-1234567890123456789", "NA", "5"], [-1234567890123456789, None, 5], "Int64"),
        (["18446744073709551615", ""], [18446744073709551615, None], "UInt64"),
        (["18446744073709551615", "2"], [18446744073709551615, 2], "uint64"),
        (["18446744073709551616", "2"], [18446744073709551616, 2], "object"),
        (["9007199254740993", "x"], ["9007199254740993", "x"], "str"),
    ],
)
def test_whole_numbers_with_gaps_keep_every_digit(cells: list[str], values: list[Any], dtype: str) -> None:
    frame = opened("a.csv", "id,other\n" + "".join(f"{cell},1\n" for cell in cells))
    assert str(frame["id"].dtype) == dtype
    missing = frame["id"].isna()
    assert [None if gap else value for value, gap in zip(frame["id"].tolist(), missing, strict=True)] == values
    assert str(frame["other"].dtype) == "int64", "the other columns are as by pandas"


def test_whole_numbers_among_fractions_warn() -> None:
    with pytest.warns(
        InexactWarning, match=r"the column 'id' of a\.csv has numbers .* such as 9007199254740993, .*dtype="
    ):
        opened("a.csv", "id\n9007199254740993\n1.5\n")
    assert opened("a.csv", "id\n9007199254740993\n1.5\n", dtype={"id": str})["id"][0] == "9007199254740993"
    with_thousands = opened("a.csv", "id;x\n9.007.199.254.740.993;1\n;1\n", sep=";", thousands=".", decimal=",")
    assert with_thousands["id"][0] == 9007199254740993


@pytest.mark.parametrize("large", ["1e400", "-1e400", "1.5e309"])
def test_numbers_beyond_those_of_a_float_warn(large: str) -> None:
    content = f"v\n{large}\n1.5\n"
    with pytest.warns(
        InexactWarning, match=rf"the column 'v' of a\.csv has numbers .* such as {large}, beside others; dtype="
    ):
        opened("a.csv", content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert opened("a.csv", content, dtype={"v": str})["v"][0] == large
        assert opened("a.csv", "v\ninf\n-Infinity\n1.5\n")["v"].tolist() == [float("inf"), float("-inf"), 1.5]
        assert opened("a.csv", f"v\n{10**400}\n")["v"].tolist() == [10**400]


@pytest.mark.parametrize("index_col", [0, "id", ["id", "b"], [0]])
def test_whole_numbers_with_gaps_in_an_index_keep_every_digit(index_col: Any) -> None:
    frame = opened("a.csv", "id,b,c\n9007199254740993,1,2\n,2,3\n", index_col=index_col)
    ids = frame.index.get_level_values("id")
    assert (ids[0], str(ids.dtype), frame["c"].tolist()) == (9007199254740993, "Int64", [2, 3])
    assert list(frame.index.names) == (["id", "b"] if index_col == ["id", "b"] else ["id"])
    small = opened("a.csv", "id,b,c\n900,1,2\n,2,3\n", index_col=index_col)
    assert str(small.index.get_level_values("id").dtype) == "float64", "others are as by pandas"
    without_name = opened("a.csv", ",b\n9007199254740993,1\n,2\n", index_col=0)
    assert (without_name.index[0], without_name.index.name) == (9007199254740993, None)


def test_the_warning_shows_the_line_that_opened_the_file() -> None:
    with pytest.warns(InexactWarning) as shown:
        opened("a.csv", "a;b\n1;2\n")
    assert shown[0].filename.endswith("opening.py")


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1," + "x" * 200_000 + "\n",
        "x" * 200_000 + ",b\n1,2\n",
        'a,"b\nc"\n1,"x\ny"\n',
        "\n\na,b\r\n1,2\r\n",
        "a,b\n1\n",
        ",a\n0,1\n",
        "a,b,\n1,2,\n",
        "a,a,b\n1,2,3\n",
        "a,b\n1,NA\n2,\n",
        "a",
    ],
)
def test_a_regular_table_is_as_by_pandas(content: str) -> None:
    frame = opened("a.csv", content)
    plain = pandas.read_csv(io.StringIO(content))
    assert list(frame) == list(plain)
    assert frame.equals(plain)


RECORDS = '[{"a": 1, "b": 2}, {"a": 3, "b": 4}]'


@pytest.mark.parametrize(
    ("name", "opener"),
    [("a.json", "json"), ("a.h5", "h5py"), ("a.PNG", "pil"), ("a.npz", "numpy"), ("a.yml", "yaml"), ("a.nc", "xarray")],
)
@pytest.mark.parametrize("options", [{}, {"orient": "records"}])
def test_a_suffix_of_another_opener_names_it(name: str, opener: str, options: dict[str, Any]) -> None:
    with pytest.raises(UnreadableContent, match=f"{name} is opened by '{opener}', .*; leave open_with out"):
        opened(name, RECORDS, "pandas", **options)


@pytest.mark.parametrize("name", ["a", "a.dat", "a.txt", "a.csv"])
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (RECORDS, r'is no csv but JSON, which open_with="json" opens'),
        ("\n [1, 2, 3]\n", "is no csv but JSON"),
        (json.dumps([{"name": "x" * 90, "n": n} for n in range(12_000)]), "is no csv but JSON"),
        (RECORDS[1:17] + "\n" + RECORDS[1:17], "is JSON lines and no csv; under a name that ends in .jsonl"),
        (
            b"\x89HDF\r\n\x1a\n\0\0\0",
            r"has zero bytes, as no text in utf-8 has; give its encoding .*, or open_with=\"file\"",
        ),
        (b"CDF\1\0\0\0\0", "has zero bytes"),
        ("a,b\n1,2\n".encode("utf-16-le"), "has zero bytes"),
    ],
)
def test_json_and_binary_content_are_not_read_as_csv(name: str, content: bytes | str, sentence: str) -> None:
    with pytest.raises(UnreadableContent, match=f"{name} .*{sentence}"):
        opened(name, content, "pandas")
    if isinstance(content, str):
        with pytest.raises(UnreadableContent, match=sentence):
            opened(name, content, "pandas", encoding="utf-8", usecols=["a"])


def test_a_packed_json_is_no_csv() -> None:
    with pytest.raises(UnreadableContent, match=r"a\.json\.gz is no csv but JSON, .*the packed bytes"):
        opened("a.json.gz", gzip.compress(RECORDS.encode()), "pandas")


@pytest.mark.parametrize("name", ["a", "a.dat", "a.txt"])
@pytest.mark.parametrize("header", ["a,b", "[1],{}", "{a},[b", '"[1, 2]",b', "[[1],b", "[" * 5000 + ",b"])
def test_a_csv_under_an_unknown_suffix_is_a_table(name: str, header: str) -> None:
    assert opened(name, f"{header}\n1,2\n", "pandas").to_numpy().tolist() == [[1, 2]]
    text = f"{header}\n1,2\n".encode("utf-16-le")
    assert opened(name, text, "pandas", encoding="utf-16-le").to_numpy().tolist() == [[1, 2]]


@pytest.mark.parametrize("content", ["# by hand\n# again\na,b\n1,2\n", "\ufeff# by hand\na,b,c\n1,2,3\n"])
def test_rows_below_a_comment_name_the_option(content: str) -> None:
    with pytest.raises(UnreadableContent, match='and its header 1; give comment="#" if lines that begin so are'):
        opened("a.csv", content)
    assert opened("a.csv", content, comment="#")["a"].tolist() == [1]


@pytest.mark.parametrize(
    "content", ["# by hand\na\n1\n", "# a, b, c\na,b\n1,2\n", "# by, hand\n# on, monday\na,b\n1,2\n"]
)
def test_a_comment_that_became_the_header_gives_a_warning(content: str) -> None:
    with pytest.warns(InexactWarning, match="the first line of a.csv begins with '#'.*give comment=\"#\""):
        opened("a.csv", content)


@pytest.mark.parametrize("content", ["#,plate\n1,2\n", "#a,b\n1,2\n", "#\n1\n", "# a,b\n1,2\n", "#a\n"])
def test_a_name_of_a_column_can_begin_with_a_number_sign(content: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert opened("a.csv", content).columns[0].startswith("#")
