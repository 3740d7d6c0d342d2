"""Compressed text formats: their content unpacked, up to a limit, and packed."""

from __future__ import annotations

import contextlib
import io
import posixpath
import sys
from collections.abc import Iterator
from typing import IO, cast

from edge_vfs.file import File
from edge_vfs.openers.opener import Content, UnreadableContent, need, suffix_of

# Not zstandard: it returns what there is of a file that was cut off, without an error.
_ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"

# Imported when they are needed: Python can be built without bz2 and lzma.
_UNPACKERS = {".gz": "gzip", ".bz2": "bz2", ".xz": "lzma", ".zst": _ZSTD}

_DECOMPRESSORS = ("BZ2Decompressor", "LZMADecompressor", "ZstdDecompressor")

MAX_UNPACKED_SIZE = 2 << 30
"""Bytes that a file may unpack to, unless the option ``max_unpacked_size`` says otherwise."""

OPTION = "max_unpacked_size"


def compressed(*suffixes: str) -> tuple[str, ...]:
    """Return suffixes with that of each compression after them, such as ``.csv.gz``."""
    return tuple(suffix + packed for suffix in suffixes for packed in _UNPACKERS)


def is_compressed(file: File) -> bool:
    """Return whether a file's name says that it is compressed."""
    return suffix_of(file.basename) in _UNPACKERS


def modules_of(file: File) -> tuple[str, ...]:
    """Return the modules beyond Python's own that unpack a file, by its name."""
    return (_ZSTD,) if suffix_of(file.basename) == ".zst" and sys.version_info < (3, 14) else ()


def format_of(name: str) -> str:
    """Return the suffix of a name's format: ``.csv`` of ``plate.csv.gz``, and of ``plate.csv``."""
    stem, suffix = posixpath.splitext(name)
    return suffix_of(stem) if suffix.lower() in _UNPACKERS else suffix.lower()


def unpacked_name(name: str) -> str:
    """Return a name without the suffix of a compression."""
    stem, suffix = posixpath.splitext(name)
    return stem if suffix.lower() in _UNPACKERS else name


class Unpacked(io.BytesIO):
    """Unpacked content, with what openers use of a `File`."""

    def __init__(self, content: bytes, basename: str) -> None:
        super().__init__(content)
        self.basename = basename
        self.size = len(content)

    def readall(self) -> bytes:
        """Read all bytes from the current position to the end."""
        return self.read()


@contextlib.contextmanager
def packing(file: Content) -> Iterator[IO[bytes]]:
    """Give a stream to write a format's content to, which is packed into `file` if its name says so."""
    module = _UNPACKERS.get(suffix_of(file.basename))
    if module is None:
        yield file
        return
    with need("packed", file, module, doing="saving").open(file, "wb") as stream:
        yield stream


def _unpacked_blocks(file: File) -> Iterator[bytes]:
    """Iterate over the content of all members, at most 1 MiB at a time.

    Python's own files of bz2 and xz leave out, without an error, what follows the first member and is damaged.
    """
    module = need("unpacked", file, _UNPACKERS[suffix_of(file.basename)])
    decompressor_class = next((name for name in _DECOMPRESSORS if hasattr(module, name)), None)
    if decompressor_class is None:  # gzip, which refuses damaged members
        stream: IO[bytes] = module.open(file)
        while block := stream.read(1 << 20):
            yield block
        return
    decompressor = getattr(module, decompressor_class)()
    while True:
        packed = b""
        if decompressor.eof:
            packed = decompressor.unused_data
            while not (packed := packed.lstrip(b"\0")):  # padding, as of tapes and in the format xz
                if not (packed := file.read(1 << 16)):
                    return
            decompressor = getattr(module, decompressor_class)()
        elif decompressor.needs_input and not (packed := file.read(1 << 16)):
            raise EOFError("it ends before the end of what is compressed")
        yield decompressor.decompress(packed, 1 << 20)


def unpacked(file: File, limit: int | None = None) -> File:
    """Return a file to read, with its content unpacked if its name says that it is compressed.

    Raises:
        UnreadableContent: it unpacks to more than `limit` bytes, or `MAX_UNPACKED_SIZE`.
    """
    if not is_compressed(file):
        return file
    limit = MAX_UNPACKED_SIZE if limit is None else limit
    content = io.BytesIO()
    for block in _unpacked_blocks(file):
        content.write(block)
        if content.tell() > limit:
            raise UnreadableContent(
                f"{file.basename} unpacks to more than {limit} bytes; {OPTION}={4 * limit} opens four times as many"
            )
    file.readall()  # to the end, where the checksum is compared
    return cast(File, Unpacked(content.getvalue(), file.basename))
