"""Arrays and archives of them; Python objects in them are refused by a sentence."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
import zipfile
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


@pytest.mark.parametrize(
    "array",
    [
        numpy.array([1, 60000], ">u4"),
        numpy.asfortranarray(numpy.arange(6).reshape(2, 3)),
        numpy.array(5),
        numpy.array(["2024-01-01", "NaT"], "M8[ns]"),
        numpy.array(["ä", "b"]),
        numpy.array([(1, [1, 2])], [("größe", "i4"), ("b", "f4", (2,))]),
        numpy.zeros((0, 3)),
        numpy.array([1.5 + 2j, float("nan")], "c8"),
        numpy.array([2**64 - 1], "u8"),
        numpy.zeros(3, "V0"),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_come_with_their_type_and_order(array: Any) -> None:
    again = opened("a.npy", saved(array))
    assert (again.dtype, again.shape, again.flags.f_contiguous) == (array.dtype, array.shape, array.flags.f_contiguous)
    assert again.tobytes() == array.tobytes()
    with opened("a.npz", archive(a=array)) as members:
        assert members["a"].tobytes() == array.tobytes()


def saved(array: Any) -> bytes:
    target = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Stored array in format", UserWarning)
        numpy.save(target, array)
    return target.getvalue()


def claiming(shape: tuple[int, ...]) -> bytes:
    """An array of 4 kB whose header announces another shape."""
    target = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    numpy.lib.format.write_array_header_1_0(target, header)
    return target.getvalue() + bytes(4000)


@pytest.mark.parametrize("shape", [(10**12,), (2**62, 2**62), (501,)])
def test_a_header_that_announces_more_than_there_is_is_refused_before_memory_is_taken(shape: tuple[int, ...]) -> None:
    sentence = r"is cut short or damaged: its header announces \d+ bytes, and 4000 follow"
    with pytest.raises(UnreadableContent, match=f"a.npy {sentence}"):
        opened("a.npy", claiming(shape))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as packed:
        packed.writestr("x.npy", claiming(shape))
        packed.writestr("y.npy", saved(numpy.arange(3)))
    members = opened("a.npz", target.getvalue())
    with pytest.raises(UnreadableContent, match=f"x of a.npz {sentence}"):
        members["x"]
    assert members["y"].tolist() == [0, 1, 2]


def test_an_array_that_is_cut_short_says_so() -> None:
    with pytest.raises(UnreadableContent, match="announces 8000 bytes, and 7900 follow"):
        opened("a.npy", saved(numpy.arange(1000))[:-100])
    with pytest.raises(UnreadableContent, match='open_with="file" gives its bytes'):
        opened("a.npy", saved(numpy.arange(1000))[:20])


def test_an_array_that_unpacks_to_more_than_the_limit_is_refused() -> None:
    target = io.BytesIO()
    numpy.savez_compressed(target, zeros=numpy.zeros(100_000), more=numpy.arange(3))
    members = opened("a.npz", target.getvalue(), max_unpacked_size=100_000)
    assert members["more"].tolist() == [0, 1, 2]
    with pytest.raises(
        UnreadableContent, match="zeros of a.npz unpacks to 800128 bytes.*max_unpacked_size=800128 opens"
    ):
        members["zeros"]
    assert opened("a.npz", target.getvalue(), max_unpacked_size=800_128)["zeros"].shape == (100_000,)
    assert opened("a.npz", target.getvalue())["zeros"].shape == (100_000,)


def test_an_archive_that_is_closed_says_so() -> None:
    with opened("a.npz", archive(a=numpy.arange(3))) as members:
        pass
    with pytest.raises(UnreadableContent, match=r"a\.npz is closed; take its arrays before, or open it again"):
        members["a"]


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
@pytest.mark.parametrize("content", [b"nothing", b"\0" * 100, b"\x89HDF\r\n\x1a\n"])
def test_content_that_is_no_file_of_numpy_is_an_error_that_says_it(name: str, content: bytes) -> None:
    with pytest.raises(UnreadableContent, match=f"{name} is damaged or no file of NumPy's, as its first bytes say"):
        opened(name, content)


def test_an_archive_that_was_cut_short_is_an_error_that_says_it() -> None:
    with pytest.raises(UnreadableContent, match=r"a\.npz is damaged or cut short: it begins as an archive of arrays"):
        opened("a.npz", archive(a=numpy.ones(9))[:100])


@pytest.mark.parametrize("function", [pickle.dumps, copy.copy, copy.deepcopy])
def test_an_open_archive_says_what_can_be_pickled(function: Any) -> None:
    with opened("a.npz", archive(a=numpy.ones(2))) as members:
        with pytest.raises(TypeError, match=r"a\.npz is an open archive, which cannot be pickled or copied; dict\("):
            function(members)
        assert list(dict(members)) == ["a"]


def test_members_that_are_no_arrays_unpack_to_no_more_than_the_limit() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("a.npy", "w") as member:
            numpy.lib.format.write_array(member, numpy.arange(3))
        archive.writestr("notes.txt", bytes(500_000))
        archive.writestr("short.txt", b"text")
    with opened("a.npz", target.getvalue(), max_unpacked_size=1000) as arrays:
        assert arrays["a"].tolist() == [0, 1, 2]
        assert arrays["short.txt"] == b"text"
        with pytest.raises(UnreadableContent, match=r"notes\.txt of a\.npz unpacks to 500000 bytes, more than 1000"):
            arrays["notes.txt"]
