"""YAML documents come as the version of YAML says that they state; what Python cannot hold is told."""

from __future__ import annotations

import datetime as dt
import math
import sys
import warnings
from typing import Any

import pytest

from edge_core.errors import BadEntry, MissingPackage
from edge_vfs.file import File
from edge_vfs.openers import InexactWarning, UnreadableContent, yaml_documents

from .opening import opened

PLATE = """\
# made by hand
sample: "007"
runs: [1, 2.5, -3]
name: grün
when: 2024-01-02
at: 2024-01-02T03:04:05.678901+02:00
missing: ~
id: 9007199254740993
none:
note: |
  two
  lines
"""


@pytest.fixture(autouse=True)
def _strictly() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("name", ["a.yaml", "A.YML"])
def test_a_document_comes_with_its_types(name: str) -> None:
    plate = opened(name, PLATE)
    assert plate == {
        "sample": "007",
        "runs": [1, 2.5, -3],
        "name": "grün",
        "when": dt.date(2024, 1, 2),
        "at": dt.datetime(2024, 1, 2, 3, 4, 5, 678901, dt.timezone(dt.timedelta(hours=2))),
        "missing": None,
        "id": 9007199254740993,
        "none": None,
        "note": "two\nlines\n",
    }
    assert opened(name, PLATE.encode("utf-16")) == plate
    assert opened(name, PLATE.encode("utf-8-sig")) == plate
    assert opened(name, PLATE.encode("latin-1"), encoding="latin-1") == plate
    assert opened(name, "") is None


AMBIGUOUS: list[tuple[str, Any, Any]] = [
    ("no", False, "no"),
    ("Off", False, "Off"),
    ("yes", True, "yes"),
    ("010", 8, 10),
    ("-0777", -511, -777),
    ("09", "09", 9),
    ("1e-5", "1e-5", 1e-5),
    ("1.5e3", "1.5e3", 1500.0),
    ("0o17", "0o17", 15),
    ("12:30:45", 45045, "12:30:45"),
    ("190:20:30.15", 685230.15, "190:20:30.15"),
    ("1_000", 1000, "1_000"),
    ("0b11", 3, "0b11"),
]


@pytest.mark.parametrize(("text", "older", "newer"), AMBIGUOUS)
def test_a_value_that_the_versions_read_differently_gives_a_warning(text: str, older: Any, newer: Any) -> None:
    content = f"value: {text}\n"
    with pytest.warns(InexactWarning) as warned:
        assert opened("a.yaml", content) == {"value": older}
    assert f"{text!r} would be another value in 1.2 ({older!r} and {newer!r})" in str(warned[0].message)
    for version, value in (("1.1", older), ("1.2", newer)):
        assert opened("a.yaml", content, version=version) == {"value": value}
        assert opened("a.yaml", f"# first\n%YAML {version}\n---\n{content}") == {"value": value}
    assert opened("a.yaml", f"value: '{text}'\n") == {"value": text}
    with pytest.raises(BadEntry, match=r'version must be "1.1" or "1.2"'):
        opened("a.yaml", content, version="2")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("Null", None),
        ("0", 0),
        ("0x1F", 31),
        ("007", 7),
        ("+12", 12),
        ("1.0e+3", 1000.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("y", "y"),
        ("=", "="),
        ("12e", "12e"),
        ("0.1", 0.1),
        ("!!str 12", "12"),
        ("!!binary aGk=", b"hi"),
    ],
)
def test_other_values_are_the_same_in_both(text: str, value: Any) -> None:
    for options in ({}, {"version": "1.1"}, {"version": "1.2"}):
        (again,) = opened("a.yaml", f"- {text}\n", **options)
        assert (again, type(again)) == (value, type(value))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[no]", "'no' would be another value in 1.2"),
        ("[no, 2024-01-02]", "'no' and 1 other would be other values in 1.2"),
        ("[2024-01-02, no, 1e-5, 2024-01-02 10:00:00]", "'no' and 3 others would be other values in 1.2"),
    ],
)
def test_all_values_that_would_be_others_are_counted(content: str, sentence: str) -> None:
    with pytest.warns(InexactWarning, match=sentence):
        opened("a.yaml", content)


def test_dates_are_texts_in_the_newer_version() -> None:
    assert opened("a.yaml", "2024-01-02", version="1.2") == "2024-01-02"


@pytest.mark.parametrize("text", ["2024-01-02 03:04:05.123456789", "1.0e+400", "-1.0e+400"])
def test_what_python_holds_with_fewer_digits_gives_a_warning(text: str) -> None:
    with pytest.warns(InexactWarning, match=r'which Python holds with fewer digits; open_with="text" gives'):
        opened("a.yaml", f"value: {text}", version="1.1")


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("a: 1\nb: 2\na: 3\n", "'a' a second time in line 3"),
        ("top:\n  - {x: 1, 'x': 2}\n", "'x' a second time in line 2"),
        ("1: a\ntrue: b\n", r"True \(equal to 1 in Python\) a second time in line 2"),
        ("1: a\n1.0: b\n", r"1.0 \(equal to 1 in Python\)"),
    ],
)
def test_a_key_that_is_there_twice_is_an_error(content: str, key: str) -> None:
    with pytest.raises(UnreadableContent, match=f"the key {key}"):
        opened("a.yaml", content)


def test_aliases_and_merged_mappings_are_what_they_stand_for() -> None:
    content = "base: &b {x: 1, y: 2}\nmore: &m {<<: *b, y: 3}\nlast: {<<: [*m, *b], z: 4}\nagain: *b\n"
    for version in ("1.1", "1.2"):
        plates = opened("a.yaml", content, version=version)
        assert plates["more"] == {"x": 1, "y": 3}
        assert plates["last"] == {"x": 1, "y": 3, "z": 4}
        assert plates["again"] == {"x": 1, "y": 2}
    content = "a: &a {x: 1}\nb: &b {x: 2}\nc: {<<: [*a, *b]}\nd: {<<: [*b, *a], x: 3}\n"
    assert opened("a.yaml", content) == {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 1}, "d": {"x": 3}}
    circle = opened("a.yaml", "&a [1, *a]")
    assert circle[1] is circle


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGING = "a: &a {k: v}\n" + "".join(
    f"{name}: &{name} {{<<: [{','.join([f'*{before}'] * 9)}]}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("content", [BOMB, MERGING])
def test_a_few_bytes_that_stand_for_gigabytes_are_refused(content: str) -> None:
    assert len(content) < 500
    with pytest.raises(UnreadableContent, match=r"stands for [0-9]{9} characters.*max_unpacked_size=[0-9]{9} opens it"):
        opened("a.yaml", content)


def test_the_limit_can_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    content = "\n".join(BOMB.splitlines()[:5])
    monkeypatch.setattr(yaml_documents, "MAX_UNPACKED_SIZE", 1000)
    assert len(opened("a.yaml", content, max_unpacked_size=10_000_000)["e"]) == 9
    with pytest.raises(UnreadableContent, match="max_unpacked_size="):
        opened("a.yaml", content, max_unpacked_size=1000)


def test_of_several_documents_the_first_comes_with_a_warning() -> None:
    content = "a: 1\n---\nb: 2\n"
    with pytest.warns(InexactWarning, match=r"a\.yaml has 2 documents, and the first was opened; document=1 opens"):
        assert opened("a.yaml", content) == {"a": 1}
    assert opened("a.yaml", content, document=1) == {"b": 2}
    with pytest.raises(BadEntry, match="has 2 documents"):
        opened("a.yaml", content, document=2)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a: [1\n", "line 2: "),
        ("a: !!python/object/apply:os.system ['true']\n", "could not determine a constructor for the tag"),
        ("a: !Ref b\n", "line 1: could not determine a constructor for the tag '!Ref'"),
        ("a: \a\n", "control characters are not allowed"),
        ("[" * 100_000, "exceeded maximum nesting depth"),
        ("? [a]\n: b\n", "found unhashable key"),
        ("a: *b\n", "found undefined alias"),
        ("a: {<<: 1}\n", "line 1: only mappings can be merged by <<"),
        ("a: 2024-02-30\n", 'line 1: 2024-02-30 is no date; version="1.2" gives it as a text'),
    ],
)
def test_what_is_not_safe_or_not_yaml_is_refused(content: str, reason: str) -> None:
    with pytest.raises(UnreadableContent, match=r'a\.yaml could not be read as YAML .*; open_with="text"') as raised:
        opened("a.yaml", content)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_where_pyyaml_is_missing_it_is_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert isinstance(opened("a.yml", b"a: 1"), File)
    with pytest.raises(MissingPackage, match="as YAML needs pyyaml, .*python -m pip install pyyaml"):
        opened("a.yml", b"a: 1", "yaml")
