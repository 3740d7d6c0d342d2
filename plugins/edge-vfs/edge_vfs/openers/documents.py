"""JSON documents and plain text."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, ClassVar

from edge_vfs.file import File
from edge_vfs.openers import json_text, unpacking
from edge_vfs.openers.text import encoding_of


class JSONOpener:
    """JSON documents as dictionaries, lists, texts and numbers."""

    suffixes: ClassVar[tuple[str, ...]] = (".json",)

    def options(self, file: File) -> Collection[str]:
        return {"parse_float", "parse_int"}

    def open(self, file: File, **options: Any) -> Any:
        with file:
            content = file.readall()
        decoder = json_text.Decoder(file.basename, **options)
        value = decoder.decode(content.decode(json.detect_encoding(content), "surrogatepass"))
        decoder.warn()
        return value


class TextOpener:
    """Text as `str`, decoded by its byte-order mark, or as UTF-8 if it has none."""

    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".md", ".rst", ".log", *unpacking.compressed(".txt", ".log"))

    def options(self, file: File) -> Collection[str]:
        return {"encoding", "errors", unpacking.OPTION} if unpacking.is_compressed(file) else {"encoding", "errors"}

    def open(
        self,
        file: File,
        encoding: str | None = None,
        errors: str = "strict",
        max_unpacked_size: int | None = None,
    ) -> str:
        with file:
            content = unpacking.unpacked(file, max_unpacked_size).readall()
        return content.decode(encoding or encoding_of(content), errors)
