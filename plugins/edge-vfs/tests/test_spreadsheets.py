"""Spreadsheets: cells keep their types, the sheet is the one that people see, and sizes are looked at first."""

from __future__ import annotations

import datetime as dt
import io
import warnings
import zipfile
from typing import Any

import openpyxl
import pytest
from odf.opendocument import OpenDocumentSpreadsheet
from odf.table import Table, TableCell, TableRow
from odf.text import P

from edge_vfs.openers import InexactWarning, UnreadableContent

from .opening import opened


def saved(book: Any) -> bytes:
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def xlsx(*rows: list[Any]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    return saved(book)


@pytest.mark.parametrize(
    ("cells", "values", "dtype"),
    [
        (["007", "1e5"], ["007", "1e5"], "str"),
        (["NA", "None"], ["NA", "None"], "str"),
        (["007", None], ["007", None], "str"),
        (["TRUE", "x"], ["TRUE", "x"], "str"),
        (["2024-01-02", "x"], ["2024-01-02", "x"], "str"),
        ([True, None], [True, None], "object"),
        ([True, False], [True, False], "bool"),
        ([True, 1], [True, 1], "object"),
        ([1, 2], [1, 2], "int64"),
        ([1, None], [1.0, None], "float64"),
        ([1, 2.5], [1.0, 2.5], "float64"),
        ([1, "1"], [1, "1"], "object"),
    ],
)
def test_cells_keep_their_types(cells: list[Any], values: list[Any], dtype: str) -> None:
    frame = opened("a.xlsx", xlsx(["v", "other"], *([cell, "x"] for cell in cells)))
    assert str(frame["v"].dtype) == dtype
    here = [None if gap else value for value, gap in zip(frame["v"].tolist(), frame["v"].isna(), strict=True)]
    assert here == values
    assert [type(value) for value in here] == [type(value) for value in values]


def test_times_and_durations() -> None:
    when, long = dt.datetime(2024, 1, 2, 3, 4, 5), dt.timedelta(hours=30)
    frame = opened("a.xlsx", xlsx(["when", "long", "noon", "n"], [when, long, dt.time(12), 1], [None, None, None, 2]))
    assert (frame["when"][0], frame["long"][0], frame["noon"][0]) == (when, long, dt.time(12))
    assert frame.isna().sum().tolist() == [1, 1, 1, 0]
    assert [kind.kind for kind in frame.dtypes] == ["M", "m", "O", "i"]


def test_an_open_document_of_another_language() -> None:
    table = Table(name="Tabelle1")
    for cells in (
        [TableCell(valuetype="string")],
        [TableCell(valuetype="boolean", booleanvalue="true")],
        [TableCell(valuetype="boolean", booleanvalue="false")],
    ):
        row = TableRow()
        for cell in cells:
            cell.addElement(P(text={"string": "v", "true": "WAHR"}.get(cell.getAttribute("valuetype"), "WAHR")))
            row.addElement(cell)
        table.addElement(row)
    book = OpenDocumentSpreadsheet()
    book.spreadsheet.addElement(table)
    frame = opened("a.ods", saved(book))
    assert frame["v"].tolist() == [True, False]


def test_an_error_that_an_open_document_writes_as_a_number_warns() -> None:
    table = Table(name="T")
    for kind, value in (("string", "v"), ("float", 5), ("float", 0)):
        row = TableRow()
        cell = TableCell(valuetype=kind) if kind == "string" else TableCell(valuetype=kind, value=value)
        cell.addElement(P(text=str(value)))
        row.addElement(cell)
        table.addElement(row)
    book = OpenDocumentSpreadsheet()
    book.spreadsheet.addElement(table)
    marked = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(book))) as source, zipfile.ZipFile(marked, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, content.replace(b'office:value="0"', b'office:value="0" calcext:value-type="error"'))
    with pytest.warns(InexactWarning, match=r"a\.ods has 1 cells with an error such as #N/A"):
        assert opened("a.ods", marked.getvalue())["v"].tolist() == [5, 0]


def test_options_that_convert() -> None:
    content = xlsx(["id", "n"], ["007", "1.000"], ["NA", "2"])
    assert opened("a.xlsx", content, thousands=".")["n"].tolist() == [1000, 2]
    assert opened("a.xlsx", content, keep_default_na=True)["id"].isna().tolist() == [False, True]
    assert opened("a.xlsx", xlsx(["id"], [7]), dtype={"id": str})["id"].tolist() == ["7"]
    assert opened("a.xlsx", content, index_col=0).loc["007", "n"] == "1.000"
    assert list(opened("a.xlsx", content, usecols="B")) == ["n"]
    assert opened("a.xlsx", content, header=None).shape == (3, 2)


def several() -> bytes:
    book = openpyxl.Workbook()
    book.active.title = "hidden"
    book.active.sheet_state = "hidden"
    book.active.append(["secret"])
    for name in ("first", "second"):
        book.create_sheet(name).append([name])
    book.create_chartsheet("chart", 0)
    return saved(book)


def test_the_first_visible_worksheet_comes_with_a_warning_about_the_others() -> None:
    with pytest.warns(
        InexactWarning, match="has 2 worksheets, and 'first' was opened; sheet_name= opens another of 'sec"
    ):
        assert list(opened("a.xlsx", several())) == ["first"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(opened("a.xlsx", several(), sheet_name="hidden")) == ["secret"]
        assert list(opened("a.xlsx", several(), sheet_name=2)) == ["second"]
        assert list(opened("a.xlsx", several(), sheet_name=["first", "second"])) == ["first", "second"]
        opened("a.xlsx", xlsx(["a"]))
    for wrong in ("third", "chart", 3):
        with pytest.raises(UnreadableContent, match="use one of .*hidden.*first.*second"):
            opened("a.xlsx", several(), sheet_name=wrong)


def test_what_is_encrypted_or_not_a_spreadsheet_is_a_sentence() -> None:
    encrypted = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le") + bytes(600)
    for name in ("a.xlsx", "a.xlsm"):
        with pytest.raises(UnreadableContent, match=f"{name} is encrypted; save it without a password"):
            opened(name, encrypted)
    with pytest.raises(UnreadableContent, match=r'a\.xlsx is not a spreadsheet .* open_with="text" shows its text'):
        opened("a.xlsx", "a,b\n1,2\n")
    assert opened("a.xlsx", "a,b\n1,2\n", "text") == "a,b\n1,2\n"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("a.txt", "text")
    with pytest.raises(UnreadableContent, match=r'a\.ods is not a spreadsheet .*; open_with="file"'):
        opened("a.ods", archive.getvalue())


def test_a_small_file_that_spans_the_whole_sheet_is_refused_before_it_is_read() -> None:
    book = openpyxl.Workbook()
    book.active["A1"], book.active["XFD1048576"] = 1, 2
    with pytest.raises(
        UnreadableContent, match="spans 17179869184 cells, of which 2 hold something; max_cells=17179869184"
    ):
        opened("a.xlsx", saved(book))
    book = openpyxl.Workbook()
    book.active["A1"], book.active["CV300"] = "a", 2
    with pytest.raises(UnreadableContent, match="max_cells=30000 opens it"):
        opened("a.xlsx", saved(book), max_cells=20_000)
    assert opened("a.xlsx", saved(book), max_cells=30_000).shape == (299, 100)


def test_a_workbook_that_unpacks_to_more_than_the_limit_is_refused() -> None:
    content = xlsx(*([1] * 50 for _ in range(200)))
    with pytest.raises(
        UnreadableContent, match=r"unpacks to \d+ bytes, more than 100000; max_unpacked_size=\d+ opens it"
    ):
        opened("a.xlsx", content, max_unpacked_size=100_000)
    assert opened("a.xlsx", content, max_unpacked_size=10_000_000).shape == (199, 50)
