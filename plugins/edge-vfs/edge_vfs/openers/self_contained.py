"""Whether all of an HDF5 file's content is in the file itself.

An HDF5 file can name other files: raw bytes of a dataset (external storage), whole objects (external links) and
parts of arrays (virtual datasets). The HDF5 library reads these on the machine of whoever opens the file, with any
path, so that a foreign file shows `~/.edge/config.ini` as an array. No setting of the library turns this off: a
prefix for such paths does not apply to absolute ones.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from edge_vfs.openers.opener import UnreadableContent, edge_error

if TYPE_CHECKING:
    import h5py

MAX_REFERENCES = 1_000_000
"""Elements of a dataset or attribute with references that are looked through."""

MAX_SIZE = 256 << 20
"""Bytes of a dataset or attribute with references that is looked through."""

MAX_LISTS = 64
"""Elements of an attribute whose elements are lists of references; netCDF has one for each dimension."""

_ADVICE = "if you trust whoever made it, download it and open it with h5py"


class _Place(NamedTuple):
    """An object that is still to be checked."""

    open: Callable[[], Any]
    address: int
    path: str


def check_self_contained(file: h5py.File, name: str | None = None) -> None:
    """Raise unless all of a file's content is in the file itself, so that reading it reads nothing else here.

    All objects are visited: those that are linked, and those that only a reference leads to. No content of datasets
    is read, unless they hold references. The file's metadata stays in memory until the file is closed.

    Args:
        file: a file that was opened for reading.
        name: what the error calls it; by default its `filename`.

    Raises:
        UnreadableContent: an object of the file is elsewhere (external storage, an external or user-defined link, a
            virtual dataset of another file), or cannot be checked.
    """
    name = name or file.filename
    try:
        _keep_metadata(file)
        visited: set[int] = set()
        waiting = [_root(file)]
        while waiting:
            place = waiting.pop()
            if place.address in visited:
                continue
            visited.add(place.address)
            # In the order of the addresses, which is that of the bytes: a remote file is then read on.
            waiting += sorted(_check(file, name, place), key=lambda following: -following.address)
    except UnreadableContent:
        raise
    except Exception as error:
        if cause := edge_error(error):
            raise cause from None
        raise UnreadableContent(
            f"{name} is not opened, since it could not be checked whether parts of it are in other files "
            f"({type(error).__name__}: {error}); {_ADVICE}"
        ) from error


@functools.cache
def _h5py() -> Any:
    return importlib.import_module("h5py")  # without types of its own


def _keep_metadata(file: h5py.File) -> None:
    """Keep in memory what is read of the file's structure: what was checked is then what is used, and is read once."""
    config = file.id.get_mdc_config()
    config.evictions_enabled = False
    config.incr_mode = config.flash_incr_mode = config.decr_mode = 0  # the library demands this of a fixed cache
    file.id.set_mdc_config(config)


def _root(file: h5py.File) -> _Place:
    h5py = _h5py()
    return _Place(functools.partial(h5py.h5o.open, file.id, b"/"), h5py.h5o.get_info(file.id).addr, "/")


def _check(file: h5py.File, name: str, place: _Place) -> Iterator[_Place]:
    """Raise if an object is elsewhere; iterate over the objects that it leads to."""
    h5py = _h5py()
    opened = place.open()
    if h5py.h5o.get_info(opened).addr != place.address:
        raise ValueError(f"another object has the name {place.path!r}")
    if isinstance(opened, h5py.h5g.GroupID):
        yield from _linked(name, opened, place.path)
    elif isinstance(opened, h5py.h5d.DatasetID):
        _check_dataset(name, opened, place.path)
        yield from _referred_to(file, _references_of_dataset(opened), place.path)
    elif not isinstance(opened, h5py.h5t.TypeID):
        raise ValueError(f"{place.path!r} is an object of an unknown kind")
    yield from _referred_to(file, _references_of_attributes(opened), place.path)


def _linked(name: str, group: Any, path: str) -> Iterator[_Place]:
    h5py = _h5py()
    links: list[tuple[bytes, int, int]] = []
    group.links.iterate(lambda link, about: links.append((link, about.type, about.u)), info=True)
    for link, kind, address in links:
        member = f"{path.rstrip('/')}/{link.decode(errors='replace')}"
        if kind == h5py.h5l.TYPE_EXTERNAL:
            raise _elsewhere(name, member, group.links.get_val(link)[0])
        if kind == h5py.h5l.TYPE_SOFT:
            continue  # a path in this file, to an object that a hard link leads to
        if kind != h5py.h5l.TYPE_HARD or b"/" in link or link in (b"", b"."):
            raise ValueError(f"{member!r} is a link of an unknown kind")
        yield _Place(functools.partial(h5py.h5o.open, group, link), address, member)


def _check_dataset(name: str, dataset: Any, path: str) -> None:
    h5py = _h5py()
    creation = dataset.get_create_plist()
    if creation.get_external_count():
        raise _elsewhere(name, path, creation.get_external(0)[0])
    if creation.get_layout() == h5py.h5d.VIRTUAL:
        for number in range(creation.get_virtual_count()):
            source = creation.get_virtual_filename(number)
            if source != ".":  # which is this file
                raise _elsewhere(name, path, source)


def _elsewhere(name: str, path: str, other: bytes | str) -> UnreadableContent:
    other = other.decode(errors="replace") if isinstance(other, bytes) else other
    return UnreadableContent(
        f"{name} is not opened, since its {path!r} is in another file, {other!r}, which would be read on this "
        f"machine; {_ADVICE}"
    )


def _referred_to(file: h5py.File, references: Iterator[Any], path: str) -> Iterator[_Place]:
    h5py = _h5py()
    for reference in references:
        if reference:
            opening = functools.partial(h5py.h5r.dereference, reference, file.id)
            yield _Place(opening, h5py.h5o.get_info(opening()).addr, f"{path} (by reference)")


def _references_of_attributes(opened: Any) -> Iterator[Any]:
    h5py = _h5py()
    for number in range(h5py.h5a.get_num_attrs(opened)):
        attribute = h5py.h5a.open(opened, index=number)
        kind = attribute.get_type()
        if kind.detect_class(h5py.h5t.REFERENCE):
            is_list = kind.detect_class(h5py.h5t.VLEN)
            _check_size(kind, attribute.get_space(), MAX_LISTS if is_list else MAX_REFERENCES)
            yield from _references(h5py.HLObject(opened).attrs[attribute.name.decode("utf-8", "surrogateescape")])


def _references_of_dataset(opened: Any) -> Iterator[Any]:
    import numpy

    h5py = _h5py()
    kind = opened.get_type()
    if not kind.detect_class(h5py.h5t.REFERENCE):
        return
    dataset = h5py.Dataset(opened)
    if dataset.is_virtual:  # reading it reads its sources, which may not have been checked yet
        raise ValueError("virtual datasets of references are not looked through")
    _check_size(kind, opened.get_space(), MAX_REFERENCES)
    if opened.get_create_plist().fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED:
        yield from _references(dataset.fillvalue)
    if kind.detect_class(h5py.h5t.VLEN):
        # Each by itself: the lists of all elements can be the same bytes of the file.
        for position in numpy.ndindex(dataset.shape or ()):
            yield from _references(dataset[position])
    else:
        yield from _references(dataset[()])


def _check_size(kind: Any, space: Any, limit: int) -> None:
    elements = space.get_simple_extent_npoints()
    if elements > limit or elements * kind.get_size() > MAX_SIZE:
        raise ValueError(f"{elements} elements with references are too many")


def _references(value: Any) -> Iterator[Any]:
    import numpy

    h5py = _h5py()
    if isinstance(value, h5py.h5r.Reference):
        yield value
    elif isinstance(value, numpy.ndarray | numpy.void) and value.dtype.names:
        for field in value.dtype.names:
            yield from _references(value[field])
    elif isinstance(value, numpy.ndarray) and value.dtype == object:
        for element in value.flat:
            yield from _references(element)
