"""Options of `open`: they reach the opener, and what it does not list is refused by a sentence."""

from __future__ import annotations

import io
from typing import Any

import pandas
import pytest

from edge_core.errors import BadEntry
from edge_vfs import openers
from edge_vfs.file import File
from edge_vfs.openers import UnreadableContent

from .opening import opened

SEMICOLONS = "Probe;Wert\nÄ1;0,5\n"


def test_options_of_a_csv_reach_pandas() -> None:
    frame = opened("semi.csv", SEMICOLONS.encode("latin-1"), sep=";", encoding="latin-1", decimal=",")
    assert frame.to_dict("list") == {"Probe": ["Ä1"], "Wert": [0.5]}
    frame = opened("ids.csv", "id,note\n007,NA\n", dtype={"id": str}, keep_default_na=False, usecols=["id", "note"])
    assert frame.to_dict("list") == {"id": ["007"], "note": ["NA"]}
    frame = opened("no_header.csv", "1,2\n3,4\n", header=None)
    assert frame.to_numpy().tolist() == [[1, 2], [3, 4]]
    assert opened("named.csv", "1,2\n", names=["a", "b"]).to_dict("list") == {"a": [1], "b": [2]}
    assert opened("rows.csv", "# by hand\nx\n1\n2\n", comment="#", nrows=1)["x"].tolist() == [1]
    assert opened("fixed.csv", "a  b\n1   2\n", sep=r"\s+").to_dict("list") == {"a": [1], "b": [2]}
    assert opened("two.csv", "a::b\n1::2\n", sep="::").to_dict("list") == {"a": [1], "b": [2]}
    assert opened("names.csv", "n,v\nr1,2\n", index_col="n").loc["r1", "v"] == 2


def test_options_of_sheets_columns_and_lines_reach_their_readers() -> None:
    book = io.BytesIO()
    with pandas.ExcelWriter(book, engine="openpyxl") as writer:
        pandas.DataFrame({"a": [1]}).to_excel(writer, sheet_name="first", index=False)
        pandas.DataFrame({"b": [2]}).to_excel(writer, sheet_name="second", index=False)
    assert opened("a.xlsx", book.getvalue(), sheet_name="second").to_dict("list") == {"b": [2]}
    table = io.BytesIO()
    pandas.DataFrame({"a": [1, 2], "b": [3, 4]}).to_parquet(table)
    frame = opened("a.parquet", table.getvalue(), columns=["b"], filters=[("a", ">", 1)])
    assert frame.to_dict("list") == {"b": [4]}
    frame = opened("a.jsonl", '{"a":1,"b":2}\n{"a":3}\n', usecols=["a"], nrows=1, dtype={"a": "int8"})
    assert (frame.to_dict("list"), str(frame["a"].dtype)) == ({"a": [1]}, "int8")
    assert opened("a.txt", "grün".encode("latin-1"), encoding="latin-1") == "grün"
    assert opened("a.json", '{"price": 0.10}', parse_float=str) == {"price": "0.10"}


@pytest.mark.parametrize(
    ("name", "open_with", "option", "offers"),
    [
        ("a.csv", None, "storage_options", "sep"),
        ("a.csv", None, "filepath_or_buffer", "sep"),
        ("a.csv", None, "engine", "sep"),
        ("a.csv", None, "open_with_", "sep"),
        ("a.csv", None, "sheet_name", "encoding"),
        ("a.xlsx", None, "sep", "sheet_name"),
        ("a.xlsx", None, "engine_kwargs", "sheet_name"),
        ("a.parquet", None, "filesystem", "columns, dtype_backend, filters, max_unpacked_size"),
        ("a.parquet", None, "engine", "columns"),
        ("a.jsonl", None, "storage_options", "nrows"),
        ("a.npy", None, "allow_pickle", "leave it out"),
        ("a.npy", None, "mmap_mode", "leave it out"),
        ("a.png", None, "formats", "leave it out"),
        ("a.png", "imageio", "plugin", "index"),
        ("a.json", None, "cls", "parse_float"),
        ("a.json", None, "object_hook", "parse_float"),
    ],
)
def test_an_option_that_is_not_listed_is_refused_and_the_others_are_named(
    name: str, open_with: str | None, option: str, offers: str
) -> None:
    with pytest.raises(BadEntry, match=f"does not take the option {option} for it; .*{offers}") as raised:
        opened(name, b"", open_with, **{option: "x"})
    assert name in str(raised.value)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.txt"])
def test_a_text_in_another_encoding_names_the_option(name: str) -> None:
    content = ('{"größe":1}\n' if name == "a.jsonl" else "größe\n1\n").encode("latin-1")
    with pytest.raises(
        UnreadableContent, match=f"{name} is not a text in utf-8; give its encoding, such as encoding='latin-1'"
    ):
        opened(name, content)
    opened(name, content, encoding="latin-1")


def test_a_table_without_a_suffix_in_another_encoding_names_the_option() -> None:
    with pytest.raises(UnreadableContent, match="give its encoding"):
        opened("table", "größe\n1\n".encode("latin-1"), "pandas")
    assert list(opened("table", "größe\n1\n".encode("latin-1"), "pandas", encoding="latin-1")) == ["größe"]


def test_a_file_takes_no_options() -> None:
    for name, open_with in (("a.csv", "file"), ("a.xyz", None)):
        with pytest.raises(BadEntry, match=r"opened as a File, which takes no options \(sep\)"):
            opened(name, b"", open_with, sep=";")


def test_an_opener_whose_open_takes_the_file_alone_goes_on_and_refuses_options(monkeypatch: Any) -> None:
    class Lines:
        suffixes = (".fasta",)

        def open(self, file: File) -> Any:
            return file.read().split()

    monkeypatch.setattr(openers, "choose", lambda file, open_with: Lines())
    assert opened("a.fasta", b">a >b") == [b">a", b">b"]
    with pytest.raises(BadEntry, match="opened by Lines, which does not take the option sep for it; leave it out"):
        opened("a.fasta", b">a >b", sep=";")


def test_an_opener_lists_its_options(monkeypatch: Any) -> None:
    class Lines:
        suffixes = (".fasta",)

        def options(self, file: File) -> Any:
            return {"start"}

        def open(self, file: File, start: bytes = b">") -> Any:
            return file.read().split(start)

    monkeypatch.setattr(openers, "choose", lambda file, open_with: Lines())
    assert opened("a.fasta", b"@a@b", start=b"@") == [b"", b"a", b"b"]
    with pytest.raises(BadEntry, match="use only start"):
        opened("a.fasta", b"@a@b", begin=b"@")


def test_nothing_that_pickles_has_an_opener() -> None:
    for name in ("a.pkl", "a.pickle", "a.joblib", "a.dill", "a.pt", "a.pkl.gz"):
        assert isinstance(opened(name, b"cos\nsystem\n"), File)


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.csv", "a,b\n1,2\n", {"usecols": ["zzz"]}),
        ("a.csv", "a,b\n1,2\n", {"dtype": {"a": "nope"}, "sep": ","}),
        ("a.csv", "a,b\nx,2\n", {"dtype": int}),
        ("a.csv", "a,b\n1,2\n", {"encoding": "nope"}),
        ("a.jsonl", '{"a": 1}\n', {"nrows": "x"}),
        ("a.txt", "x", {"encoding": "nope"}),
        ("a.json", "1.5", {"parse_float": 3}),
        ("a.yaml", "x", {"document": "x"}),
    ],
)
def test_an_option_that_does_not_fit_is_named(name: str, content: str, options: dict[str, Any]) -> None:
    named = f"the option {next(iter(options))}" if len(options) == 1 else f"the options {', '.join(options)}"
    with pytest.raises(UnreadableContent, match=rf"{name} could not be opened by \w+ with {named} \(") as raised:
        opened(name, content, **options)
    assert str(raised.value).endswith("; change what you gave, or leave it out")
