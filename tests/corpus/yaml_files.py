"""YAML, as people and programs of both versions write it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from .cases import Case


def cases() -> Iterator[Case]:
    yield Case("plate.yaml", "sample: '007'\nvolume: 1.5\nunit: µl\n", "a document", _plate())
    yield Case("PLATE.2.YML", "sample: '007'\nvolume: 1.5\nunit: µl\n".encode("utf-16"), "UTF-16", _plate())
    yield Case("nothing.yaml", "", "no content", None)
    yield Case("comments.yml", "# nothing yet\n", "comments alone", None)
    countries = "- SE\n- NO\n- DK\n"
    yield Case(
        "countries.yaml", countries, "a country that is False", ["SE", False, "DK"], warns="'NO' would be another"
    )
    yield Case("chosen.yaml", countries, "the same in YAML 1.2", ["SE", "NO", "DK"], options={"version": "1.2"})
    yield Case("directive.yaml", "%YAML 1.2\n---\n" + countries, "a version that is stated", ["SE", "NO", "DK"])
    yield Case("rate.yaml", "rate: 1e-5\n", "a number without a point", {"rate": "1e-5"}, warns="'1e-5' and 1e-05")
    yield Case("mode.yaml", "mode: 0644\n", "an octal number", {"mode": 420}, warns="420 and 644")
    yield Case("time.yaml", "start: 12:30:45\n", "a time of day", {"start": 45045}, warns="45045 and '12:30:45'")
    yield Case(
        "ids.yaml", "- 9007199254740993\n- 12345678901234567890123\n", "ids", [2**53 + 1, 12345678901234567890123]
    )
    yield Case("dates.yaml", "- 2024-01-02\n- 2024-01-02 03:04:05Z\n", "dates", _dates())
    yield Case("nanoseconds.yaml", "2024-01-02 03:04:05.123456789", "nanoseconds", warns="fewer digits")
    yield Case("no_day.yaml", "day: 2024-02-30\n", "a day that there is not", error="2024-02-30 is no date")
    yield Case("twice.yaml", "a: 1\na: 2\n", "a key twice", error="'a' a second time in line 2")
    yield Case("equal.yaml", "1: a\ntrue: b\n", "keys that Python takes for equal", error="True .equal to 1 in Python.")
    merged = "a: &a {x: 1}\nb: &b {x: 2}\nc: {<<: [*a, *b]}\n"
    yield Case("merged.yaml", merged, "merged mappings", {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 1}})
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    yield Case("aliases.yaml", bomb, "306 bytes that stand for a gigabyte", error="stands for 926177122 characters")
    yield Case("code.yaml", "!!python/object/apply:os.getpid []\n", "code", error="could not determine a constructor")
    yield Case("tags.yaml", "a: !Ref b\n", "a tag of an application", error="line 1: .*'!Ref'")
    yield Case("documents.yaml", "a: 1\n---\na: 2\n", "two documents", {"a": 1}, warns="document=1 opens the next")
    yield Case("open.yaml", "a: [1,\n", "a list without an end", error="line 2: ")
    yield Case("deep.yaml", "[" * 100_000, "lists in lists", error="nesting depth")
    yield Case("tabs.yaml", "a:\n\tb: 1\n", "a tab as indentation", error="line 2: .*cannot start any token")
    yield Case("beyond.yaml", "1.0e+400", "a number beyond floats", float("inf"), warns="fewer digits")


def _plate() -> dict[str, object]:
    return {"sample": "007", "volume": 1.5, "unit": "µl"}


def _dates() -> list[object]:
    return [dt.date(2024, 1, 2), dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC)]
