"""Text tables: what spreadsheets, instruments and databases export as csv and tsv."""

from __future__ import annotations

from collections.abc import Iterator

from .cases import Case

ID = 1234567890123456789


def cases() -> Iterator[Case]:
    yield from _encodings()
    yield from _shapes()
    yield from _numbers()
    yield from _texts()


def _encodings() -> Iterator[Case]:
    table = {"größe": [1, 2], "µ": ["ä", "β"]}
    text = "größe,µ\n1,ä\n2,β\n"
    yield Case("utf8.csv", text, "no mark, UTF-8", table)
    yield Case("mark.csv", "\ufeff" + text, "the mark that Excel writes", table)
    yield Case("mark_quoted.csv", '\ufeff"größe",µ\n1,ä\n2,β\n', "a mark before a quote", table)
    yield Case("utf16.csv", text.encode("utf-16"), "Excel's 'Unicode text'", table)
    yield Case("utf16be.csv", ("\ufeff" + text).encode("utf-16-be"), "big-endian UTF-16", table)
    yield Case("utf32.csv", text.encode("utf-32"), "UTF-32", table)
    yield Case("utf16.tsv", text.replace(",", "\t").encode("utf-16"), "UTF-16 with tabs", table)
    yield Case(
        "utf16_no_mark.csv",
        text.encode("utf-16-le"),
        "UTF-16 without a mark is not known",
        error="give its encoding|not a text",
    )
    yield Case("latin1.csv", "größe\n1\n".encode("latin-1"), "Latin-1 states nothing", error="encoding='latin-1'")
    yield Case(
        "latin1_named.csv",
        "größe\n1\n".encode("latin-1"),
        "the encoding given",
        {"größe": [1]},
        options={"encoding": "latin-1"},
    )
    yield Case(
        "late_latin1.csv",
        b"a\n" + b"plain\n" * 40_000 + b"gr\xfcn\n",
        "another encoding far down",
        error="encoding='latin-1'",
    )
    yield Case("crlf.csv", "a,b\r\n1,x\r\n2,y\r\n", "Windows line ends", {"a": [1, 2], "b": ["x", "y"]})
    yield Case("cr.csv", "a,b\r1,x\r2,y\r", "line ends of old Macintoshes", {"a": [1, 2], "b": ["x", "y"]})
    yield Case("no_last_line_end.csv", "a,b\n1,x", "no line end at the end", {"a": [1], "b": ["x"]})
    yield Case("line_separator.csv", "a,b\n1,x\u2028y\n", "U+2028 is no line end", {"a": [1], "b": ["x\u2028y"]})
    yield Case("nul.csv", "a,b\n1,x\0y\n", "a NUL byte in a cell", {"a": [1], "b": ["x\0y"]})


def _shapes() -> Iterator[Case]:
    yield Case(
        "quoted_line_ends.csv",
        'id,note\n1,"two\nlines, and a ""quote"""\n2,"\r\n"\n',
        "line ends, commas and quotes within quotes",
        {"id": [1, 2], "note": ['two\nlines, and a "quote"', "\r\n"]},
    )
    yield Case(
        "trailing_comma.csv",
        "Sample,Value\nA,1,\nB,2,\n",
        "a comma after each row, none in the header",
        {"Sample": ["A", "B"], "Value": [1, 2]},
    )
    yield Case(
        "trailing_comma_too.csv",
        "Sample,Value,\nA,1,\n",
        "a comma after the header as well",
        {"Sample": ["A"], "Value": [1], "Unnamed: 2": [None]},
    )
    yield Case(
        "long_row.csv", "a,b\n1,2\n3,4,5\n", "a row longer than the header", error="row 3 of .* has 3 cells.*header 2"
    )
    yield Case(
        "long_first_row.csv", "a,b\nx,1,2\ny,3,4\n", "all rows longer than the header", error="row 2 .*index_col=0"
    )
    yield Case(
        "row_names.csv",
        "a,b\nx,1,2\ny,3,4\n",
        "row names without a header, as R writes them",
        {"index": ["x", "y"], "a": [1, 3], "b": [2, 4]},
        options={"index_col": 0},
    )
    yield Case("short_row.csv", "a,b\n1\n3,4\n", "a row shorter than the header", {"a": [1, 3], "b": [None, 4.0]})
    yield Case("blank_lines.csv", "a,b\n\n1,2\n\n\n", "blank lines", {"a": [1], "b": [2]})
    yield Case("only_header.csv", "a,b\n", "a header alone", {"a": [], "b": []})
    yield Case("same_names.csv", "v,v,v\n1,2,3\n", "a name three times", {"v": [1], "v.1": [2], "v.2": [3]})
    yield Case("taken_names.csv", "v,v.1,v\n1,2,3\n", "the second name is taken", {"v": [1], "v.1": [2], "v.2": [3]})
    yield Case("blank_name.csv", ",v\n1,2\n", "a column without a name", {"Unnamed: 0": [1], "v": [2]})
    yield Case(
        "semicolons.csv", "Probe;Wert\nA1;3\nA2;4\n", "semicolons", {"Probe;Wert": ["A1;3", "A2;4"]}, warns="sep=';'"
    )
    yield Case("german.csv", "Probe;Wert\nA1;0,5\nA2;1.234,5\n", "semicolons, decimal commas", error="give sep=';' if")
    yield Case(
        "german_named.csv",
        "Probe;Wert\nA1;0,5\nA2;1.234,5\n",
        "the same with its options",
        {"Probe": ["A1", "A2"], "Wert": [0.5, 1234.5]},
        options={"sep": ";", "decimal": ",", "thousands": "."},
    )
    yield Case("tabs.csv", "a\tb\n1\tx\n", "tabs in a csv", {"a\tb": ["1\tx"]}, warns=r"sep='\\t'")
    yield Case("commas.tsv", "a,b\n1,x\n", "commas in a tsv", {"a,b": ["1,x"]}, warns="sep=','")
    yield Case("plate.tab", "well\tod\nA01\t0.25\n", "the suffix tab", {"well": ["A01"], "od": [0.25]})
    yield Case("PLATE.CSV", "well,od\nA01,0.25\n", "an upper-case suffix", {"well": ["A01"], "od": [0.25]})
    yield Case("plate.2024.v2.csv", "well,od\nA01,0.25\n", "dots in the name", {"well": ["A01"], "od": [0.25]})
    yield Case(
        "preamble.csv",
        "# by hand\n# 2024\nwell,od\nA01,0.25\n",
        "lines before the header",
        error="row 3 of .* has 2 cells and its header 1",
    )
    yield Case(
        "preamble_named.csv",
        "# by hand\nwell,od\nA01,0.25\n",
        "lines before the header, named",
        {"well": ["A01"], "od": [0.25]},
        options={"comment": "#"},
    )
    yield Case("open_quote.csv", 'a,b\n1,"x\n2,y\n', "a quote that is never closed", error='open_with="file"')
    yield Case("empty.csv", "", "no content", error="is empty|No columns")
    yield Case("empty.tsv", "", "no content", error="is empty|No columns")
    yield Case("empty.tab", "", "no content", error="is empty|No columns")
    yield Case("only_mark.csv", "\ufeff", "a byte-order mark alone", error="is empty|No columns")
    yield Case("spaces.csv", "a, b\n1, x\n", "blanks after commas are kept", {"a": [1], " b": [" x"]})


def _numbers() -> Iterator[Case]:
    yield Case("ids.csv", f"id\n{ID}\n{ID + 2}\n", "ids of 19 digits", {"id": [ID, ID + 2]})
    yield Case("ids_gaps.csv", f"id,n\n{ID},1\n,2\n", "ids of 19 digits with a gap", {"id": [ID, None], "n": [1, 2]})
    yield Case("ids_na.csv", f"id\n{ID}\nNA\n", "ids beside NA", {"id": [ID, None]})
    yield Case("ids_quoted.csv", f'id,n\n"{ID}",1\n"",2\n', "the same in quotes", {"id": [ID, None], "n": [1, 2]})
    yield Case("ids_20.csv", f"id\n{2**64 - 1}\n\n1\n", "20 digits", {"id": [2**64 - 1, 1]})
    yield Case(
        "ids_40.csv",
        f"id,n\n{10**39 + 1},1\n7,2\n",
        "40 digits: Python's numbers",
        {"id": [10**39 + 1, 7], "n": [1, 2]},
    )
    yield Case(
        "ids_fraction.csv",
        f"id\n{ID}\n0.5\n",
        "long ids beside a fraction",
        {"id": [float(ID), 0.5]},
        warns=f"such as {ID}.*dtype=",
    )
    yield Case("small_gaps.csv", "n,m\n1,1\n,2\n", "small numbers with a gap", {"n": [1.0, None], "m": [1, 2]})
    yield Case("zeros.csv", "id\n007\n008\n", "leading zeros, as documented", {"id": [7, 8]})
    yield Case("zeros_named.csv", "id\n007\n", "leading zeros kept", {"id": ["007"]}, options={"dtype": {"id": str}})
    yield Case("plates.csv", "id\n12E4\n12F4\n", "a plate's name that looks like a float", {"id": ["12E4", "12F4"]})
    yield Case(
        "digits.csv", "v\n0.1\n0.30000000000000004\n5e-324\n", "floats", {"v": [0.1, 0.30000000000000004, 5e-324]}
    )
    yield Case("minus_zero.csv", "v\n-0.0\n1.5\n", "minus zero", {"v": [-0.0, 1.5]})
    yield Case("thousands.csv", 'v\n"1,234"\n"5"\n', "thousands separators stay texts", {"v": ["1,234", "5"]})
    yield Case(
        "thousands_named.csv",
        'v\n"1,234"\n"5"\n',
        "thousands separators given",
        {"v": [1234, 5]},
        options={"thousands": ","},
    )
    yield Case("beyond.csv", "v\n1e400\n1\n", "a number beyond floats", {"v": [float("inf"), 1.0]}, warns="1e400")
    yield Case("infinite.csv", "v\ninf\n-inf\n1.5\n", "infinities", {"v": [float("inf"), float("-inf"), 1.5]})
    yield Case("underscore.csv", "v\n1_000\n2\n", "34_01 is no number", {"v": ["1_000", "2"]})
    yield Case("hex.csv", "v\n0x1F\n0x20\n", "hexadecimal is text", {"v": ["0x1F", "0x20"]})
    yield Case("percent.csv", "v\n12%\n7%\n", "per cent is text", {"v": ["12%", "7%"]})
    yield Case("full_width.csv", "v\n\uff11\uff12\n", "digits of another script are text", {"v": ["\uff11\uff12"]})


def _texts() -> Iterator[Case]:
    yield Case("na.csv", "v\nNA\nx\n", "NA is missing, as documented", {"v": [None, "x"]})
    yield Case("na_kept.csv", "v\nNA\nNone\n", "NA kept", {"v": ["NA", "None"]}, options={"keep_default_na": False})
    yield Case("booleans.csv", "v,w\nTrue,yes\nFalse,no\n", "yes is text", {"v": [True, False], "w": ["yes", "no"]})
    yield Case("booleans_gaps.csv", "v,n\nTrue,1\n,2\n", "a boolean beside a gap", {"v": [True, None], "n": [1, 2]})
    yield Case("dates.csv", "d\n01/02/2024\n2024-01-02\n", "dates stay texts", {"d": ["01/02/2024", "2024-01-02"]})
    yield Case("genes.csv", "gene\nSEPT2\nMARCH1\n", "genes that Excel turns into dates", {"gene": ["SEPT2", "MARCH1"]})
    yield Case("currency.csv", "v\n€5\n$6\n", "amounts with their currency", {"v": ["€5", "$6"]})
    yield Case("formula.csv", "v\n=1+1\n@x\n", "formulas are texts", {"v": ["=1+1", "@x"]})
    yield Case(
        "emoji.csv", "v\n🧪\ne\u0301\n", "characters of two and of composed code points", {"v": ["🧪", "e\u0301"]}
    )
