"""Saving is the mirror of opening: what is saved is opened as it was, or a sentence says why it cannot be."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import re
import sys
import warnings
import zoneinfo
from typing import Any

import numpy
import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from edge_core.errors import AlreadyExists, BadEntry, MissingPackage
from edge_vfs import Folder, openers
from edge_vfs.file import File
from edge_vfs.openers import UnsavableValue, comparing, frames

from .memory import MemoryStore

PLATE = pandas.DataFrame(
    {
        "sample": ["ä\nb", None, "x"],
        "volume": [0.1 + 0.2, float("nan"), -1e300],
        "n": [7, 8, 9],
        "ok": [True, False, True],
    }
)


def folder() -> Folder:
    store: Any = MemoryStore()
    return Folder(store)


def again(name: str, value: Any, save_with: str | None = None, **options: Any) -> Any:
    """What `open` gives after `save`, with the options that both take."""
    files = folder()
    files.save(name, value, save_with, **options)
    return files.open(name, save_with, **options)


def refusal(name: str, value: Any, save_with: str | None = None, **options: Any) -> str:
    """The sentence with which a value is refused; nothing has replaced the file that was there."""
    store = MemoryStore()
    store.contents[name] = b"as it was"
    with pytest.raises(UnsavableValue) as raised:
        Folder(store).save(name, value, save_with, **options)  # type: ignore[arg-type]  # as far as it is used
    assert store.contents == {name: b"as it was"}
    sentence = str(raised.value)
    assert sentence.startswith(f"{name} was not saved: ")
    assert " object at 0x" not in sentence
    return sentence


def again_or_refusal(name: str, value: Any) -> tuple[Any, str]:
    """What `open` gives after `save`, or the sentence with which the value is refused."""
    try:
        return again(name, value), ""
    except UnsavableValue as error:
        return None, str(error)


TABLES = [
    "csv",
    "tsv",
    "tab",
    "csv.gz",
    "tsv.bz2",
    "csv.zst",
    "jsonl",
    "ndjson.xz",
    "parquet",
    "feather",
    "xlsx",
    "ods",
]


@pytest.mark.parametrize("suffix", TABLES)
def test_a_table_comes_back_as_it_was(suffix: str) -> None:
    assert frames.difference(PLATE, again(f"runs/plate.{suffix}", PLATE)) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a.json", {"größe": [1, 2.5, None, True, {"n": 2**70}], "t": ""}),
        ("a.json", [1, "x", "\ud800"]),
        (
            "a.yaml",
            {"on": ["no", "1e-5", "0o7", "010", "", "~", "<<", "2024-01-02", "ä\nb"], 1: None, 1.5: [True, 2**70]},
        ),
        (
            "a.yml",
            {"when": dt.datetime(2024, 1, 2, 3, 4, 5, 6), "day": dt.date(2024, 1, 2), "x": [1e300, float("nan")]},
        ),
        ("a.txt", "grün\r\n\ttext"),
        ("a.md", ""),
        ("a.log.gz", "line\n" * 1000),
        ("a.npy", numpy.array([[1.5, float("nan")], [float("-inf"), -0.0]])),
        ("a.npy", numpy.asfortranarray(numpy.arange(6, dtype=">i4").reshape(2, 3))),
        ("a.npy", numpy.array([(1, "ä")], dtype="u8,U2")),
        ("a.npz", {"file": numpy.arange(3), "": numpy.array("x"), "a/b": numpy.zeros((0, 3))}),
    ],
)
def test_values_of_each_kind_come_back_as_they_were(name: str, value: Any) -> None:
    assert comparing.difference(value, again(name, value)) is None


def test_bytes_are_saved_where_no_opener_has_the_suffix() -> None:
    assert again("a.bin", b"\0\1").read() == b"\0\1"
    assert again("model.pkl", bytearray(b"as it is")).read() == b"as it is"
    assert again("plate.csv", b"a,b\n", save_with="file").read() == b"a,b\n"
    assert again("raw", b"abc").read() == b"abc"
    assert 'PILOpener would open it by its first bytes, and not as bytes; save_with="file"' in refusal(
        "raw", b"\x89PNG\r\n\x1a\n"
    )


def test_nothing_that_pickles_is_saved_by_its_suffix() -> None:
    for name in ("a.pkl", "a.pickle", "a.joblib", "a.pt", "a.pkl.gz", "a"):
        assert "names that end in .parquet, .csv or .xlsx hold tables" in refusal(name, PLATE)
    objects = numpy.array([{"a": 1}, None], dtype=object)
    assert "it has Python objects, which only pickles hold" in refusal("a.npy", objects)
    assert "the array 'code' has Python objects" in refusal("a.npz", {"code": objects})


def frame(**columns: Any) -> pandas.DataFrame:
    return pandas.DataFrame(columns)


SELF: list[Any] = []
SELF.append(SELF)


@pytest.mark.parametrize(
    ("name", "value", "sentence", "advice"),
    [
        ("a.csv", frame(id=["007"]), "comes back as int64, such as '007' as 7", "give dtype={'id': 'str'} here"),
        ("a.csv", frame(t=["NA", "x"]), "'NA' in the column 't' comes back as a missing", "keep_default_na=False"),
        ("a.csv", frame(t=["", "x"]), "'' in the column 't' comes back as a missing value", "keep_default_na=False"),
        ("a.csv", frame(t=["", "x", None]), "'' in the column 't' comes back as", "a.parquet"),
        ("a.csv.gz", frame(t=["1", "2"]), "the column 't'", "save it as a.parquet"),
        ("a.csv", frame(n=numpy.array([1], "int8")), "is of type int8, and comes back as int64", "dtype={'n': 'int8'}"),
        ("a.csv", frame(k=pandas.Categorical(["b", "a"], ["b", "a"])), "is of type category", "save it as a.parquet"),
        ("a.csv", frame(t=pandas.to_datetime(["2024-01-02"])), "is of type datetime64", "parse_dates=['t'] here and"),
        ("a.csv", frame(n=[1, "x"]), "1 in the column 'n' is of type int, and comes back as str", "save it as a.jsonl"),
        ("a.csv", PLATE.set_index("n"), "its index 'n' does not come back", "give index_col='n' here and to open"),
        ("a.csv", PLATE[PLATE.n > 7][["n"]], "its index does not come back", "give index_col=0 here and to open"),
        ("a.csv", pandas.DataFrame([[1, 2]]), "the name 0 of a column comes back as '0'", "give header=None here"),
        ("a.csv", pandas.DataFrame([[1, 2]], columns=["a", "a"]), "the name 'a' of a column comes back as 'a.1'", ""),
        ("a.csv", pandas.DataFrame([[1]], columns=[["a"], ["b"]]), "comes back as 'a'", "save it as a.parquet"),
        ("a.csv", pandas.DataFrame(), "it has no columns, so that nothing would be written; save it as a.parquet", ""),
        ("a.csv", frame(z=[1 + 2j]), "is of type complex128", "give dtype={'z': 'complex128'} here and to open"),
        ("a.csv", frame(p=pandas.interval_range(0, 1)), "is of type interval", "save it as a.parquet"),
        ("a.jsonl", frame(x=[float("inf")]), "it has an infinite number, which JSON does not", "save it as a.parquet"),
        ("a.jsonl", frame(d=[dt.date(2024, 1, 2)]), "type date is not JSON serializable", "save it as a.parquet"),
        ("a.jsonl", pandas.DataFrame([[1]], columns=[1]), "its columns need names that are texts", "a.parquet"),
        ("a.parquet", frame(n=[1, "x"]), "Could not convert 'x'", "save it as a.jsonl"),
        ("a.parquet", frame(v=[[1, 2.5]]), "'v'[0] is of type int, and comes back as float", "save it as a.jsonl"),
        ("a.parquet", frame(v=[[1, None]]), "'v'[0] is of type int, and comes back as float", "save it as a.jsonl"),
        ("a.feather", frame(v=[[1], [2.5]]), "'v'[0] is of type int, and comes back as float", "save it as a.jsonl"),
        ("a.parquet", frame(v=[(1, 2)]), "comes back as ndarray; map(list) makes lists of tuples, which are", ""),
        ("a.parquet", frame(v=[[dt.datetime(2024, 1, 2)]]), "is of type datetime, and comes back as datetime64", ""),
        ("a.parquet", frame(t=numpy.array(["2024-01-02"], "M8[s]")), "and comes back as datetime64[ms]", "a.feather"),
        ("a.xlsx", frame(n=[2**53 + 1]), "and comes back as 9007199254740992", "save it as a.parquet"),
        ("a.xlsx", frame(t=pandas.to_datetime(["2024-01-02T00Z"])), "has a time zone, which a sp", "a.parquet"),
        ("a.xlsx", frame(t=pandas.to_datetime(["2024-01-02T00:00:00.123456"])), "comes back as", "a.parquet"),
        ("a.xlsx", frame(x=[float("inf")]), "has an infinite number, which a spreadsheet cannot hold", "a.parquet"),
        ("a.xlsx", frame(x=[1.0, 2.0]), "comes back as int64, such as 1.0 as 1", "give dtype={'x': 'float64'} here"),
        ("a.xlsx", frame(t=["a\x07b"]), "has the control character '\\x07'", "save it as a.parquet"),
        ("a.xlsx", frame(t=["x" * 32_768]), "a text of 32768 characters, and a cell holds 32767", "a.parquet"),
        ("a.xlsx", frame(p=pandas.period_range("2024-01", periods=1, freq="M")), "no cells", "save it as a.parquet"),
        ("a.xlsx", frame(d=[decimal.Decimal("0.10")]), "Decimal('0.10') as 0.1", "save it as a.parquet"),
        ("a.xlsx", frame(t=["", "x"]), "'' in the column 't' comes back as a missing value", "a.parquet"),
        ("a.ods", frame(t=["a\rb"]), "comes back as", "save it as a.xlsx"),
        ("a.ods", frame(n=[2**53 + 1]), "and comes back as 9007199254740992", "save it as a.parquet"),
        ("a.ods", frame(t=["x" * 32_768]), "a text of 32768 characters", "save it as a.parquet"),
        ("a.xls", PLATE, "nothing here writes .xls", "save it as a.xlsx"),
        ("a.odt", PLATE, "nothing here writes .odt", "save it as a.xlsx"),
        ("a.csv", PLATE["n"], "a pandas.DataFrame is needed, not Series; to_frame() makes one", ""),
        ("a.csv", {"a": [1]}, "a pandas.DataFrame is needed, not dict", "save it as a.json"),
        ("a.json", {"x": float("nan")}, "it has NaN or an infinite number, which JSON does not", "use None instead"),
        ("a.json", {"p": {1: "x"}}, "the key 1 of it['p'] is of type int, and comes back as str", ""),
        ("a.json", {"p": [(1, 2)]}, "it['p'][0] is of type tuple, and comes back as list", ""),
        ("a.json", {"d": dt.date(2024, 1, 2)}, "type date is not JSON serializable", ""),
        ("a.json", {"s": {1}}, "type set is not JSON serializable", ""),
        ("a.json", {"x": numpy.float64(1)}, "it['x'] is of type float64, and comes back as float", ""),
        ("a.json", PLATE, "type DataFrame is not JSON serializable", "save it as a.parquet"),
        ("a.json", numpy.arange(3), "type ndarray is not JSON serializable", "save it as a.npy"),
        ("a.yaml", {"t": (1, 2)}, "it['t'] is of type tuple, and comes back as list", ""),
        ("a.yaml", {"p": decimal.Decimal("0.1")}, "YAML has texts, numbers, dates, None, lists and dicts, and", ""),
        ("a.yaml", SELF, "it holds itself, or is nested too deep to be compared", ""),
        ("a.json", SELF, "Circular reference", ""),
        ("a.h5", {"a": 1}, "names that end in .h5 are opened here, but not saved; names that end in .parquet, ", ""),
        ("a.nc", {"a": 1}, "an xarray.Dataset is needed, not dict", "save it as a.json"),
        ("a.txt", b"x", "a text is needed, not bytes", "upload bytes that you write yourself"),
        ("a.txt", "\ufeffx", "comes back as 'x'", ""),
        ("a.txt", "\ud800", "lacks a character of it", ""),
        ("a.npy", [1, 2], "it must be a numpy.ndarray, not list", "save it as a.json"),
        ("a.npy", PLATE, "it must be a numpy.ndarray, not DataFrame", "save it as a.parquet"),
        ("a.npy", numpy.ma.array([1], mask=[True]), "has a mask, which npy does not hold", "in an npz"),
        ("a.npy", numpy.rec.array([(1,)], dtype=[("a", "i8")]), "it is of type recarray, and comes back", ""),
        ("a.npz", {"x": numpy.ones(1), "x.npy": numpy.ones(2)}, "it['x.npy'] has the shape (2,), and comes back", ""),
        ("a.npz", numpy.arange(3), "an npz holds a dict of arrays by their names, not ndarray", "save it as a.npy"),
    ],
)  # fmt: skip
def test_what_a_format_cannot_hold_is_an_error_that_names_what_can(
    name: str, value: Any, sentence: str, advice: str
) -> None:
    shown = refusal(name, value)
    assert sentence in shown
    assert advice in shown


def test_the_options_of_open_are_those_of_save() -> None:
    ids = frame(id=["007", "NA", ""], when=pandas.to_datetime(["2024-01-02", "2024-01-03", "2024-01-04"]))
    chosen: dict[str, Any] = {"dtype": {"id": "str"}, "keep_default_na": False, "parse_dates": ["when"]}
    assert frames.difference(ids, again("a.csv", ids, **chosen)) is None
    assert frames.difference(PLATE, again("a.csv", PLATE, sep=";", decimal=",", encoding="utf-16")) is None
    plates = PLATE.set_index("n")
    for name in ("a.csv", "a.xlsx", "a.ods"):
        assert frames.difference(plates, again(name, plates, index_col="n")) is None
    numbers = pandas.DataFrame([[1, 2], [3, 4]])
    assert frames.difference(numbers, again("a.csv", numbers, header=None)) is None
    assert frames.difference(PLATE, again("a.xlsx", PLATE, sheet_name="Results")) is None
    assert again("a.txt", "grün", encoding="latin-1") == "grün"
    files = folder()
    files.save("a.json", {"a": 1}, indent=2)
    assert files.read_text("a.json") == '{\n  "a": 1\n}'


@pytest.mark.parametrize(
    ("name", "value", "option", "offers"),
    [
        ("a.csv", PLATE, "index", "index_col"),
        ("a.csv", PLATE, "path_or_buf", "sep"),
        ("a.csv", PLATE, "compression", "sep"),
        ("a.csv", PLATE, "errors", "sep"),
        ("a.csv", PLATE, "float_format", "sep"),
        ("a.xlsx", PLATE, "engine", "sheet_name"),
        ("a.parquet", PLATE, "storage_options", "leave it out"),
        ("a.json", {}, "default", "use only indent"),
        ("a.npy", numpy.ones(1), "allow_pickle", "leave it out"),
        ("a.png", Image.new("L", (1, 1)), "quality", "leave it out"),
        ("a.jpg", Image.new("L", (1, 1)), "format", "use only quality"),
        ("a.bin", b"", "encoding", "leave it out"),
    ],
)
def test_an_option_that_is_not_listed_is_refused(name: str, value: Any, option: str, offers: str) -> None:
    with pytest.raises(
        BadEntry, match=f"{name} is saved by .*, which does not take the option {option} for it; .*{offers}"
    ):
        folder().save(name, value, **{option: "x"})


def test_a_yaml_says_its_version() -> None:
    files = folder()
    files.save("a.yaml", {"no": 0o10}, version="1.2")
    assert files.read_text("a.yaml") == "%YAML 1.2\n---\n'no': 8\n"
    assert "comes back as str" in refusal("a.yaml", {"day": dt.date(2024, 1, 2)}, version="1.2")


def test_a_dataset_comes_back_as_it_was_or_is_refused() -> None:
    xarray = pytest.importorskip("xarray")
    values = numpy.array([[1.5, float("nan")], [2.5, -1.0]], dtype="float32")
    coordinates = {"row": ["ä", "b"], "t": numpy.array(["2024-01-02", "2024-01-03"], "M8[ns]")}
    plate = xarray.Dataset({"od": (("row", "t"), values, {"unit": "AU"})}, coordinates, {"title": "plate 7"})
    opened = again("a.nc", plate)
    assert opened.identical(plate)
    assert opened.od.dtype == "float32"
    lasting = xarray.Dataset({"d": ("x", pandas.to_timedelta(["1s", "2h"]).to_numpy())})
    assert "the variable 'd' is of type timedelta64" in refusal("a.nc", lasting)
    assert "an xarray.Dataset is needed, not DataArray; to_dataset makes one" in refusal("a.nc", plate.od)
    mixed = xarray.Dataset({"n": ("x", numpy.array([1, "x"], dtype=object))})
    assert "XarrayOpener cannot write it" in refusal("a.nc", mixed)
    packed = plate.copy()
    packed.od.encoding = {"scale_factor": 1.0, "dtype": "int16", "_FillValue": -1}
    assert again("a.nc", packed).identical(plate), "an encoding that would round is left out"
    coarse = plate.assign_coords(t=plate.t.astype("datetime64[s]"))
    assert "comes back as datetime64[ns]; astype converts it" in refusal("a.nc", coarse)


def test_a_text_of_a_spreadsheet_is_no_formula() -> None:
    texts = frame(t=["=1+1", "#N/A", "+3", "007", "TRUE", "1e5", "2024-01-02"])
    for name in ("a.xlsx", "a.ods"):
        assert frames.difference(texts, again(name, texts)) is None


def test_texts_keep_their_returns_and_what_looks_like_an_escape_in_a_workbook() -> None:
    texts = frame(t=["a\rb", "a\r\nb", " a\nb ", "_x000D_", "_x005F_x0041_", "_x0041_x0041_"])
    assert frames.difference(texts, again("a.xlsx", texts)) is None


def test_an_archive_and_lists_of_a_table_that_were_opened_are_saved() -> None:
    files = folder()
    files.save("a.npz", {"first": numpy.arange(3), "second": numpy.array("x")})
    files.save("b.npz", files.open("a.npz"))
    assert files.open("b.npz")["first"].tolist() == [0, 1, 2]
    lists = frame(v=[numpy.array([1, 2]), numpy.array([], dtype="int64"), None])
    assert frames.difference(lists, again("a.parquet", lists)) is None
    texts = frame(v=[numpy.array(["a", None], dtype=object)])
    assert frames.difference(texts, again("a.parquet", texts)) is None
    with files.open("a.npz", "file") as file:
        assert "it is a file already; upload stores what a file gives" in refusal("a.bin", file)


@pytest.mark.parametrize(
    "cells",
    [
        [[1, 2], [], None],
        [["a", None]],
        [[1.5, float("nan"), -0.0]],
        [[True, False]],
        [[[1], [2, 3]]],
        [[{"a": 1}]],
        [[dt.date(2024, 1, 2), None]],
        [[2**53 + 1, None]],
        [[numpy.int64(1)], [numpy.int64(2)]],
        [[numpy.float32(0.1)]],
        [[b"x"]],
    ],
)
def test_lists_come_back_as_arrays_of_the_same_elements(cells: list[Any]) -> None:
    lists = pandas.DataFrame({"v": cells})
    for name in ("a.parquet", "a.feather"):
        opened = again(name, lists)
        assert isinstance(opened["v"][0], numpy.ndarray)
        assert frames.difference(opened, again(name, opened)) is None


def test_a_list_that_changed_is_no_list_of_the_same_elements() -> None:
    saved = frame(v=[[1, 2]])
    for changed in ([1, 3], [1, 2, 3], [1.0, 2.0], [True, True], numpy.array([1, 2], "int8"), ["1", "2"]):
        assert frames.difference(saved, frame(v=[numpy.asarray(changed)])) is not None


def test_floats_keep_all_their_digits_in_a_spreadsheet() -> None:
    thirds = frame(x=[0.016527635528529094, 1 / 3, 5e-324, -1.7976931348623157e308])
    for name in ("a.xlsx", "a.ods"):
        assert frames.difference(thirds, again(name, thirds)) is None


def test_a_sheet_has_room_for_a_million_rows() -> None:
    tall = pandas.DataFrame({"n": range(1_048_576)})
    with (
        openers.Content("a.xlsx") as content,
        pytest.raises(UnsavableValue, match="it has 1048576 rows and 1 columns, and a sheet has 1048575 rows below"),
    ):
        openers.PandasOpener().save(content, tall)


def test_attributes_and_names_of_a_frame_are_not_lost() -> None:
    plate = PLATE.copy()
    plate.attrs["unit"] = "ml"
    assert again("a.parquet", plate).attrs == {"unit": "ml"}
    assert "its attrs do not come back; attrs.clear() removes them; save it as a.parquet" in refusal("a.csv", plate)
    assert "the name 'of' of its columns does not come back" in refusal("a.csv", PLATE.rename_axis(columns="of"))


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "webp", "gif", "jpg"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I", "F", "I;16", "YCbCr"])
def test_a_picture_comes_back_as_it_was_or_is_refused(mode: str, suffix: str) -> None:
    picture = Image.effect_noise((7, 5), 60)
    picture = picture.quantize(9) if mode == "P" else picture.convert("RGB").convert(mode) if mode != "I;16" else (
        Image.fromarray(numpy.arange(35, dtype="uint16").reshape(5, 7) * 1800)
    )  # fmt: skip
    opened, sentence = again_or_refusal(f"a.{suffix}", picture)
    if sentence:
        assert suffix not in ("tif", *(("png",) if mode in ("1", "L", "P", "RGB", "RGBA", "LA", "I;16") else ()))
        assert re.search(r"; save it as a\.(png|tif)$", sentence)
        return
    assert (opened.mode, opened.size, opened.tobytes()) == (picture.mode, picture.size, picture.tobytes())
    assert opened.convert("RGBA").tobytes() == picture.convert("RGBA").tobytes()


def test_a_jpg_changes_pixels_only_with_a_quality() -> None:
    picture = Image.effect_noise((20, 10), 60)
    assert "JPEG changes the values of pixels; quality=95 or less saves it" in refusal("a.jpg", picture)
    files = folder()
    files.save("a.jpg", picture, quality=90)
    assert (files.open("a.jpg").format, files.open("a.jpg").size) == ("JPEG", (20, 10))
    files.save("b.jpg", numpy.asarray(picture), quality=90)
    assert (files.open("b.jpg").mode, files.open("b.jpg").size) == ("L", (20, 10))
    assert "cannot write mode RGBA as JPEG" in refusal("a.jpg", picture.convert("RGBA"), quality=90)
    assert "it has the mode 'I', and comes back with" in refusal("a.webp", picture.convert("I"), quality=90)


@pytest.mark.parametrize("quality", [10, 50, 95, 100])
@pytest.mark.parametrize(("name", "shape", "mode"), [
    ("a.jpg", (4, 5, 3), "RGB"), ("a.jpeg", (4, 5), "L"), ("a.webp", (4, 5, 3), "RGB"), ("a.webp", (4, 5, 4), "RGBA"),
])  # fmt: skip
def test_an_array_is_saved_with_a_quality(name: str, shape: tuple[int, ...], mode: str, quality: int) -> None:
    files = folder()
    files.save(name, numpy.arange(numpy.prod(shape), dtype="uint8").reshape(shape), quality=quality)
    assert (files.open(name).mode, files.open(name).size) == (mode, (5, 4))


@pytest.mark.parametrize("quality", [-1, 101, "x", 50.5, True])
def test_a_quality_is_a_whole_number_up_to_100(quality: Any) -> None:
    for name in ("a.jpg", "a.webp"):
        sentence = refusal(name, numpy.ones((4, 5, 3), dtype="uint8"), quality=quality)
        assert f"quality must be a whole number from 0 to 100, not {quality!r}" in sentence


def test_what_a_picture_has_besides_pixels_is_not_lost() -> None:
    picture = Image.new("RGB", (3, 2))
    picture.getexif()[0x010E] = "plate 7"
    picture.getexif().get_ifd(0x8769)[0x829A] = 0.5
    picture.info["icc_profile"] = b"a profile"
    for name in ("a.png", "a.tif", "a.webp"):
        opened = again(name, picture)
        assert opened.getexif().get_ifd(0x8769)[0x829A] == 0.5
        assert (opened.getexif()[0x010E], opened.info["icc_profile"]) == ("plate 7", b"a profile")
    assert "its colour profile does not come back" in refusal("a.bmp", picture)
    del picture.info["icc_profile"]
    assert "its Exif tags do not come back" in refusal("a.bmp", picture)
    assert again("b.tif", again("a.tif", picture)).getexif()[0x010E] == "plate 7"
    pages = io.BytesIO()
    picture.save(pages, "TIFF", save_all=True, append_images=[picture])
    assert "it has 2 pictures, of which one is saved" in refusal("a.tif", Image.open(pages))


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
@pytest.mark.parametrize(
    ("dtype", "shape"),
    [("uint8", (4, 5)), ("uint8", (4, 5, 3)), ("uint8", (4, 5, 4)), ("bool", (4, 5)), ("uint16", (4, 5)),
     ("int32", (4, 5)), ("float32", (4, 5)), ("float64", (4, 5)), ("uint32", (4, 5)), ("int8", (4, 5)),
     ("uint16", (4, 5, 3))],
)  # fmt: skip
def test_an_array_is_a_picture_where_that_is_exact(dtype: str, shape: tuple[int, ...], suffix: str) -> None:
    values = (numpy.random.default_rng(1).random(shape) * 255 - (100 if dtype == "int8" else 0)).astype(dtype)
    opened, sentence = again_or_refusal(f"a.{suffix}", values)
    if sentence:
        advised = re.search(r"; save it as (a\.\w+)(?: with save_with='(imageio)')?$", sentence)
        assert advised, sentence
        opened = again(advised[1], values, advised[2])
    assert comparing.difference(values, numpy.asarray(opened)) is None


def test_imageio_saves_arrays_when_it_is_named() -> None:
    deep = numpy.arange(60, dtype="uint16").reshape(4, 5, 3) * 1000
    for name in ("a.png", "a.tif"):
        assert comparing.difference(deep, again(name, deep, "imageio")) is None
    assert "an array of pixels is needed, not Image" in refusal("a.png", Image.new("L", (1, 1)), "imageio")


def test_options_that_cannot_be_used_are_to_be_left_out() -> None:
    for name in ("a/b", "a" * 32, "", "'a'", "[1]", "a\0"):
        sentence = refusal("a.xlsx", PLATE, sheet_name=name)
        assert f"{name!r} is no name for a sheet, which has 1 to 31 characters" in sentence
        assert sentence.endswith("; leave sheet_name out")
    assert frames.difference(PLATE, again("a.xlsx", PLATE, sheet_name="ä" * 31)) is None
    assert "unknown encoding" in refusal("a.csv", PLATE, encoding="nope")


def test_an_existing_file_is_replaced_only_if_it_may_be() -> None:
    files = folder()
    files.save("a.txt", "first")
    with pytest.raises(AlreadyExists):
        files.save("a.txt", "second", overwrite=False)
    assert files.open("a.txt") == "first"
    files.save("a.txt", "second")
    assert files.open("a.txt") == "second"


def test_a_warning_of_open_comes_while_saving() -> None:
    with pytest.warns(openers.InexactWarning, match="give sep=';' if that separates them"):
        folder().save("a.csv", frame(t=["a;b", "c;d"]))


def test_a_refusal_comes_without_warnings_of_what_was_tried() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", openers.InexactWarning)
        assert "comes back as a missing value" in refusal("a.csv", frame(t=["a;b", "c;d", None, "NA"]))


def test_a_saver_that_is_not_known_and_a_package_that_is_missing_are_named(monkeypatch: Any) -> None:
    with pytest.raises(BadEntry, match="the opener 'excel' is not known; use one of file, h5py, imageio, json"):
        folder().save("a.csv", PLATE, "excel")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingPackage, match=r"saving a\.xlsx as a spreadsheet needs openpyxl"):
        folder().save("a.xlsx", PLATE)


class Letters:
    """An opener of a third party."""

    suffixes = (".fasta",)

    def options(self, file: File) -> Any:
        return {"start"}

    def open(self, file: File, start: str = ">") -> Any:
        return file.read().decode().split(start)[1:]

    def save_options(self, basename: str) -> Any:
        return {"start", "width"}

    def save(self, file: Any, value: Any, start: str = ">", width: int = 60) -> None:
        if not isinstance(value, list):
            raise UnsavableValue(f"a list of sequences is needed, not {type(value).__name__}")
        file.write("".join(start + sequence[:width] for sequence in value).encode())


@pytest.fixture
def fasta(monkeypatch: Any) -> type[Letters]:
    monkeypatch.setattr(openers.choosing, "working", lambda: iter([Letters(), openers.JSONOpener()]))
    return Letters


def test_an_opener_of_a_third_party_saves(fasta: type[Letters]) -> None:
    assert again("a.fasta", ["ACGT", "TT"], start="@") == ["ACGT", "TT"]
    assert "a list of sequences is needed, not dict; save it as a.json" in refusal("a.fasta", {})
    assert "it[0] is 'ACGT', and comes back as 'A'; save it as a.json" in refusal("a.fasta", ["ACGT"], width=1)
    assert "Letters cannot write it (TypeError:" in refusal("a.fasta", [1])
    with pytest.raises(BadEntry, match="does not take the option wide for it; use only start, width"):
        folder().save("a.fasta", [], wide=1)


def test_an_opener_of_a_third_party_that_closes_its_file_is_named(fasta: type[Letters], monkeypatch: Any) -> None:
    monkeypatch.setattr(fasta, "save", lambda self, file, value: file.__exit__(None, None, None))
    assert "Letters cannot write it (ValueError: I/O operation on closed file" in refusal("a.fasta", [])


def test_a_name_that_is_only_opened_says_which_are_saved(fasta: type[Letters], monkeypatch: Any) -> None:
    monkeypatch.delattr(fasta, "save")
    assert "names that end in .fasta are opened here, but not saved; names that" in refusal("a.fasta", ["ACGT"])


def test_an_opener_that_only_opens_is_named() -> None:
    assert "files of 'h5py' are opened here, but not saved; names that end in .parq" in refusal("a", b"", "h5py")


def test_a_refusal_has_no_advice_about_a_file_that_does_not_exist(monkeypatch: Any) -> None:
    monkeypatch.setattr(openers.JSONOpener, "save", lambda self, file, value: file.write(b"{"))
    sentence = refusal("a.json", {})
    assert "what was written cannot be opened again, as a.json could not be opened by JSONOpener (JSON" in sentence
    assert "gives its bytes" not in sentence


class Plate:
    """A value without ``==``, which its opener compares."""

    def __init__(self, wells: int) -> None:
        self.wells = wells


def test_an_opener_says_what_differs_in_values_that_do_not_compare(fasta: type[Letters], monkeypatch: Any) -> None:
    monkeypatch.setattr(fasta, "open", lambda self, file: Plate(len(file.read())))
    monkeypatch.setattr(fasta, "save", lambda self, file, value: file.write(b"w" * min(value.wells, 96)))
    assert again("a.fasta", Plate(384)).wells == 96, "values of a class without == are not compared"
    clause = "some of its wells do not come back"
    monkeypatch.setattr(fasta, "difference", lambda self, plate, back: clause if plate.wells != back.wells else None,
                        raising=False)  # fmt: skip
    assert again("a.fasta", Plate(96)).wells == 96
    assert clause in refusal("a.fasta", Plate(384))


@pytest.mark.parametrize("mode", ["w", "wb", "a", "x", "r+", "wt", "w+b", "rb+"])
def test_a_mode_that_writes_names_what_writes(mode: str) -> None:
    for about in ((mode,), ()):
        with pytest.raises(BadEntry, match=rf"'{re.escape(mode)}' is a mode and not an opener.*create.*save.*upload"):
            folder().open("missing.csv", *about, **({} if about else {"mode": mode}))


def test_a_mode_that_reads_names_what_reads() -> None:
    for mode in ("r", "rb", "rt"):
        with pytest.raises(BadEntry, match=f"'{mode}' is a mode and not an opener.*\"file\".*read_text"):
            folder().open("missing.csv", mode)


@pytest.mark.parametrize("value", [PLATE, frame(read=[1]), numpy.ones(2), {"a": 1}, Image.new("L", (1, 1))])
def test_upload_of_a_value_says_to_use_save(value: Any) -> None:
    with pytest.raises(TypeError, match=r"cannot upload .*; give a path, bytes or a binary file object, or use save\("):
        folder().upload("a.csv", value)


# --- random frames --------------------------------------------------------------------------------

ODD = st.sampled_from(["007", "NA", "", "null", "1e5", "TRUE", "=1", "a,b", 'q"', "\r\n", "1.0"])
TEXTS = st.sampled_from(["ä", "plate 7", "a\tb"]) | st.text(max_size=4) | ODD
WORDS = st.sampled_from(["ä", "plate 7", "a,b"])
CELLS: dict[str, Any] = {
    "ints": st.integers(-(2**63), 2**63 - 1),
    "counts": st.integers(0, 999),
    "floats": st.floats(),
    "words": WORDS,
    "texts": TEXTS,
    "bools": st.booleans(),
    "dates": st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)).map(pandas.Timestamp),
    "days": st.dates(dt.date(1700, 1, 1), dt.date(2200, 1, 1)),
    "mixed": st.integers(0, 9) | TEXTS | st.booleans(),
}


@st.composite
def columns(draw: Any, rows: int) -> Any:
    kind = draw(st.sampled_from([*CELLS, "categories", "Int64"]))
    cells = CELLS.get(kind, CELLS["ints"] if kind == "Int64" else st.sampled_from("abc"))
    if draw(st.integers(0, 3)) == 3:
        cells = cells | st.none()
    drawn = draw(st.lists(cells, min_size=rows, max_size=rows))
    if kind == "categories":
        return pandas.Series(pandas.Categorical(drawn))
    if kind == "Int64":
        return pandas.Series(pandas.array(drawn, dtype="Int64"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pandas.Series(drawn, dtype=object if kind == "days" else None)


@st.composite
def tables(draw: Any) -> Any:
    rows = draw(st.integers(0, 4))
    names = draw(st.lists(st.text("abÄ 1.", min_size=1, max_size=3), max_size=2, unique=True))
    table = pandas.DataFrame({name: draw(columns(rows)) for name in names}, index=range(rows))
    return table.iloc[::-1] if draw(st.integers(0, 9)) == 0 else table


def check_random_tables(suffix: str, examples: int) -> None:
    """Save tables under a suffix; each is opened as it was, or refused by a sentence."""
    saved = 0

    @settings(max_examples=examples, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(tables())
    def equal_or_refused(table: Any) -> None:
        nonlocal saved
        before = table.copy(deep=True)
        opened, sentence = again_or_refusal(f"a.{suffix}", table)
        if sentence:
            assert sentence.startswith(f"a.{suffix} was not saved: ")
        else:
            saved += 1
            loosely = {"check_index_type": False, "check_column_type": False, "check_dtype": False}
            pandas.testing.assert_frame_equal(opened, table, check_exact=True, **loosely)  # type: ignore[arg-type]
        pandas.testing.assert_frame_equal(table, before)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", openers.InexactWarning)
        equal_or_refused()
    assert saved >= examples / 10


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_random_table_comes_back_as_it_was_or_is_refused(suffix: str) -> None:
    check_random_tables(suffix, 10)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "tsv.gz", "jsonl", "parquet", "feather", "xlsx", "ods"])
def test_many_random_tables_come_back_as_they_were_or_are_refused(suffix: str) -> None:
    check_random_tables(suffix, 60)


BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
SECOND_HOUR = dt.datetime(2024, 10, 27, 2, 30, fold=1)


@pytest.mark.parametrize(
    "time", [SECOND_HOUR, SECOND_HOUR.replace(tzinfo=BERLIN), dt.datetime(2024, 7, 1, tzinfo=BERLIN)]
)
def test_of_times_that_are_equal_but_not_the_same_none_stands_for_another(time: dt.datetime) -> None:
    assert "comes back as datetime.datetime(2024, " in refusal("a.yaml", {"at": time})


def test_a_time_with_its_offset_comes_back() -> None:
    at = dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC)
    assert again("a.yaml", {"at": at}) == {"at": at}


def test_the_sign_of_zero_is_kept_or_the_value_refused() -> None:
    frame = pandas.DataFrame({"x": [-0.0, 1.5]})
    assert "-0.0 in the column 'x' comes back as 0.0" in refusal("a.xlsx", frame)
    assert numpy.signbit(again("a.csv", frame)["x"]).tolist() == [True, False]
    assert comparing.difference([-0.0], [0.0]) == "it[0] is -0.0, and comes back as 0.0"


def test_a_missing_text_does_not_come_back_as_a_text() -> None:
    frame = pandas.DataFrame({"x": ["a", None], "y": [1, 2]})
    assert "a missing value in the column 'x' comes back as ''" in refusal("a.csv", frame, keep_default_na=False)


def test_nan_does_not_come_back_as_a_missing_value_where_these_differ() -> None:
    floats = pandas.arrays.FloatingArray(numpy.array([float("nan"), 1.0]), numpy.array([False, True]))
    frame = pandas.DataFrame({"x": floats})
    opened = pandas.DataFrame({"x": pandas.array([None, None], "Float64")})
    assert frames.difference(frame, opened) is not None
