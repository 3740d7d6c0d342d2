"""NetCDF files are xarray datasets with the values that the file states, and read nothing else of the machine."""

from __future__ import annotations

import io
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy
import pytest
import scipy.io
import xarray

from edge_core.errors import BadEntry, MissingPackage
from edge_vfs.file import File
from edge_vfs.folder import Folder
from edge_vfs.openers import InexactWarning, UnreadableContent, netcdf

from . import hdf5_files
from .memory import MemoryStore
from .opening import SingleFile, opened


def written(*variables: tuple[str, Any, dict[str, Any]], groups: tuple[str, ...] = ()) -> bytes:
    """A netCDF-4 file with variables of a name, values and attributes."""
    target = io.BytesIO()
    with h5netcdf.File(target, "w") as file:
        file.dimensions = {"t": 3}
        for place in (file, *map(file.create_group, groups)):
            for name, values, attributes in variables:
                values = numpy.asarray(values)
                variable = place.create_variable(name, ("t",), values.dtype, fillvalue=attributes.pop("fill", None))
                variable[:] = values
                variable.attrs.update(attributes)
    return target.getvalue()


def written_3(version: int = 1) -> bytes:
    target = io.BytesIO()
    with scipy.io.netcdf_file(target, "w", version=version) as file:
        file.createDimension("t", 3)
        variable = file.createVariable("count", "i4", ("t",))
        variable[:] = [1, 2147483647, -7]
        variable.units = "1"
        file.flush()
        return target.getvalue()


def test_a_file_is_opened_by_xarray() -> None:
    content = written(("t", [1, 2, 3], {}), ("count", numpy.array([9007199254740993, 2, 3]), {"units": "1"}))
    with opened("a.nc", content) as dataset:
        assert isinstance(dataset, xarray.Dataset)
        assert dataset["count"].values.tolist() == [9007199254740993, 2, 3]
        assert (dataset["count"].dtype, dataset["count"].attrs["units"]) == ("int64", "1")
        assert dataset["count"].sel(t=3) == 3
    assert opened("a.hdf5", content, "xarray")["count"][0] == 9007199254740993


@pytest.mark.parametrize("version", [1, 2])
def test_netcdf_3_is_opened_as_well(version: int) -> None:
    dataset = opened("a.nc", written_3(version))
    assert dataset["count"].values.tolist() == [1, 2147483647, -7]
    dataset.close()


def test_values_are_decoded_as_the_attributes_state() -> None:
    days = {"units": "days since 0001-01-01", "calendar": "proleptic_gregorian"}
    content = written(
        ("scaled", numpy.array([0, 1, -1], "i2"), {"scale_factor": 0.5, "add_offset": 1.0, "fill": numpy.int16(-1)}),
        ("nanoseconds", [1700000000123456789, -1, 0], {"units": "nanoseconds since 1970-01-01", "fill": -1}),
        ("ancient", [0, 1, 2], days),
        ("noleap", [0, 31, 59], {"units": "days since 2024-01-01", "calendar": "noleap"}),
        ("seconds", [0.5, 1.5, 100000.0], {"units": "seconds"}),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", xarray.SerializationWarning)
        with opened("a.nc", content) as dataset:
            assert dataset["scaled"].values[:2].tolist() == [1.0, 1.5]
            assert numpy.isnan(dataset["scaled"].values[2])
            assert dataset["nanoseconds"].values[0] == numpy.datetime64("2023-11-14T22:13:20.123456789")
            assert numpy.isnat(dataset["nanoseconds"].values[1])
            assert dataset["ancient"].values[1].isoformat() == "0001-01-02T00:00:00"
            assert dataset["noleap"].values[2].isoformat() == "2024-03-01T00:00:00"
            assert dataset["seconds"].values.tolist() == [0.5, 1.5, 100000.0]
    with opened("a.nc", content, decode_cf=False) as dataset:
        assert dataset["scaled"].values.tolist() == [0, 1, -1]
        assert dataset["nanoseconds"].values[0] == 1700000000123456789


@pytest.mark.parametrize("kind", ["i8", "u8"])
def test_whole_numbers_that_floats_would_change_give_a_warning(kind: str) -> None:
    gap = numpy.iinfo(kind).max
    numbers = numpy.array([9007199254740993, gap, 5], kind)
    content = written(("id", numbers, {"fill": numbers.dtype.type(gap)}))
    with pytest.warns(InexactWarning, match=r"'id' of a\.nc have gaps, and some .* lose digits, as 9007199254740993"):
        opened("a.nc", content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert opened("a.nc", content, mask_and_scale={"id": False})["id"].values.tolist() == numbers.tolist()
        even = numpy.array([2**60, gap, -5 if kind == "i8" else 5], kind)
        exact = opened("a.nc", written(("id", even, {"fill": even.dtype.type(gap)})))
        assert exact["id"].values[0] == 2**60


def test_a_large_variable_gives_it_without_being_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netcdf, "MAX_LOOKED_THROUGH", 23)
    with pytest.warns(InexactWarning, match="those beyond 9007199254740992 as floats lose digits"):
        opened("a.nc", written(("id", [1, -1, 2], {"fill": -1})))


def test_groups_give_a_warning_and_can_be_opened() -> None:
    content = written(("x", [1, 2, 3], {}), groups=("PRODUCT", "METADATA"))
    with pytest.warns(InexactWarning, match=r"a\.nc has the groups METADATA, PRODUCT .*; group='METADATA' opens"):
        assert opened("a.nc", content)["x"][2] == 3
    assert opened("a.nc", content, group="PRODUCT")["x"][2] == 3
    for name in ("other", "x", "PRODUCT/x"):
        with pytest.raises(UnreadableContent, match=f"has no group '{name}'; use one of METADATA, PRODUCT"):
            opened("a.nc", content, group=name)
    with pytest.raises(BadEntry, match="does not take the option group for it"):
        opened("a.nc", written_3(), group="PRODUCT")


@pytest.mark.parametrize("way", hdf5_files.elsewhere(Path()))
def test_a_file_that_names_a_file_of_this_machine_is_refused(tmp_path: Path, way: str) -> None:
    config = tmp_path / ".edge" / "config.ini"
    content = hdf5_files.written(hdf5_files.elsewhere(config)[way])
    with pytest.raises(UnreadableContent, match=r"a\.nc is not opened, since its '/.*' is in another file") as raised:
        opened("a.nc", content)
    assert str(config) in str(raised.value)


def test_it_is_read_where_it_is() -> None:
    def write(file: h5py.File) -> None:
        for number in range(8):
            file[f"x{number}"] = numpy.arange(1_000_000)

    content = hdf5_files.written(write)
    store = SingleFile(content)
    with Folder(store).open("a.nc") as dataset:  # type: ignore[type-var]
        assert store.content_reader.sent < len(content) / 8
        assert dataset["x1"][-1] == 999_999


@pytest.mark.parametrize("content", [b"", b"CDF", b"not netCDF", written_3()[:40], written_3()[:-4]])
def test_what_is_not_netcdf_is_refused(content: bytes) -> None:
    with pytest.raises(UnreadableContent, match=r'a\.nc .*[;,] (or )?open_with="file" gives its bytes'):
        opened("a.nc", content)


def test_the_kind_that_is_not_read_is_named() -> None:
    with pytest.raises(UnreadableContent, match="kind CDF-5, which is not read here; nccopy -k nc4 makes"):
        opened("a.nc", b"CDF\5" + bytes(28))


@pytest.mark.parametrize(
    ("package", "content", "names"),
    [
        ("xarray", b"\x89HDF\r\n\x1a\n", "xarray h5netcdf h5py"),
        ("h5netcdf", b"\x89HDF\r\n\x1a\n", "xarray h5netcdf h5py"),
        ("scipy", b"CDF\1", "xarray scipy"),
    ],
)
def test_where_a_package_is_missing_it_is_a_file(
    monkeypatch: pytest.MonkeyPatch, package: str, content: bytes, names: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert isinstance(opened("a.nc", content), File)
    with pytest.raises(MissingPackage, match=f"as netCDF needs {package}.*: python -m pip install {names}$"):
        opened("a.nc", content, "xarray")


@pytest.mark.parametrize("option", ["engine", "backend_kwargs", "storage_options", "chunks", "driver"])
def test_options_that_choose_a_reader_are_refused(option: str) -> None:
    with pytest.raises(BadEntry, match=f"does not take the option {option} for it; use only .*mask_and_scale"):
        opened("a.nc", written(), **{option: "x"})


def test_a_dataset_is_saved_without_a_file_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    store: Any = MemoryStore()
    dataset = xarray.Dataset({"x": ("t", numpy.arange(3.0))}, attrs={"unit": "µM"})
    Folder(store).save("a.nc", dataset)
    with Folder(store).open("a.nc") as back:
        assert back.identical(dataset)
