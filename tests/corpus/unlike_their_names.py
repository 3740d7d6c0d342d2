"""Files whose content is not what their name says."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterator

from .cases import Case
from .columnar import parquet
from .pictures import drawn
from .spreadsheets import xlsx

CSV = "sample,volume\nA,1.5\n"
HTML = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n<body>Please sign in</body></html>\n"


def cases() -> Iterator[Case]:
    table = {"sample": ["A"], "volume": [1.5]}
    book = xlsx(["sample", "volume"], ["A", 1.5])
    png = drawn("PNG", "L", [[1, 2]])
    for suffix in (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods", ".odf"):
        yield Case(
            f"csv{suffix}",
            CSV,
            "a csv called a spreadsheet",
            error='not a spreadsheet.*open_with="text" shows its text',
        )
        yield Case(f"empty{suffix}", "", "no content", error="not a spreadsheet|is empty")
    yield Case("sign_in.xlsx", HTML, "a page called a spreadsheet", error='open_with="text" shows its text')
    yield Case("xlsx.xls", book, "an xlsx called xls", table)
    yield Case("xlsx.xlsb", book, "an xlsx called xlsb", table)
    yield Case("zip.xlsx", zipped("a.txt", b"x"), "another zip", error="not a spreadsheet")
    yield Case("truncated.xlsx", book[:-400], "cut short", error="not a spreadsheet")
    yield Case("png.xlsx", png, "a picture called a spreadsheet", error="not a spreadsheet")
    yield Case("sign_in.csv", HTML, "a page called a csv", error="HTML|web page")
    yield Case("xlsx.csv", book, "a spreadsheet called csv", error="encoding|not a text|spreadsheet|zip")
    yield Case(
        "gzip.csv", gzip.compress(CSV.encode()), "a packed csv without its suffix", error="gzip|packed|not a text"
    )
    yield Case("parquet.csv", parquet(a=[1]), "a parquet file called csv", error="has zero bytes")
    yield Case("png.csv", png, "a picture called csv", error="has zero bytes")
    yield Case("csv.parquet", CSV, "a csv called parquet", error="[Pp]arquet")
    yield Case("csv.feather", CSV, "a csv called feather", error="[Ff]eather")
    yield Case("parquet.feather", parquet(a=[1]), "a parquet file called feather", error="[Ff]eather")
    yield Case("feather.parquet", b"ARROW1\0\0", "a feather file called parquet", error="[Pp]arquet")
    yield Case("csv.png", CSV, "a csv called png", error="not a picture")
    yield Case("sign_in.jpg", HTML, "a page called jpg", error="not a picture")
    yield Case("png.jpg", png, "a png called jpg", ("L", [[1, 2]]))
    yield Case("jpg.tif", drawn("JPEG", "L", [[128] * 8] * 8), "a jpg called tif", ("L", [[128] * 8] * 8))
    yield Case(
        "eps.png", "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "a PostScript program", error="not a picture"
    )
    yield Case("eps.tif", "%!PS-Adobe-3.0 EPSF-3.0\n", "a program, by imageio", error="PostScript", open_with="imageio")
    yield Case("svg.png", "<svg xmlns='http://www.w3.org/2000/svg'/>", "a drawing called png", error="not a picture")
    yield Case("csv.npy", CSV, "a csv called npy", error="no file of NumPy's")
    yield Case("csv.npz", CSV, "a csv called npz", error="no file of NumPy's")
    yield Case("xlsx.npz", book, "another zip called npz", error="without arrays")
    yield Case("csv.json", CSV, "a csv called json", error="not JSON|JSONDecodeError")
    yield Case("sign_in.json", HTML, "a page called json", error="not JSON|JSONDecodeError")
    yield Case("csv.jsonl", CSV, "a csv called jsonl", error="line 1 of .* is not JSON")
    yield Case("png.txt", png, "a picture called txt", error="not a text in utf-8")
    yield Case("gzip.txt", gzip.compress(b"x"), "a packed text without its suffix", error="not a text in utf-8")
    yield Case("csv.odt", CSV, "a csv called odt", error="OpenDocument")
    yield Case("xlsx.odt", book, "a spreadsheet called odt", error="OpenDocument")
    yield Case("parquet", parquet(a=[1]), "no suffix, known by its beginning", {"a": [1]})
    yield Case("picture", png, "no suffix, known by its beginning", ("L", [[1, 2]]))
    for suffix in (".parquet", ".feather", ".odt", ".npy", ".npz"):
        yield Case(f"empty{suffix}", "", "no content", error=f"empty{suffix} is empty")
    for suffix in (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"):
        yield Case(f"empty{suffix}", "", "no content", error=f"empty{suffix} is empty")


def zipped(name: str, content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(name, content)
    return target.getvalue()
