"""JSON documents and plain text."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, ClassVar

from edge_vfs.file import File
from edge_vfs.openers import json_text, unpacking
from edge_vfs.openers.opener import Content, UnsavableValue
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

    def save_options(self, basename: str) -> Collection[str]:
        return {"indent"}

    def save(self, file: Content, value: Any, indent: int | None = None) -> None:
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
        except ValueError as error:
            if "JSON compliant" not in str(error):
                raise
            raise UnsavableValue("it has NaN or an infinite number, which JSON does not; use None instead") from error
        except TypeError as error:
            raise UnsavableValue(
                f"JSON has texts, numbers, True, False, None, and lists and dicts of them, with texts as keys ({error})"
            ) from error
        try:
            content = text.encode()
        except UnicodeEncodeError:  # half of a surrogate pair, which is written as an escape
            content = json.dumps(value, indent=indent).encode()
        file.write(content)


class TextOpener:
    """Text as `str`, decoded by its byte-order mark, or as UTF-8 if it has none."""

    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".md", ".rst", ".log", *unpacking.compressed(".txt", ".log"))

    def modules(self, file: File) -> Collection[str]:
        return unpacking.modules_of(file)

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

    def save_options(self, basename: str) -> Collection[str]:
        return {"encoding"}

    def save(self, file: Content, value: Any, encoding: str = "utf-8") -> None:
        if not isinstance(value, str):
            raise UnsavableValue(f"a text is needed, not {type(value).__name__}")
        try:
            content = value.encode(encoding)
        except UnicodeEncodeError as error:
            raise UnsavableValue(f"the encoding {encoding} lacks a character of it ({error}); utf-8 has all") from error
        with unpacking.packing(file) as packed:
            packed.write(content)
