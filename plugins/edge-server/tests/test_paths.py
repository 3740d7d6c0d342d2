"""Which paths can be."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_server.files.paths import MAX_DEPTH, MAX_SEGMENT, BadPath, join, parse, show

at_any_speed = settings(deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ()),
        ("/", ()),
        ("a", ("a",)),
        ("/a/b", ("a", "b")),
        ("cafe\u0301", ("caf\u00e9",)),
        ("a\\b", ("a\\b",)),
        ("...", ("...",)),
        (" ", (" ",)),
        ("/".join("x" * MAX_DEPTH), ("x",) * MAX_DEPTH),
        ("x" * MAX_SEGMENT, ("x" * MAX_SEGMENT,)),
    ],
)
def test_a_path_is_its_segments(path: str, expected: tuple[str, ...]) -> None:
    assert parse(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "//",
        "a//b",
        "a/",
        "//a",
        ".",
        "..",
        "a/./b",
        "a/..",
        "a\x00",
        "a\x1f",
        "a\x7f",
        "a\x9f",
        "\ud800",
        "x" * (MAX_SEGMENT + 1),
        "ä" * 128,
        "/".join("x" * (MAX_DEPTH + 1)),
    ],
)
def test_what_cannot_be_a_path_is_refused_in_a_printable_sentence(path: str) -> None:
    with pytest.raises(BadPath) as caught:
        parse(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("up/", "the path 'up/' ends with a slash; leave it out"),
        ("a//b", "the path 'a//b' has an empty segment; leave out doubled slashes"),
        ("a//", "the path 'a//' has an empty segment; leave out doubled slashes"),
        ("a/..", "the path 'a/..' holds '..'; write it from the root, without steps"),
        ("a\x1f", r"the path 'a\x1f' holds the control character U+001F; rename it"),
        ("\ud800", r"the path '\ud800' is not valid Unicode; rename it"),
        ("a/" + "ä" * 128, f"the name '{'ä' * 128}' is longer than 255 bytes of UTF-8; shorten it"),
        ("x" * 764 + "\x01", f"the path '{'x' * 199}... holds the control character U+0001; rename it"),
        ("x" * 765 + "\x01", f"the name '{'x' * 199}... is longer than 255 bytes of UTF-8; shorten it"),
        ("/".join("x" * 101), "the path has 101 segments; at most 100 are allowed"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_what_to_do(path: str, sentence: str) -> None:
    with pytest.raises(BadPath) as caught:
        parse(path)
    assert str(caught.value) == sentence


def test_a_path_is_joined_by_slashes() -> None:
    assert (join(("a", "b", "c")), join(())) == ("a/b/c", "")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("grün 1", "'grün 1'"),
        ("x" * 198, f"'{'x' * 198}'"),
        ("x" * 199, f"'{'x' * 199}..."),
        ("a\x1b[2J", r"'a\x1b[2J'"),
    ],
)
def test_a_path_is_shown_as_it_is_up_to_200_characters(path: str, shown: str) -> None:
    assert show(path) == shown


@at_any_speed
@given(st.text())
def test_whatever_is_sent_is_a_path_or_refused(text: str) -> None:
    sentence = ""
    try:
        segments = parse(text)
    except BadPath as error:
        sentence = str(error)
    if sentence:
        assert sentence.isprintable()
        return
    # What has been parsed stays as it is.
    assert parse(join(segments)) == segments
    for segment in segments:
        assert segment not in ("", ".", "..")
        assert "/" not in segment
        assert unicodedata.is_normalized("NFC", segment)
        assert 0 < len(segment.encode()) <= MAX_SEGMENT
        assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in segment)


@at_any_speed
@given(st.text(max_size=300))
def test_a_path_shows_without_what_could_mislead(text: str) -> None:
    shown = show(text)
    assert shown.isprintable()
    assert len(shown) < 210
    shown.encode()
