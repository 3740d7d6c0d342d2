"""Spreadsheets: cells keep their types, the sheet is the one that people see, and sizes are looked at first."""

from __future__ import annotations

import datetime as dt
import io
import pathlib
import struct
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
from .workbooks import TABLE_CELL, ods, office, repeated, with_size, xlsb, zipped


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
    with pytest.warns(InexactWarning, match=r"a\.ods has 1 cell with an error such as #N/A"):
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
        sheets = opened("a.xlsx", several(), sheet_name=None)
        columns = {name: list(sheet) for name, sheet in sheets.items()}
        assert columns == {"hidden": ["secret"], "first": ["first"], "second": ["second"]}
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


ROW = '<row r="1"><c r="A1" t="s"><v>0</v></c></row>'
LONG = office(ROW, strings="<si><t>" + "x" * 500_000 + "</t></si>")


@pytest.mark.parametrize("summed", [200, 201])
def test_a_workbook_that_unpacks_to_more_than_its_archive_says_is_refused(summed: int) -> None:
    assert len(opened("a.xlsx", LONG).columns[0]) == 500_000
    hidden = with_size(LONG, "xl/sharedStrings.xml", 200, summed)
    with pytest.raises(UnreadableContent, match=r"BadZipFile: .*xl/sharedStrings\.xml"):
        opened("a.xlsx", hidden, max_unpacked_size=100_000)


@pytest.mark.parametrize("before", [b"", b"\xd0\xcf\x11\xe0" + bytes(600), b"text"], ids=["nothing", "xls", "text"])
@pytest.mark.parametrize(
    "behind", [b"", b"PK\5\6" + b"\xff" * 17, b"PK\5\6" + bytes(18)], ids=["nothing", "cut", "empty"]
)
def test_the_archive_that_is_read_is_what_was_looked_at(before: bytes, behind: bytes) -> None:
    content = before + LONG + behind
    with pytest.raises(UnreadableContent, match="is not a spreadsheet|unpacks to"):
        opened("a.xlsx", content, max_unpacked_size=100_000)


def test_the_extent_of_a_sheet_is_looked_at_whatever_the_name_of_its_part() -> None:
    far = office('<row r="1"><c r="A1"><v>1</v></c></row>', '<row r="300"><c r="CV300"><v>1</v></c></row>')
    with zipfile.ZipFile(io.BytesIO(far)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["xl/sheet.txt"] = parts.pop("xl/worksheet.xml")
    related = "xl/_rels/workbook.xml.rels"
    parts[related] = parts[related].replace(b"worksheet.xml", b"sheet.txt")
    with pytest.raises(UnreadableContent, match="spans 30000 cells"):
        opened("a.xlsx", zipped(dict(parts)), max_cells=20_000)


def test_a_workbook_that_unpacks_to_more_than_the_limit_is_refused() -> None:
    content = xlsx(*([1] * 50 for _ in range(200)))
    with pytest.raises(
        UnreadableContent, match=r"unpacks to \d+ bytes, more than 100000; max_unpacked_size=\d+ opens it"
    ):
        opened("a.xlsx", content, max_unpacked_size=100_000)
    assert opened("a.xlsx", content, max_unpacked_size=10_000_000).shape == (199, 50)


HEADER = '<row r="1"><c r="A1" t="inlineStr"><is><t>v</t></is></c><c r="B1" t="inlineStr"><is><t>n</t></is></c></row>'


def column(*cells: str, **parts: str) -> Any:
    """The column with these cells, which have no place of their own."""
    placed = [cell.replace("<c", f'<c r="A{n}"', 1) for n, cell in enumerate(cells, 2)]
    rows = (f'<row r="{n}">{cell}<c r="B{n}"><v>1</v></c></row>' for n, cell in enumerate(placed, 2))
    return opened("a.xlsx", office(HEADER, *rows, **parts))["v"]


@pytest.mark.parametrize(
    ("cells", "parts", "values"),
    [
        (['<c s="1"><v>1</v></c>'], {"book": 'date1904="1"'}, [dt.datetime(1904, 1, 2)]),
        (['<c s="1"><v>1</v></c>', '<c s="1"><v>61</v></c>'], {}, [dt.datetime(1900, 1, 1), dt.datetime(1900, 3, 1)]),
        (
            ['<c t="d"><v>2024-01-02T03:04:05</v></c>', '<c t="d"><v>2024-01-02</v></c>'],
            {},
            [dt.datetime(2024, 1, 2, 3, 4, 5), dt.datetime(2024, 1, 2)],
        ),
        (['<c s="2"><v>0.5</v></c>'], {}, [0.5]),
        (['<c s="3"><v>1.5</v></c>'], {}, [dt.timedelta(hours=36)]),
        (
            ['<c t="s"><v>0</v></c>'],
            {"strings": "<si><r><t>ab</t></r><r><rPr><b/></rPr><t xml:space='preserve'> cd</t></r></si>"},
            ["ab cd"],
        ),
        (['<c t="s"><v>0</v></c>'], {"strings": "<si><t>x</t><rPh sb='0' eb='1'><t>phonetic</t></rPh></si>"}, ["x"]),
        (['<c t="str"><f>"0"</f><v>007</v></c>', '<c t="str"><f>""</f><v></v></c>'], {}, ["007", None]),
        (['<c t="b"><f>1=1</f><v>1</v></c>'], {}, [True]),
        (["<c><v>9007199254740992</v></c>"], {}, [2**53]),
    ],
)
def test_cells_of_office_are_exact_without_a_warning(
    cells: list[str], parts: dict[str, str], values: list[Any]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exact = column(*cells, **parts)
    assert [None if gap else value for value, gap in zip(exact, exact.isna(), strict=True)] == values


def test_merged_cells_have_their_value_once() -> None:
    book = openpyxl.Workbook()
    for row in (["v", "n"], [1, 2], [None, 3]):
        book.active.append(row)
    book.active.merge_cells("A2:A3")
    assert opened("a.xlsx", saved(book))["v"].isna().tolist() == [False, True]


@pytest.mark.parametrize("cell", ['<c t="e"><v>#N/A</v></c>', '<c t="e"><f>1/0</f><v>#DIV/0!</v></c>'])
def test_cells_with_an_error_warn(cell: str) -> None:
    with pytest.warns(
        InexactWarning, match=r"the sheet 'S' of a\.xlsx has 2 cells with an error such as #N/A, read as missing"
    ):
        assert column(cell, cell, "<c><v>5</v></c>").isna().tolist() == [True, True, False]


@pytest.mark.parametrize("cell", ["<c><f>1+1</f><v></v></c>", "<c><f>1+1</f></c>", '<c><f t="shared" si="0"/><v/></c>'])
def test_formulas_without_a_result_warn(cell: str) -> None:
    with pytest.warns(
        InexactWarning, match=r"the sheet 'S' of a\.xlsx has 1 formula without a result, .* save it in a"
    ):
        assert column(cell, "<c><f>2</f><v>2</v></c>").isna().tolist() == [True, False]
    book = openpyxl.Workbook()
    book.active.append(["v"])
    book.active.append(["=1+1"])
    with pytest.warns(InexactWarning, match="has 1 formula without a result"):
        opened("a.xlsx", saved(book))


def test_whole_numbers_that_floats_do_not_hold_warn() -> None:
    with pytest.warns(
        InexactWarning, match="has 1 whole number with more digits than spreadsheets keep, such as 90071"
    ):
        column("<c><v>9007199254740993</v></c>", "<c><v>9007199254740994</v></c>")
    cell = TABLE_CELL.replace("1", "9007199254740993")
    with pytest.warns(InexactWarning, match="has 2 whole numbers with more digits"):
        opened("a.ods", ods(f"<table:table-row>{cell}</table:table-row>" * 2))


def test_only_the_sheet_that_is_opened_warns() -> None:
    book = openpyxl.Workbook()
    book.active.append(["v"])
    book.create_sheet("other & <more>").append(["=1+1"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened("a.xlsx", saved(book), sheet_name=0)
    with pytest.warns(InexactWarning, match="the sheet 'other & <more>' of"):
        opened("a.xlsx", saved(book), sheet_name=["Sheet", "other & <more>"], header=None)


def test_a_small_open_document_that_spans_much_is_refused_before_it_is_read() -> None:
    row = f"<table:table-row>{TABLE_CELL}</table:table-row>"
    blank_rows = f"<table:table-row {repeated('rows', 99998)}><table:table-cell/></table:table-row>"
    last = f"<table:table-row><table:table-cell {repeated('columns', 999)}/>{TABLE_CELL}</table:table-row>"
    with pytest.raises(
        UnreadableContent, match="spans 100000000 cells, of which 2 hold something; max_cells=100000000"
    ):
        opened("a.ods", ods(row + blank_rows + last))
    full = TABLE_CELL.replace(" ", f" {repeated('columns', 20000)} ", 1)
    many = f"<table:table-row {repeated('rows', 9999999)}>{full}</table:table-row>"
    with pytest.raises(UnreadableContent, match="spans 199999980000 cells, of which 1 hold something"):
        opened("a.ods", ods(many))
    with pytest.raises(UnreadableContent, match="spans 199999980000 cells"):
        opened("a.odt", ods(many))
    blank_cells = f"<table:table-cell {repeated('columns', 16384)}/>"
    blank = f"<table:table-row {repeated('rows', 1048576)}>{blank_cells}</table:table-row>"
    assert opened("a.ods", ods(row + row + blank)).shape == (1, 1), "blank cells at the end are not read"
    assert opened("a.ods", ods(row + row.replace("row>", f"row {repeated('rows', 30)}>", 1))).shape == (30, 1)


def test_an_xlsb_that_spans_much_is_refused_and_its_errors_warn() -> None:
    with pytest.raises(UnreadableContent, match="spans 17179869184 cells, of which 4 hold something"):
        opened("a.xlsb", xlsb(1048575, 16382))
    with pytest.warns(InexactWarning, match=r"the sheet 'S' of a\.xlsb has 2 cells with an error"):
        assert opened("a.xlsb", xlsb(2, 1), header=None).shape == (3, 3)


@pytest.mark.parametrize(
    "rows",
    [
        "<row r='1'><c r='A1'><v>1</v></c></row><row r='1048576'><c r='XFD1048576'><v>1</v></c></row>",
        '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576">' + "<c><v>1</v></c>" * 1000 + "</row>",
    ],
)
def test_other_spellings_of_a_place_are_looked_at(rows: str) -> None:
    with pytest.raises(UnreadableContent, match="cells, of which .* hold something"):
        opened("a.xlsx", office(rows))
    formatted = '<row r="1048576" ht="20"/>'
    assert opened("a.xlsx", office(HEADER, '<row r="2"><c r="A2"><v>1</v></c></row>', formatted)).shape == (1, 2)


def test_encrypted_files_of_each_format_say_so() -> None:
    ooxml = (pathlib.Path(__file__).parent / "encrypted.xlsx").read_bytes()
    entry = '<manifest:file-entry manifest:full-path="content.xml"><manifest:encryption-data/></manifest:file-entry>'
    sector = struct.pack("<HHHHHHII", 0x809, 16, 0x600, 5, 0, 0, 0, 6) + struct.pack("<HH", 0x2F, 54) + bytes(54)
    xls = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".ljust(512, b"\0") + sector.ljust(4096, b"\0")
    for name, content in (("a.xlsx", ooxml), ("a.xlsm", ooxml), ("a.ods", ods("", entry)), ("a.xls", xls)):
        with pytest.raises(UnreadableContent, match=f"{name} is encrypted; save it without a password"):
            opened(name, content)
