"""Arrays and archives of them; Python objects in them are refused by a sentence."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy
import pytest

from edge_vfs.openers import UnreadableContent

from .opening import opened


def archive(**arrays: Any) -> bytes:
    target = io.BytesIO()
    numpy.savez(target, **arrays)
    return target.getvalue()


def test_an_archive_gives_its_arrays_and_refuses_objects_in_it() -> None:
    content = archive(numbers=numpy.arange(3), code=numpy.array([{"a": 1}], dtype=object))
    with opened("a.npz", content) as members:
        assert isinstance(members, numpy.lib.npyio.NpzFile)
        assert sorted(members) == ["code", "numbers"]
        assert members["numbers"].tolist() == [0, 1, 2]
        with pytest.raises(UnreadableContent, match=r"code of a\.npz has Python objects"):
            members["code"]
        with pytest.raises(KeyError):
            members["other"]


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_a_pickle_is_refused(name: str) -> None:
    with pytest.raises(UnreadableContent, match=f"{name} has Python objects or is no array, and is not read"):
        opened(name, pickle.dumps({"a": 1}))


def test_a_structured_array_is_exact() -> None:
    table = numpy.array([(9007199254740993, "ä", numpy.datetime64("2024-01-02"))], dtype="u8,U2,M8[ns]")
    target = io.BytesIO()
    numpy.save(target, table)
    again = opened("a.npy", target.getvalue())
    assert (again.dtype, again.tolist()) == (table.dtype, table.tolist())
