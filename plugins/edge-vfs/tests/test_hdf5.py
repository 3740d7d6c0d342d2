"""HDF5 files are read where they are, and read nothing else of the machine."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy
import pytest

from edge_core.errors import BadEntry, ConnectionFailed, MissingPackage
from edge_vfs.file import File
from edge_vfs.folder import Folder
from edge_vfs.openers import UnreadableContent, check_self_contained, self_contained

from . import hdf5_files
from .hdf5_files import written
from .opening import SingleFile, opened

TOKEN = "edg_local_token"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / ".edge" / "config.ini"
    path.parent.mkdir()
    path.write_text(f"[default]\napi_token = {TOKEN}\n")
    return path


def plate(file: h5py.File) -> None:
    table = file.create_dataset("runs/plate", data=numpy.arange(12).reshape(3, 4))
    table.attrs["unit"] = "µM"
    file["soft"] = h5py.SoftLink("/runs/plate")
    file["id"] = numpy.array([9007199254740993], "i8")


@pytest.mark.parametrize("name", ["a.h5", "A.HDF5"])
def test_a_file_is_opened_by_h5py(name: str) -> None:
    with opened(name, written(plate)) as file:
        assert isinstance(file, h5py.File)
        assert file["runs/plate"][1].tolist() == [4, 5, 6, 7]
        assert file["soft"].attrs["unit"] == "µM"
        assert file["id"][0] == 9007199254740993
    assert not file


def test_closing_it_closes_what_it_reads() -> None:
    file = opened("a.h5", written(plate))
    plate_of_it = file["runs/plate"]
    file.close()
    assert not plate_of_it


@pytest.mark.parametrize("way", hdf5_files.elsewhere(Path()))
@pytest.mark.parametrize("options", [{}, {"libver": "latest"}], ids=["oldest", "latest"])
def test_a_file_that_names_a_file_of_this_machine_is_refused(config: Path, way: str, options: dict[str, str]) -> None:
    content = written(hdf5_files.elsewhere(config)[way], **options)
    with pytest.raises(UnreadableContent, match=r"a\.h5 is not opened, since its '/.*' is in another file") as raised:
        opened("a.h5", content)
    assert str(config) in str(raised.value)
    assert "download it and open it with h5py" in str(raised.value)
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize("way", hdf5_files.WAYS)
def test_a_file_that_names_it_where_only_a_reference_leads_is_refused(config: Path, way: str) -> None:
    content = hdf5_files.without_link(way, config)
    with pytest.raises(UnreadableContent, match=r"a\.h5 is not opened, since its .*by reference.*in another file"):
        opened("a.h5", content)


def dangling(file: h5py.File) -> None:
    file["x"] = [1]
    file.attrs["reference"] = file["x"].ref
    del file["x"]


def of_a_users_own_kind() -> bytes:
    content = written(lambda file: file.__setitem__("x", h5py.ExternalLink("other.h5", "/")))
    assert content.count(b"\x40\x01x") == 1
    return content.replace(b"\x40\x01x", b"\x41\x01x")


def virtual_references(file: h5py.File) -> None:
    file["numbers"] = numpy.array([file.ref], h5py.ref_dtype)
    layout = h5py.VirtualLayout(shape=(1,), dtype=h5py.ref_dtype)
    layout[:] = h5py.VirtualSource(".", "numbers", shape=(1,), dtype=h5py.ref_dtype)
    file.create_virtual_dataset("x", layout)


@pytest.mark.parametrize("content", [written(dangling), written(virtual_references), of_a_users_own_kind()])
def test_what_cannot_be_checked_is_refused(content: bytes) -> None:
    with pytest.raises(UnreadableContent, match="could not be checked whether parts of it are in other files"):
        opened("a.h5", content)


@pytest.mark.parametrize("way", ["dataset", "attribute"])
def test_more_references_than_can_be_looked_through_are_refused(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    def write(file: h5py.File) -> None:
        references = numpy.array([file.ref] * 5, h5py.ref_dtype)
        if way == "dataset":
            file["references"] = references
        else:
            file.attrs["references"] = references

    opened("a.h5", written(write)).close()
    monkeypatch.setattr(self_contained, "MAX_REFERENCES", 4)
    with pytest.raises(UnreadableContent, match="5 elements with references are too many"):
        opened("a.h5", written(write))


def test_what_is_in_the_file_itself_may_be_linked_referred_to_and_virtual() -> None:
    def write(file: h5py.File) -> None:
        file["numbers"] = numpy.arange(5)
        hdf5_files.virtual(file, ".", ".")
        file["again"] = file["numbers"]
        file["group/up"] = file["/"]
        file["references"] = numpy.array([file["numbers"].ref, h5py.Reference()], h5py.ref_dtype)

    with opened("a.h5", written(write)) as file:
        assert file["x"][:].tolist() == [[0, 1, 2, 3, 4]] * 2
        assert file["group/up/again"][4] == 4
        assert file[file["references"][0]][4] == 4


def test_what_is_opened_otherwise_can_be_checked(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(written(hdf5_files.elsewhere(config)["external storage"]))
    with h5py.File(path) as file, pytest.raises(UnreadableContent, match=r"a\.h5 is not opened"):
        check_self_contained(file)


def test_the_check_reads_no_datasets_and_what_it_read_is_not_requested_again() -> None:
    def write(file: h5py.File) -> None:
        for number in range(4):
            file[f"large{number}"] = numpy.arange(1_000_000)
        for number in range(500):
            file[f"runs/{number}"] = [number]

    content = written(write)
    store = SingleFile(content)
    with Folder(store).open("a.h5") as file:  # type: ignore[type-var]
        requests = len(store.content_reader.ranges)
        assert requests <= 12
        assert store.content_reader.sent < len(content) / 8
        assert file["runs/7"][0] == 7
        assert len(file["runs"]) == 500
        assert len(store.content_reader.ranges) == requests
        assert file["large1"][-1] == 999_999


def test_a_broken_connection_is_an_error_of_ours() -> None:
    content = written(lambda file: file.create_dataset("x", data=numpy.arange(1_000_000)))
    with pytest.raises(ConnectionFailed):
        Folder(SingleFile(content, breaks_after=0)).open("a.h5")  # type: ignore[type-var]


@pytest.mark.parametrize("content", [b"not HDF5", written(plate)[:-1000]])
def test_what_is_not_hdf5_is_refused(content: bytes) -> None:
    with pytest.raises(UnreadableContent, match=r'a\.h5 could not be opened by H5PyOpener.*open_with="file"'):
        opened("a.h5", content)


def test_code_that_takes_bytes_meets_an_error_that_says_what_to_do() -> None:
    with (
        opened("a.h5", written(plate)) as file,
        pytest.raises(TypeError, match=r'open\(.a\.h5., "file"\) for its bytes'),
    ):
        h5py.File(file)
    with h5py.File(opened("a.h5", written(plate), "file")) as file:
        assert "runs" in file


def test_it_is_not_read_as_a_table_and_takes_no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnreadableContent):
        opened("a.h5", written(plate), "pandas")
    with pytest.raises(BadEntry, match="does not take the option driver"):
        opened("a.h5", written(plate), driver="core")
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert isinstance(opened("a.h5", b"?"), File)
    with pytest.raises(MissingPackage, match="python -m pip install h5py"):
        opened("a.h5", b"?", "h5py")


def test_it_is_shown_by_its_name() -> None:
    with opened("runs/a.h5", written(plate)) as first, opened("runs/a.h5", written(plate)) as second:
        assert repr(first) == '<HDF5 file "a.h5" (mode r)>'
        assert first.filename == second.filename == "a.h5"
    assert repr(first) == "<Closed HDF5 file>"
