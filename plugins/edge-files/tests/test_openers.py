"""What comes out of `open`: tables, pictures, documents, text, and bytes for the rest."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_core import registry
from edge_core.errors import BadEntry, ChecksumError, EdgeError, MissingPackage, PluginError
from edge_files.file import File
from edge_files.folder import Folder
from edge_vfs import openers
from edge_vfs.openers import UnreadableContent, choosing

from . import spreadsheets

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CSV = "sample,volume\nA,1.5\nB,2.5\n"


@pytest.fixture
def frame() -> Any:
    import pandas as pd

    return pd.DataFrame({"sample": ["A", "B"], "volume": [1.5, 2.5]})


@pytest.mark.parametrize("name", ["plate.csv", "PLATE.CSV", "runs/plate-7.csv"])
def test_a_csv_is_a_frame(files: Folder, frame: Any, name: str) -> None:
    files.upload(name, CSV.encode())
    assert files.open(name).equals(frame)
    assert files.open(name, open_with="pandas").equals(frame)


def test_a_tsv_and_a_parquet_file_are_frames(files: Folder, frame: Any) -> None:
    files.upload("plate.tsv", CSV.replace(",", "\t").encode())
    packed = io.BytesIO()
    frame.to_parquet(packed)
    files.upload("plate.parquet", packed.getvalue())
    assert files.open("plate.tsv").equals(frame)
    assert files.open("plate.parquet").equals(frame)


def packed(write: Any, *args: Any, **options: Any) -> bytes:
    """What a library writes into a file object."""
    target = io.BytesIO()
    write(target, *args, **options)
    return target.getvalue()


@pytest.mark.slow
def test_every_table_format_gives_the_frame(files: Folder, frame: Any) -> None:
    contents = {
        "a.csv": CSV.encode(),
        "a.tsv": CSV.replace(",", "\t").encode(),
        "a.parquet": packed(frame.to_parquet),
        "a.feather": packed(frame.to_feather),
        "a.tab": CSV.replace(",", "\t").encode(),
        "a.jsonl": packed(frame.to_json, orient="records", lines=True),
        "a.ndjson": packed(frame.to_json, orient="records", lines=True),
        "a.xlsx": packed(frame.to_excel, index=False, engine="openpyxl"),
        "a.xlsm": packed(frame.to_excel, index=False, engine="openpyxl"),
        "a.xls": spreadsheets.xls(),
        "a.xlsb": spreadsheets.xlsb(),
        "a.ods": spreadsheets.open_document("ods"),
        "a.odf": spreadsheets.open_document("ods"),
        "a.odt": spreadsheets.open_document("odt"),
    }
    texts = {
        name: content for name, content in contents.items() if name[2:] in ("csv", "tsv", "tab", "jsonl", "ndjson")
    }
    for name, content in texts.items():
        contents |= {f"{name}.gz": gzip.compress(content), f"{name}.bz2": bz2.compress(content)}
        contents |= {f"{name}.xz": lzma.compress(content), f"{name}.zst": zstd.compress(content)}
    assert {name.removeprefix("a") for name in contents} == set(openers.PandasOpener.suffixes)
    for name, content in contents.items():
        files.upload(name, content)
        assert files.open(name).equals(frame), name
        assert files.open(name, open_with="pandas").equals(frame), name


def test_arrays_are_read_and_objects_in_them_are_not(files: Folder) -> None:
    import numpy as np

    array = np.arange(300_000).reshape(3, -1)
    files.upload("a.npy", packed(np.save, array))
    files.upload("a.npz", packed(np.savez, first=array, second=array[:, :3]))
    assert np.array_equal(files.open("a.npy"), array)
    with files.open("a.npz") as archive:
        assert archive.files == ["first", "second"]
        assert np.array_equal(archive["second"], array[:, :3])
        assert np.array_equal(archive["first"], array)
    files.upload("code.npy", packed(np.save, np.array([{"a": 1}], dtype=object), allow_pickle=True))
    with pytest.raises(UnreadableContent, match=r"code\.npy has Python objects"):
        files.open("code.npy")


@pytest.mark.slow
def test_hdf5_netcdf_and_yaml_are_opened_as_what_they_hold(files: Folder, tmp_path: Path) -> None:
    import h5py
    import numpy as np

    def write(target: Any) -> None:
        with h5py.File(target, "w") as file:
            file["volumes"] = np.arange(300_000)
            file["volumes"].attrs["unit"] = "µl"

    for name in ("a.h5", "a.hdf5", "a.nc"):
        files.upload(name, packed(write))
        with files.open(name) as opened:
            assert opened["volumes"][-1] == 299_999
            assert opened["volumes"].attrs["unit"] == "µl"
    files.upload("a.yaml", "volume: 1.5\nunit: µl\n".encode())
    assert files.open("a.yaml") == {"volume": 1.5, "unit": "µl"}

    config = tmp_path / "config.ini"
    config.write_text("api_token = edg_local")
    with h5py.File(tmp_path / "foreign.h5", "w") as foreign:
        foreign.create_dataset("x", (21,), "u1", external=[(config, 0, 21)])
    for name in ("foreign.h5", "foreign.nc"):
        files.upload(name, (tmp_path / "foreign.h5").read_bytes())
        with pytest.raises(UnreadableContent, match="is in another file"):
            files.open(name)
        with pytest.raises(UnreadableContent):
            files.open(name, "pandas")


def test_imageio_gives_an_array_when_named(files: Folder) -> None:
    from PIL import Image

    files.upload("a.png", packed(Image.new("RGB", (30, 20), (200, 10, 10)).save, "PNG"))
    array = files.open("a.png", open_with="imageio")
    assert array.shape == (20, 30, 3)
    assert array[3, 3].tolist() == [200, 10, 10]
    assert files.open("a.png").size == (30, 20), "by itself it is a Pillow image"


def test_a_name_without_a_suffix_is_opened_by_its_content(files: Folder, frame: Any) -> None:
    import numpy as np
    from PIL import Image

    picture = Image.new("RGB", (30, 20), (200, 10, 10))
    for content in (packed(frame.to_parquet), packed(frame.to_feather), spreadsheets.open_document("ods")):
        files.upload("content", content)
        assert files.open("content").equals(frame)
        assert files.open("content", open_with="pandas").equals(frame)
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP"):
        files.upload("content", packed(picture.save, kind))
        assert files.open("content").format == kind
    files.upload("content", packed(np.save, np.arange(5)))
    assert files.open("content").tolist() == [0, 1, 2, 3, 4]
    files.upload("content", packed(np.savez, a=np.arange(5)))
    assert files.open("content")["a"].tolist() == [0, 1, 2, 3, 4]
    for content in (b"", b"plain text", b"PK\3\4 some other archive", CSV.encode()):
        files.upload("content", content)
        opened = files.open("content")
        assert isinstance(opened, File)
        assert (opened.tell(), opened.read()) == (0, content)


def test_the_content_of_a_file_with_an_unknown_suffix_is_not_read(files: Folder, frame: Any) -> None:
    files.upload("table.v2", packed(frame.to_parquet))
    assert isinstance(files.open("table.v2"), File)
    assert files.open("table.v2", open_with="pandas").equals(frame)


def test_a_large_table_streams_whole(files: Folder) -> None:
    import pandas as pd

    rows = 200_000
    frame = pd.DataFrame({"n": range(rows), "half": [number / 2 for number in range(rows)]})
    files.upload("large.csv", frame.to_csv(index=False).encode())
    assert files.open("large.csv").equals(frame)
    packed = io.BytesIO()
    frame.to_parquet(packed)
    assert len(packed.getvalue()) > 1 << 20
    files.upload("large.parquet", packed.getvalue())
    assert files.open("large.parquet").equals(frame)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"])
def test_a_picture_is_a_pillow_image(files: Folder, kind: str) -> None:
    from PIL import Image

    packed = io.BytesIO()
    Image.new("RGB", (30, 20), (200, 10, 10)).save(packed, kind)
    files.upload(f"picture.{kind.lower()}", packed.getvalue())
    picture = files.open(f"picture.{kind.lower()}")
    assert picture.format == kind
    assert picture.size == (30, 20)
    assert picture.convert("RGB").getpixel((3, 3))[0] > 150


def test_json_and_text(files: Folder) -> None:
    files.upload("a.json", b'{"plates": [1, 2]}')
    assert files.open("a.json") == {"plates": [1, 2]}
    files.upload("a.txt", "grüße\n".encode())
    files.upload("bom.txt", "\ufeffgrüße\n".encode())
    assert files.open("a.txt") == files.open("bom.txt") == "grüße\n"
    assert files.open("a.json", open_with="text") == '{"plates": [1, 2]}'


def test_what_no_opener_knows_and_what_is_opened_with_file_are_bytes(files: Folder) -> None:
    files.upload("a.xyz", b"bytes")
    files.upload("a.csv", CSV.encode())
    for opened in (files.open("a.xyz"), files.open("a.csv", open_with="file")):
        assert isinstance(opened, File)
    assert files.open("a.csv", open_with="file").read() == CSV.encode()


def test_openers_do_not_open_folders(files: Folder) -> None:
    files.make_folder("a")
    for opener in ("file", "pil"):
        with pytest.raises(BadEntry, match="'a' is a folder, which '.*' does not open; leave open_with out"):
            files.open("a", open_with=opener)
    with pytest.raises(BadEntry, match="the opener 'nonsense' is not known"):
        files.open("a", open_with="nonsense")


def test_a_folder_of_parquet_files_is_a_table_by_name(files: Folder, tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({"volume": [1.5, 2.5, 3.5], "plate": ["007", "008", "__"]})
    frame.to_parquet(tmp_path, partition_cols=["plate"])
    files.upload_folder("plates.parquet", tmp_path)
    files.upload("plates.parquet/_SUCCESS", b"")
    with pytest.raises(UnreadableContent, match="has no Parquet files"):
        files.make_folder("empty")
        files.open("empty", "pandas")
    pd.testing.assert_frame_equal(files.open("plates.parquet", "pandas"), frame)
    assert isinstance(files.open("plates.parquet"), Folder)
    assert files.open("plates.parquet", "pandas", filters=[("plate", "=", "008")])["volume"].tolist() == [2.5]


def test_an_unknown_opener_says_which_there_are(files: Folder) -> None:
    files.upload("a.csv", b"")
    with pytest.raises(BadEntry, match="use one of file, h5py, imageio, json, numpy, pandas, pil, text, xarray, yaml"):
        files.open("a.csv", open_with="excel")


@pytest.mark.parametrize(
    ("name", "payload", "package", "command"),
    [
        ("a.csv", CSV.encode(), "pandas", "python -m pip install pandas"),
        ("a.parquet", b"PAR1", "pyarrow", "python -m pip install pandas pyarrow"),
        ("a.png", b"\x89PNG", "PIL", "python -m pip install pillow"),
        ("a.xlsx", b"PK", "python_calamine", "python -m pip install pandas python-calamine"),
        ("a.xls", b"x", "python_calamine", "python -m pip install pandas python-calamine"),
        ("a.odt", b"PK", "odf", "python -m pip install pandas odfpy"),
        ("a.npy", b"x", "numpy", "python -m pip install numpy"),
    ],
)
def test_the_error_of_a_missing_package_has_the_command_that_installs_it(
    files: Folder, monkeypatch: pytest.MonkeyPatch, name: str, payload: bytes, package: str, command: str
) -> None:
    files.upload(name, payload)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackage, match="which is not installed; run: ") as raised:
        files.open(name)
    assert str(raised.value).endswith(command)
    assert isinstance(raised.value, ImportError)
    assert files.open(name, open_with="file").read() == payload


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("a.csv", b""),
        ("a.csv", b"\xff\xfe\x00"),
        ("a.parquet", b"not parquet"),
        ("a.png", b"not a picture"),
        ("a.json", b"{"),
        ("a.txt", b"\xff\xff"),
        ("a.jsonl", b"{"),
        ("a.feather", b"not feather"),
        ("a.npy", b"not an array"),
        ("a.npz", b""),
        *((f"a{suffix}", b"not a sheet") for suffix in (".xls", ".xlsx", ".xlsm", ".xlsb", ".ods", ".odf", ".odt")),
    ],
)
def test_content_that_no_opener_can_read_is_a_single_sentence(files: Folder, name: str, payload: bytes) -> None:
    files.upload(name, payload)
    with pytest.raises(UnreadableContent, match='open_with="file" gives its bytes') as raised:
        files.open(name)
    assert raised.value.__cause__ is not None
    assert isinstance(raised.value, EdgeError)


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.txt"])
def test_damaged_content_never_becomes_data(files: Folder, edge_server: Any, name: str) -> None:
    payload = (CSV * 50_000).encode()
    files.upload(name, payload)
    for path in (edge_server.data / "content").rglob("*"):
        if path.is_file() and path.stat().st_size == len(payload):
            path.chmod(0o600)
            with path.open("r+b") as file:
                file.seek(len(payload) // 2)
                file.write(b"9")
    with pytest.raises(ChecksumError):
        files.open(name)


@pytest.fixture
def third_party(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a distribution with two openers, one of them broken."""
    metadata = tmp_path / "fasta_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: fasta-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[edge.openers]\nfasta = fasta_plugin:Opener\nbroken = no_such_module:X\n"
    )
    (tmp_path / "fasta_plugin.py").write_text(
        "plugin_api = 1\n"
        "class Opener:\n"
        "    suffixes = ('.fasta', '.csv')\n"
        "    def recognizes(self, head):\n"
        "        return head.startswith(b'>')\n"
        "    def open(self, file):\n"
        "        return file.read().decode().split('>')[1:]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.rescan()
    choosing._registry.cache_clear()
    yield
    registry.rescan()
    choosing._registry.cache_clear()


def test_a_third_party_opener_opens_its_suffix_and_takes_nobody_elses(
    files: Folder, third_party: None, frame: Any
) -> None:
    files.upload("a.fasta", b">one>two")
    files.upload("sequences", b">one>two")
    assert files.open("sequences") == ["one", "two"], "as its opener recognizes the content"
    files.upload("a.csv", CSV.encode())
    assert files.open("a.fasta") == ["one", "two"]
    assert files.open("a.csv").equals(frame)
    assert files.open("a.csv", open_with="fasta") == []
    with pytest.raises(PluginError, match="fasta-plugin"):
        files.open("a.csv", open_with="broken")
