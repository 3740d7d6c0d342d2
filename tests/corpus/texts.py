"""Plain texts in the encodings that they come in."""

from __future__ import annotations

from collections.abc import Iterator

from .cases import Case


def cases() -> Iterator[Case]:
    yield Case("protocol.txt", "1 µl\r\n2 µl\n", "line ends are kept as they are", "1 µl\r\n2 µl\n")
    yield Case("mark.txt", "\ufeffgrün", "the mark is no part of the text", "grün")
    yield Case("utf16.txt", "grün".encode("utf-16"), "UTF-16 of Windows' editor", "grün")
    yield Case("utf16be.txt", "\ufeffgrün".encode("utf-16-be"), "big-endian UTF-16", "grün")
    yield Case("utf32.txt", "grün".encode("utf-32"), "UTF-32", "grün")
    yield Case("latin1.txt", "grün".encode("latin-1"), "Latin-1 states nothing", error="encoding='latin-1'")
    yield Case(
        "latin1_named.txt", "grün".encode("latin-1"), "the encoding given", "grün", options={"encoding": "latin-1"}
    )
    yield Case("shift_jis.txt", "試料".encode("shift-jis"), "Shift JIS", "試料", options={"encoding": "shift-jis"})
    yield Case("half_character.txt", "grün".encode()[:3], "cut within a character", error="not a text in utf-8")
    yield Case("odd_utf16.txt", "grün".encode("utf-16") + b"x", "UTF-16 of an odd number of bytes", error="utf-16")
    yield Case("nul.txt", "a\0b", "a NUL byte", "a\0b")
    yield Case("form_feed.log", "page 1\fpage 2\x1b[0m\n", "control characters", "page 1\fpage 2\x1b[0m\n")
    yield Case("empty.txt", "", "no content is an empty text", "")
    yield Case("empty.md", "", "no content is an empty text", "")
    yield Case("empty.rst", "", "no content is an empty text", "")
    yield Case("empty.log", "", "no content is an empty text", "")
    yield Case("README.MD", "# Über\n", "an upper-case suffix", "# Über\n")
    yield Case("notes", "grün\n", "no suffix, no known beginning: bytes", "grün\n".encode())
    yield Case("notes.2024", "grün\n", "a suffix that no opener has: bytes", "grün\n".encode())
    yield Case(".csv", "a\n1\n", "a name that is a suffix", {"a": [1]})
    yield Case("empty.unknown", "", "no content, no opener", b"")
    yield Case("empty", "", "no content, no suffix", b"")
