"""NetCDF files as xarray datasets: netCDF-4 by h5netcdf where they are, netCDF-3 by SciPy as a whole."""

from __future__ import annotations

import io
from collections.abc import Collection
from typing import Any, ClassVar

from edge_vfs.file import File
from edge_vfs.openers import hdf5, whole_numbers
from edge_vfs.openers.opener import Content, UnreadableContent, UnsavableValue, head_of, need, warn

_NETCDF_3 = (b"CDF\1", b"CDF\2")
_CDF_5 = b"CDF\5"

OPTIONS = frozenset(
    {
        "concat_characters",
        "decode_cf",
        "decode_coords",
        "decode_timedelta",
        "decode_times",
        "drop_variables",
        "mask_and_scale",
        "use_cftime",
    }
)

MAX_LOOKED_THROUGH = 64 << 20
"""Bytes of a variable that are read to see whether a float changes one of its numbers; of a larger one it may."""


class XarrayOpener:
    """NetCDF files as ``xarray.Dataset``, whose variables are read when they are accessed.

    A file with parts in other files is refused, since these would be read on the user's machine.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".nc",)

    def modules(self, file: File) -> Collection[str]:
        return {"xarray", "h5netcdf", "h5py", "scipy"}

    def options(self, file: File) -> Collection[str]:
        return OPTIONS if head_of(file).startswith(_NETCDF_3) else OPTIONS | {"group"}

    def open(self, file: File, group: str | None = None, **options: Any) -> Any:
        options.setdefault("decode_timedelta", False)  # a duration of 5 s is a number with a unit
        head = head_of(file)
        if head.startswith(_CDF_5):
            raise UnreadableContent(
                f"{file.basename} is a netCDF file of the kind CDF-5, which is not read here; "
                f"nccopy -k nc4 makes one of the kind netCDF-4 of it"
            )
        if head.startswith(_NETCDF_3):
            need("netCDF", file, "xarray", "scipy")
            return _netcdf_3(file, options)
        need("netCDF", file, "xarray", "h5netcdf", "h5py")
        return _netcdf_4(file, group, options)

    def save_options(self, basename: str) -> Collection[str]:
        return {"decode_timedelta", "use_cftime"}

    def save(self, file: Content, value: Any, **options: Any) -> None:
        xarray = need("netCDF", file, "xarray", "h5netcdf", "h5py", doing="saving")
        if type(value) is not xarray.Dataset:
            raise UnsavableValue(f"an xarray.Dataset is needed, not {type(value).__name__}; to_dataset makes one")
        import h5netcdf
        from xarray.backends import H5NetCDFStore

        # In memory: where a disk is full, HDF5 ends the whole process.
        written = io.BytesIO()
        with h5netcdf.File(written, "w") as netcdf:
            # Without the encoding of the file that it came from, which may round.
            value.drop_encoding().dump_to_store(H5NetCDFStore(netcdf))
        file.write(written.getbuffer())

    def difference(self, value: Any, opened: Any, **options: Any) -> str | None:
        with opened:
            for name, variable in value.variables.items():
                if name not in opened.variables:
                    return f"the variable {name!r} does not come back"
                comes_back = opened.variables[name]
                if variable.dtype != comes_back.dtype and not (_holds_texts(variable) and _holds_texts(comes_back)):
                    clause = f"the variable {name!r} is of type {variable.dtype}, and comes back as {comes_back.dtype}"
                    return f"{clause}; astype converts it" if variable.dtype.kind == "M" else clause
                if not variable.identical(comes_back):
                    return f"the variable {name!r} comes back with other values or attributes"
            return None if value.identical(opened) else "its attributes or coordinates do not come back as they are"


def _holds_texts(variable: Any) -> bool:
    """Return whether a variable is of texts, in NumPy's type or in that of Python."""
    kind = variable.dtype.kind
    return kind in "UT" or (kind == "O" and all(isinstance(text, str) for text in variable.values.flat))


def _netcdf_3(file: File, options: dict[str, Any]) -> Any:
    import xarray

    with file:
        content = file.readall()
    try:
        return xarray.open_dataset(io.BytesIO(content), engine="scipy", **options)
    except IndexError as error:
        raise UnreadableContent(
            f'{file.basename} is damaged or not a whole netCDF file; open_with="file" gives its bytes'
        ) from error


def _netcdf_4(file: File, group: str | None, options: dict[str, Any]) -> Any:
    import h5netcdf
    import xarray
    from xarray.backends import H5NetCDFStore

    hdf5_file = hdf5.opened(file)
    try:
        # Dimensions that have no names are numbered as the netCDF library does.
        netcdf = h5netcdf.File(hdf5_file, "r", phony_dims="sort", decode_vlen_strings=True)
        groups = sorted(netcdf.groups)
        if group is not None and not isinstance(netcdf.get(group), h5netcdf.Group):
            offer = f"use one of {', '.join(groups)}" if groups else "leave group out"
            raise UnreadableContent(f"{file.basename} has no group {group!r}; {offer}")
        store = H5NetCDFStore(netcdf, group=group)
        dataset = xarray.open_dataset(store, **options)
        dataset.set_close(hdf5_file.close)
        if groups and group is None:
            warn(
                f"{file.basename} has the groups {', '.join(groups)} beside what was opened; "
                f"group={groups[0]!r} opens the first of them"
            )
        if suspects := _suspects(dataset):
            _warn_of_changes(file, suspects, xarray.open_dataset(store, decode_cf=False))
    except BaseException:
        hdf5_file.close()
        raise
    return dataset


def _suspects(dataset: Any) -> dict[str, Any]:
    """Return the variables with whole numbers of 64 bits that were given as floats, because of their gaps alone."""
    return {
        name: variable
        for name, variable in dataset.variables.items()
        if variable.dtype == "float64"
        and str(variable.encoding.get("dtype")) in ("int64", "uint64")
        and not {"scale_factor", "add_offset"} & set(variable.encoding)
    }


def _warn_of_changes(file: File, suspects: dict[str, Any], stored: Any) -> None:
    limit = whole_numbers.EXACT_UP_TO
    for name, variable in suspects.items():
        if variable.nbytes > MAX_LOOKED_THROUGH:
            change = f"those beyond {limit} as floats lose digits"
        else:
            numbers = stored.variables[name].values
            large = set(numbers[(numbers > limit) | (numbers < -limit)].tolist())
            large -= {variable.encoding.get("_FillValue"), variable.encoding.get("missing_value")}
            changed = sorted(number for number in large if not whole_numbers.is_float(number))
            if not changed:
                continue
            change = f"some of them as floats lose digits, as {changed[0]}"
        warn(
            f"the whole numbers {name!r} of {file.basename} have gaps, and {change}; "
            f"mask_and_scale={{{name!r}: False}} gives them as they are, and its _FillValue for the gaps"
        )
