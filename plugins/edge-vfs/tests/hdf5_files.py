"""HDF5 files with parts that are elsewhere: in a file of the machine that reads them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy
from h5py import h5d, h5p, h5s, h5t

OBJECT = h5py.ref_dtype
LISTS = h5py.vlen_dtype(OBJECT)


def written(write: Callable[[h5py.File], None], **options: Any) -> bytes:
    """The bytes of a file that `write` fills."""
    target = io.BytesIO()
    with h5py.File(target, "w", **options) as file:
        write(file)
    return target.getvalue()


def external(group: h5py.Group, other: Path, name: str | None = "x") -> h5py.Dataset:
    """A dataset whose bytes are those of the file `other`."""
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_external(str(other).encode(), 0, 40)
    space = h5s.create_simple((40,))
    return h5py.Dataset(h5d.create(group.id, name and name.encode(), h5t.NATIVE_UINT8, space, creation))


def virtual(group: h5py.Group, *others: str, name: str = "x") -> None:
    layout = h5py.VirtualLayout(shape=(len(others), 5), dtype="i8")
    for row, other in enumerate(others):
        layout[row] = h5py.VirtualSource(other, "numbers", shape=(5,))
    group.create_virtual_dataset(name, layout)


def numbered(group: h5py.Group, other: Path) -> None:
    """A virtual dataset whose rows are those of the files ``other0``, ``other1``, ... as far as there are any."""
    creation = h5p.create(h5p.DATASET_CREATE)
    space = h5s.create_simple((2, 5), (h5s.UNLIMITED, 5))
    space.select_hyperslab((0, 0), (h5s.UNLIMITED, 1), (1, 5), (1, 5))
    creation.set_virtual(space, f"{other}%b".encode(), b"numbers", h5s.create_simple((5,)))
    h5d.create(group.id, b"x", h5t.NATIVE_INT64, space, creation)


def elsewhere(other: Path) -> dict[str, Callable[[h5py.File], Any]]:
    """Ways to name the file `other` at a place that a link leads to."""

    def in_a_circle(file: h5py.File) -> None:
        group = file.create_group("a/b")
        group["up"] = file["a"]
        external(group, other)

    def after_its_own(file: h5py.File) -> None:
        file["numbers"] = numpy.arange(5)
        virtual(file, ".", str(other))

    return {
        "external storage": lambda file: external(file, other),
        "external link": lambda file: file.__setitem__("x", h5py.ExternalLink(str(other), "/")),
        "virtual dataset": lambda file: virtual(file, str(other)),
        "virtual dataset of many files": lambda file: numbered(file, other),
        "virtual dataset, in part": after_its_own,
        "in a group that is in itself": in_a_circle,
        "behind many links": lambda file: external(file.create_group("/".join("abcdefgh")), other),
    }


def referring(file: h5py.File, way: str, other: Path) -> None:
    """Refer to a dataset, hidden, whose bytes are elsewhere; see `without_link`."""
    file["shown"] = numpy.arange(3)
    hidden = external(file, other, "hidden")
    reference = hidden.ref
    if way == "attribute":
        file["shown"].attrs["reference"] = reference
    elif way == "attribute of a type":
        file["type"] = numpy.dtype("i4")
        file["type"].attrs["reference"] = reference
    elif way == "region":
        file["shown"].attrs["region"] = hidden.regionref[2:4]
    elif way == "lists in an attribute":
        file["shown"].attrs.create(
            "lists", numpy.array([numpy.array([reference], OBJECT), None], object)[:1], dtype=LISTS
        )
    elif way == "fields in an attribute":
        fields = numpy.array([(reference, 1)], numpy.dtype([("dataset", OBJECT), ("dimension", "i4")]))
        file["shown"].attrs["fields"] = fields
    elif way == "dataset":
        file.create_dataset("references", (2, 2), OBJECT)[1, 1] = reference
    elif way == "lists in a dataset":
        file.create_dataset("lists", (2,), LISTS)[1] = numpy.array([reference], OBJECT)
    elif way == "array in a dataset":
        kind = numpy.dtype([("pair", OBJECT, (2,))])
        table = numpy.zeros(1, kind)
        table["pair"] = [h5py.Reference(), reference]
        file.create_dataset("pairs", data=table)


WAYS = (
    "attribute",
    "attribute of a type",
    "region",
    "lists in an attribute",
    "fields in an attribute",
    "dataset",
    "lists in a dataset",
    "array in a dataset",
)


def without_link(way: str, other: Path) -> bytes:
    """A file whose dataset that is elsewhere is only found by a reference: its link leads to another dataset."""
    addresses: dict[str, int] = {}

    def write(file: h5py.File) -> None:
        referring(file, way, other)
        addresses.update({name: h5py.h5o.get_info(file[name].id).addr for name in ("hidden", "shown")})

    content = bytearray(written(write))
    links = content.index(b"SNOD")
    entry = content.index(addresses["hidden"].to_bytes(8, "little"), links)
    content[entry : entry + 8] = addresses["shown"].to_bytes(8, "little")
    return bytes(content)
