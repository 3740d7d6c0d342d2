"""NumPy's own files."""

from __future__ import annotations

from typing import Any, ClassVar

from edge_vfs.file import File
from edge_vfs.openers.opener import need


class NumPyOpener:
    """NumPy arrays (npy), and archives of them (npz), whose arrays are read when they are accessed.

    Python objects in them are refused, since reading these could run code from the file.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".npy", ".npz")

    def recognizes(self, head: bytes) -> bool:
        # The members of an archive have the names of the arrays, with this suffix.
        name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        return head.startswith(b"\x93NUMPY") or (head.startswith(b"PK\3\4") and name.endswith(b".npy"))

    def open(self, file: File) -> Any:
        numpy = need("arrays", file, "numpy")
        loaded = numpy.load(file, allow_pickle=False)
        if isinstance(loaded, numpy.ndarray):
            file.close()
        return loaded
