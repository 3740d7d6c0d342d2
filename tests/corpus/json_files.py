"""JSON and JSON lines: types and digits that the format states."""

from __future__ import annotations

import decimal
import math
from collections.abc import Iterator

from .cases import Case

ID = 1234567890123456789


def cases() -> Iterator[Case]:
    yield from _documents()
    yield from _lines()


def _documents() -> Iterator[Case]:
    yield Case("mark.json", "\ufeff[1]", "a byte-order mark", [1])
    yield Case("utf16.json", '{"größe": 1}'.encode("utf-16"), "UTF-16", {"größe": 1})
    yield Case("utf16_no_mark.json", '{"größe": 1}'.encode("utf-16-le"), "UTF-16 that only JSON knows", {"größe": 1})
    yield Case("utf32_no_mark.json", "[1]".encode("utf-32-be"), "UTF-32 without a mark", [1])
    yield Case("big.json", f"[{ID}, {10**30}]", "whole numbers of any length", [ID, 10**30])
    yield Case("float.json", "[1.0, 1, 1e2, -0.0, 5e-324]", "1.0 is a float, 1 is not", [1.0, 1, 100.0, -0.0, 5e-324])
    yield Case(
        "digits.json",
        "[0.10]",
        "all digits, when asked for",
        [decimal.Decimal("0.10")],
        options={"parse_float": decimal.Decimal},
    )
    yield Case("nan.json", "[NaN, Infinity]", "what Python writes, though JSON has it not", [math.nan, math.inf])
    yield Case("repeated.json", '{"a": 1, "a": 2}', "a key twice", {"a": 2}, warns="'a'")
    yield Case(
        "repeated_deep.json", '[{"x": {"a": 1, "b": 0, "a": 1}}]', "far inside", [{"x": {"a": 1, "b": 0}}], warns="'a'"
    )
    yield Case("beyond.json", "[1e400]", "a number beyond floats", [math.inf], warns="1e400")
    yield Case("deep.json", "[" * 100_000 + "]" * 100_000, "100,000 levels", error="nested")
    yield Case("empty.json", "", "no content", error="is empty|not JSON|Expecting value")
    yield Case("truncated.json", '{"a": [1, 2', "cut short", error="not JSON|JSONDecodeError")
    yield Case("trailing.json", '{"a": 1}\n{"a": 2}', "lines in a json", error="Extra data|not JSON")
    yield Case("comments.json", '{"a": 1} // one', "comments", error="Extra data|not JSON")
    yield Case("single_quotes.json", "{'a': 1}", "what Python prints", error="not JSON|JSONDecodeError")
    yield Case("surrogate.json", r'["\ud83e\uddea", "\ud800"]', "half of a character", ["🧪", "\ud800"])
    yield Case("scalar.json", '"007"', "a text alone", "007")
    yield Case("latin1.json", '["grün"]'.encode("latin-1"), "Latin-1", error="not a text|utf-8")
    yield Case("long_number.json", "[" + "1" * 5000 + "]", "a number of 5000 digits", error="digits")
    yield Case("Plate.v2.JSON", "[1]", "an upper-case suffix", [1])


def _lines() -> Iterator[Case]:
    yield Case(
        "types.jsonl",
        '{"sample":"007","run":"34_01","timestamp":1700000000,"date":"2024-01-02"}\n',
        "texts that look like numbers and dates",
        {"sample": ["007"], "run": ["34_01"], "timestamp": [1700000000], "date": ["2024-01-02"]},
    )
    yield Case("mark.jsonl", '\ufeff{"a":1}\r\n\r\n{"a":2}', "a mark, blank lines", {"a": [1, 2]})
    yield Case("utf16.ndjson", '{"a":"ä"}\n'.encode("utf-16"), "UTF-16", {"a": ["ä"]})
    yield Case("ids.jsonl", f'{{"id":{ID}}}\n{{"id":null}}\n', "ids of 19 digits with a gap", {"id": [ID, None]})
    yield Case("huge.jsonl", f'{{"id":{10**30}}}\n{{"id":1}}\n', "30 digits", {"id": [10**30, 1]})
    yield Case("mixed.jsonl", '{"v":1}\n{"v":"1"}\n{"v":true}\n', "several types", {"v": [1, "1", True]})
    yield Case("missing.jsonl", '{"b":1}\n{"a":"x"}\n', "other keys in each line", {"b": [1.0, None], "a": [None, "x"]})
    yield Case("nested.jsonl", '{"v":{"x":[1,2]}}\n', "objects in a cell", {"v": [{"x": [1, 2]}]})
    yield Case("repeated.jsonl", '{"a":1,"a":2}\n', "a key twice in a line", {"a": [2]}, warns="'a'")
    yield Case("beyond.jsonl", '{"a":-1e400}\n', "a number beyond floats", {"a": [-math.inf]}, warns="-1e400")
    yield Case("arrays.jsonl", '[1,"x"]\n[2,"y"]\n', "arrays as rows", {0: [1, 2], 1: ["x", "y"]})
    yield Case("kinds.jsonl", '{"a":1}\n[2]\n', "an object, then an array", error="line 2 of")
    yield Case("broken.jsonl", '{"a":1}\n{"a":\n', "cut short", error="line 2 of .* is not JSON")
    yield Case("pretty.jsonl", '{\n  "a": 1\n}\n', "an object over several lines", error="line 1 of .* is not JSON")
    yield Case("deep.jsonl", '{"a":' + "[" * 100_000 + "]" * 100_000 + "}\n", "100,000 levels", error="nested")
    yield Case("empty.jsonl", "", "no content", {})
    yield Case("empty.ndjson", "\n\n", "blank lines alone", {})
    yield Case("nan.jsonl", '{"v":NaN}\n{"v":1.5}\n', "NaN as Python writes it", {"v": [None, 1.5]})
    yield Case("float.jsonl", '{"v":0.30000000000000004}\n', "17 digits", {"v": [0.30000000000000004]})
    yield Case(
        "separator.jsonl",
        '{"v":"a\u2028b\u0085c"}\n',
        "characters that end lines elsewhere",
        {"v": ["a\u2028b\u0085c"]},
    )
