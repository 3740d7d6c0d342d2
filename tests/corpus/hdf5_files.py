"""HDF5 and netCDF, as instruments and models write them, and as someone would who is after the reader's own files."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import h5netcdf
import h5py
import numpy
import scipy.io

from .cases import Case

CONFIG = "/home/someone/.edge/config.ini"

FOREIGN: dict[str, Callable[[h5py.File], Any]] = {
    "storage": lambda file: file.create_dataset("x", (40,), "u1", external=[(CONFIG, 0, 40)]),
    "link": lambda file: file.__setitem__("x", h5py.ExternalLink(CONFIG, "/")),
    "virtual": lambda file: _virtual(file),
    "circle": lambda file: _in_a_circle(file),
}


def cases() -> Iterator[Case]:
    for suffix in (".h5", ".hdf5"):
        plate = hdf5(lambda file: file.__setitem__("runs/plate", [2**53 + 1, 7]))
        yield Case(f"plate{suffix}", plate, "a dataset in a group", {"runs/plate": ("int64", [2**53 + 1, 7])})
        yield Case(f"nothing{suffix}", "", "no content", error="is empty")
        yield Case(f"truncated{suffix}", plate[:-100], "cut short", error="truncated file")
        yield Case(f"text{suffix}", "a,b\n1,2\n", "a table", error="file signature not found")
    own = hdf5(lambda file: _own_virtual(file))
    yield Case("own.h5", own, "a virtual dataset of the file itself", {"n": ("int64", [0, 1]), "x": ("int64", [0, 1])})
    block = hdf5(lambda file: file.__setitem__("x", [1]), userblock_size=512)
    yield Case("block.h5", block, "a block of the user's before it", {"x": ("int64", [1])})
    yield Case("UPPER.v2.H5", hdf5(lambda file: None), "nothing in it, an upper-case suffix", {})
    for way, write in FOREIGN.items():
        for name in (f"foreign_{way}.h5", f"foreign_{way}.nc"):
            yield Case(name, hdf5(write), f"a file of the reader's machine, {way}", error=f"another file, '{CONFIG}'")
    dangling = hdf5(_dangling)
    yield Case("dangling.h5", dangling, "a reference to nothing", error="could not be checked")

    whole = numpy.array([2**53 + 1, 7])
    yield Case("plate.nc", netcdf(id=(whole, {})), "whole numbers", {"id": ("int64", [2**53 + 1, 7])})
    gaps = netcdf(id=(whole, {"_FillValue": 7}))
    yield Case("gaps.nc", gaps, "ids with gaps", warns="as 9007199254740993; mask_and_scale=")
    few = netcdf(n=(numpy.array([1, 7]), {"_FillValue": 7}))
    yield Case("few.nc", few, "small numbers with gaps", {"n": ("float64", [1.0, float("nan")])})
    as_they_are = {"mask_and_scale": {"id": False}}
    yield Case("kept.nc", gaps, "ids as they are", {"id": ("int64", whole.tolist())}, options=as_they_are)
    packed = netcdf(v=(numpy.array([1, 2], "i2"), {"scale_factor": 0.5}))
    yield Case("packed.nc", packed, "packed numbers", {"v": ("float64", [0.5, 1.0])})
    seconds = netcdf(t=(numpy.array([0.5, 1.5]), {"units": "seconds"}))
    yield Case("seconds.nc", seconds, "durations", {"t": ("float64", [0.5, 1.5])})
    unit = {"units": "nanoseconds since 1970-01-01"}
    instants = netcdf(t=(numpy.array([1700000000123456789, 1]), unit))
    yield Case("instants.nc", instants, "nanoseconds", {"t": ("datetime64[ns]", [1700000000123456789, 1])})
    groups = hdf5(lambda file: file.__setitem__("PRODUCT/x", [1]))
    yield Case("groups.nc", groups, "variables in a group alone", {}, warns="group='PRODUCT'")
    yield Case("classic.nc", netcdf_3(), "netCDF-3", {"n": ("int32", [1, -2])})
    yield Case("cut.nc", netcdf_3()[:40], "netCDF-3, cut short", error="damaged or not a whole")
    yield Case("cdf5.nc", b"CDF\5" + bytes(28), "a kind that is not read", error="CDF-5")


def hdf5(write: Callable[[h5py.File], Any], **options: Any) -> bytes:
    target = io.BytesIO()
    with h5py.File(target, "w", **options) as file:
        write(file)
    return target.getvalue()


def netcdf(**variables: tuple[Any, dict[str, Any]]) -> bytes:
    target = io.BytesIO()
    with h5netcdf.File(target, "w") as file:
        file.dimensions = {"i": 2}
        for name, (values, attributes) in variables.items():
            fill = attributes.get("_FillValue")
            variable = file.create_variable(name, ("i",), values.dtype, fillvalue=fill)
            variable[:] = values
            variable.attrs.update({key: value for key, value in attributes.items() if key != "_FillValue"})
    return target.getvalue()


def netcdf_3() -> bytes:
    target = io.BytesIO()
    with scipy.io.netcdf_file(target, "w") as file:
        file.createDimension("i", 2)
        file.createVariable("n", "i4", ("i",))[:] = [1, -2]
        file.flush()
        return target.getvalue()


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(5,), dtype="i8")
    layout[:] = h5py.VirtualSource(CONFIG, "n", shape=(5,))
    file.create_virtual_dataset("x", layout)


def _own_virtual(file: h5py.File) -> None:
    file["n"] = [0, 1]
    layout = h5py.VirtualLayout(shape=(2,), dtype="i8")
    layout[:] = h5py.VirtualSource(".", "n", shape=(2,))
    file.create_virtual_dataset("x", layout)


def _in_a_circle(file: h5py.File) -> None:
    group = file.create_group("a/b")
    group["up"] = file["a"]
    group.create_dataset("x", (40,), "u1", external=[(CONFIG, 0, 40)])


def _dangling(file: h5py.File) -> None:
    file["x"] = [1]
    file.attrs["reference"] = file["x"].ref
    del file["x"]
