"""NumPy's own files: orders of bytes, structures, headers that lie."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy

from .cases import Case


def npy(array: Any, **options: Any) -> bytes:
    target = io.BytesIO()
    numpy.save(target, array, **options)
    return target.getvalue()


def npz(**arrays: Any) -> bytes:
    target = io.BytesIO()
    numpy.savez_compressed(target, **arrays)
    return target.getvalue()


def with_header(header: str, content: bytes, version: int = 1) -> bytes:
    """An npy file with a header written by hand."""
    text = header.encode() + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + content


def cases() -> Iterator[Case]:
    yield Case("ids.npy", npy(numpy.array([2**63 - 1])), "64 bits", ("int64", [2**63 - 1]))
    yield Case("unsigned.npy", npy(numpy.array([2**64 - 1], "u8")), "64 bits unsigned", ("uint64", [2**64 - 1]))
    yield Case("big_endian.npy", npy(numpy.array([1, 2], ">i4")), "big-endian", (">i4", [1, 2]))
    yield Case("columns.npy", npy(numpy.array([[1, 2], [3, 4]], order="F")), "by columns", ("int64", [[1, 2], [3, 4]]))
    yield Case("scalar.npy", npy(numpy.array(1.5)), "no dimension", ("float64", 1.5))
    yield Case("nothing.npy", npy(numpy.zeros((0, 3))), "no elements", ("float64", []))
    yield Case("half.npy", npy(numpy.array([1.5], "f2")), "16 bits", ("float16", [1.5]))
    yield Case("complex.npy", npy(numpy.array([1 + 2j])), "complex", ("complex128", [1 + 2j]))
    yield Case("booleans.npy", npy(numpy.array([True, False])), "booleans", ("bool", [True, False]))
    yield Case("texts.npy", npy(numpy.array(["ä", "007"])), "texts", ("<U3", ["ä", "007"]))
    yield Case("bytes.npy", npy(numpy.array([b"ab", b"c"])), "bytes", ("|S2", [b"ab", b"c"]))
    when = numpy.array(["2024-01-02T03:04:05.123456789", "NaT"], "M8[ns]")
    yield Case("times.npy", npy(when), "nanoseconds", ("datetime64[ns]", when.tolist()))
    years = numpy.array(["-0044", "12000"], "M8[Y]")
    yield Case("years.npy", npy(years), "years that Python has not", ("datetime64[Y]", years.tolist()))
    table = numpy.array([(1, "a", [1.5, 2])], dtype=[("n", "u1"), ("ä", "U1"), ("v", "f8", (2,))])
    yield Case("structured.npy", npy(table), "named fields", (str(table.dtype), [(1, "a", [1.5, 2.0])]))
    aligned = numpy.array([(1, 2.5)], dtype=numpy.dtype([("a", "i1"), ("b", "f8")], align=True))
    yield Case(
        "aligned.npy",
        npy(aligned),
        "fields with room between them",
        (
            str(numpy.dtype({"names": ["a", "b"], "formats": ["i1", "<f8"], "offsets": [0, 8], "itemsize": 16})),
            [(1, 2.5)],
        ),
    )
    objects = npy(numpy.array([{"a": 1}], dtype=object), allow_pickle=True)
    yield Case("objects.npy", objects, "Python objects", error="has Python objects")
    yield Case("pickle.npy", pickle.dumps([1]), "a pickle called npy", error="has Python objects or is no array")
    content = npy(numpy.arange(100.0))
    yield Case("truncated.npy", content[:-8], "cut short", error='open_with="file"')
    yield Case("header_only.npy", content[:20], "cut within the header", error='open_with="file"')
    lie = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    yield Case("huge.npy", with_header(lie, bytes(8)), "a header of 8 TB", error='open_with="file"')
    code = "{'descr': '<f8', 'fortran_order': False, 'shape': (__import__('os').getpid(),), }"
    yield Case("code.npy", with_header(code, bytes(8)), "code in the header", error='open_with="file"')
    long_header = "{'descr': '<i1', 'fortran_order': False, 'shape': (1,), }" + " " * 70_000
    yield Case("long_header.npy", with_header(long_header, b"\7", 2), "a header of 70 kB", error='open_with="file"')
    future = b"\x93NUMPY\x09\0" + content[8:]
    yield Case("version_9.npy", future, "a version that is not known", error='open_with="file"')
    yield Case(
        "two.npy",
        npy(numpy.array([1])) + npy(numpy.array([2])),
        "two arrays one after the other",
        ("int64", [1]),
        warns="more",
    )
    yield Case("UPPER.v2.NPY", npy(numpy.array([1])), "an upper-case suffix", ("int64", [1]))
    yield Case(
        "several.npz",
        npz(first=numpy.array([1]), **{"größe 2": numpy.array(["x"])}),
        "an archive, one name odd",
        {"first": ("int64", [1]), "größe 2": ("<U1", ["x"])},
    )
    yield Case("nothing.npz", npz(), "an archive of nothing", {})
    refused = "code of objects.npz has Python objects or is no array, and is not read, since it could run code; "
    refused += 'save it as an array of numbers or texts, or open_with="file" gives its bytes'
    yield Case(
        "objects.npz",
        npz(n=numpy.array([1]), code=numpy.array([{}], dtype=object)),
        "objects in one of two",
        {"n": ("int64", [1]), "code": refused},
    )
    yield Case("truncated.npz", npz(a=numpy.arange(1000))[:-30], "cut short", error="truncated.npz")
    foreign = io.BytesIO()
    with zipfile.ZipFile(foreign, "w") as archive:
        archive.writestr("a.npy", npy(numpy.array([1])))
        archive.writestr("readme.txt", "by hand")
    yield Case(
        "foreign.npz", foreign.getvalue(), "a text among the arrays", {"a": ("int64", [1]), "readme.txt": b"by hand"}
    )
    yield Case("npy.npz", npy(numpy.array([1])), "a single array called npz", ("int64", [1]))
