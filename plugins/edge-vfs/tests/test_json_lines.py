"""JSON lines come with the types and digits that they state."""

from __future__ import annotations

import decimal
import json
import math
import random
import struct
import warnings

import pandas
import pytest

from edge_vfs import openers
from edge_vfs.openers import InexactWarning, UnreadableContent, json_lines

from .opening import opened


def column(*cells: str) -> list[object]:
    """The values of a column whose cells are written like this."""
    frame = opened("a.jsonl", "".join(f'{{"a":{cell}}}\n' for cell in cells))
    values: list[object] = frame["a"].tolist()
    return values


def test_texts_stay_texts_and_numbers_numbers_whatever_the_columns_are_called() -> None:
    line = (
        '{"sample":"007","run":"34_01","timestamp":1700000000,"date":"2024-01-02","modified_at":1e9,"grade":"1.50"}\n'
    )
    frame = opened("a.jsonl", line)
    assert frame.to_dict("records") == [json.loads(line)]
    assert opened("a.ndjson", line).equals(frame)
    assert column('"NA"', '"nan"', '""', '"true"') == ["NA", "nan", "", "true"]


def test_floats_keep_every_digit() -> None:
    source = random.Random(1)
    numbers = [struct.unpack("d", source.randbytes(8))[0] for _ in range(2000)] + [source.random() for _ in range(2000)]
    numbers = [number for number in numbers if abs(number) < float("inf")]
    assert column(*map(repr, numbers)) == numbers


@pytest.mark.parametrize(
    ("cells", "values", "dtype"),
    [
        (["1", "2"], [1, 2], "int64"),
        (["1", "null"], [1.0, None], "float64"),
        (["9007199254740992", "null"], [9007199254740992.0, None], "float64"),
        (["9007199254740993", "null"], [9007199254740993, None], "Int64"),
        (["18446744073709551615", "null"], [18446744073709551615, None], "UInt64"),
        (["18446744073709551616", "1"], [18446744073709551616, 1], "object"),
        (["18446744073709551616", "null"], [18446744073709551616, None], "object"),
        (["-1", "18446744073709551615"], [-1, 18446744073709551615], "object"),
        (["9007199254740993", "1.5"], [9007199254740993, 1.5], "object"),
        (["true", "null"], [True, None], "object"),
        (["true", "1"], [True, 1], "object"),
        (['"a"', "1"], ["a", 1], "object"),
        (['{"b":1}', "[1]"], [{"b": 1}, [1]], "object"),
    ],
)
def test_whole_numbers_and_mixed_columns_are_exact(cells: list[str], values: list[object], dtype: str) -> None:
    frame = opened("a.jsonl", "".join(f'{{"a":{cell}}}\n' for cell in cells))
    assert str(frame["a"].dtype) == dtype
    here = [None if missing else value for value, missing in zip(frame["a"].tolist(), frame["a"].isna(), strict=True)]
    assert here == values
    assert [type(value) for value in here] == [type(value) for value in values]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_understood(encoding: str) -> None:
    assert opened("a.jsonl", '{"grün":"ä"}\r\n\r\n{"grün":"b"}'.encode(encoding))["grün"].tolist() == ["ä", "b"]


def test_rows_with_other_keys_arrays_and_single_values() -> None:
    frame = opened("a.jsonl", '{"b":1}\n{"a":"x","b":2}\n')
    assert (list(frame), frame["b"].tolist(), frame["a"].isna().tolist()) == (["b", "a"], [1, 2], [True, False])
    assert opened("a.jsonl", '[1,"x"]\n[2,"y"]\n').to_dict("list") == {0: [1, 2], 1: ["x", "y"]}
    assert opened("a.jsonl", '1\n"x"\n').to_dict("list") == {0: [1, "x"]}
    assert opened("a.jsonl", "").shape == (0, 0)
    separated = '{"a":"one\u2028line"}\n'
    assert opened("a.jsonl", separated)["a"].tolist() == ["one\u2028line"]


def test_the_line_that_cannot_be_read_is_named() -> None:
    with pytest.raises(UnreadableContent, match=r"line 3 of a\.jsonl is not JSON"):
        opened("a.jsonl", '{"a":1}\n\n{"a":\n')
    with pytest.raises(UnreadableContent, match=r"line 2 of a\.jsonl is of another kind"):
        opened("a.jsonl", '{"a":1}\n[2]\n')
    with pytest.raises(UnreadableContent, match=r"a\.jsonl has no column 'b'"):
        opened("a.jsonl", '{"a":1}\n', usecols=["b"])


def test_names_that_an_object_repeats_warn() -> None:
    with pytest.warns(
        InexactWarning, match=r"a\.jsonl has 2 objects that repeat a name, the first 'a', and only the last"
    ):
        opened("a.jsonl", '{"a":1,"a":2}\n{"b":{"x":1,"x":2}}\n')
    with pytest.warns(InexactWarning, match=r"a\.json has 1 objects that repeat a name, the first 'x'") as shown:
        assert opened("a.json", '{"a":[{"x":1,"y":1,"x":2}]}') == {"a": [{"x": 2, "y": 1}]}
    assert shown[0].filename.endswith("opening.py")


@pytest.mark.parametrize("number", ["1e400", "-1.5e309", "1e-400", "1" + "0" * 400 + ".0"])
def test_numbers_beyond_those_of_a_float_warn(number: str) -> None:
    for name, content in (("a.json", f'{{"a":[{number}]}}'), ("a.jsonl", f'{{"a":{number}}}\n')):
        with pytest.warns(InexactWarning, match="has 1 numbers beyond those of a float, which came as infinity or 0"):
            opened(name, content)
        exact = opened(name, content, parse_float=decimal.Decimal)
        assert exact["a"][0] == decimal.Decimal(number)


def test_other_numbers_and_texts_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        content = '[1e308, 0e-999, 1e-300, 0.0, Infinity, "1e400", 1e100]'
        assert opened("a.json", content) == [1e308, 0.0, 1e-300, 0.0, math.inf, "1e400", 1e100]
        assert math.isnan(opened("a.json", "NaN"))
        assert opened("a.json", "1" + "0" * 400) == 10**400


def test_half_a_surrogate_pair_is_kept() -> None:
    assert opened("a.json", r'{"a": "\ud800"}') == {"a": "\ud800"}
    assert opened("a.jsonl", r'{"a": "\ud800", "b": "x"}')["a"].tolist() == ["\ud800"]
    assert list(opened("a.jsonl", r'{"\ud800": 1, "b": 2}')) == ["\ud800", "b"]


def test_the_line_is_named_wherever_it_is() -> None:
    lines = ['{"text": "' + "x" * 100 + '"}'] * 5000
    assert len(opened("a.jsonl", "\n".join(lines))) == 5000
    for number in (1, 613, 1500, 5000):
        broken = [*lines[: number - 1], "{", *lines[number:]]
        with pytest.raises(UnreadableContent, match=rf"line {number} of a\.jsonl is not JSON"):
            opened("a.jsonl", "\n".join(broken))


def written(table: pandas.DataFrame) -> str:
    """The lines that are saved of a table."""
    with openers.Content("a.jsonl") as file:
        openers.PandasOpener().save(file, table)
        file.seek(0)
        return file.read().decode()


def test_each_row_is_written_as_the_json_of_its_names_and_cells() -> None:
    table = pandas.DataFrame(
        {
            "100 %s": ["a\nb", '"', "\u2028", "ä\r\x00", "%d"],
            "n": [1, 2**60, -3, 0, 5],
            "mixed": [None, True, 1.5, "x", 2**70],
            "nested": [["a\n", [1]], {"k": "\n"}, None, 1, []],
            '"\n': [0.1, 1e300, None, -0.0, 5e-324],
        }
    )
    table["n"] = table["n"].astype("Int64")
    rows = [dict(zip(table, row, strict=True)) for row in zip(*(table[name] for name in table), strict=True)]
    rows[2]['"\n'] = None  # pandas has NaN for it
    assert written(table) == "".join(json.dumps(row, ensure_ascii=False, default=int) + "\n" for row in rows)


def test_more_rows_than_are_encoded_at_once_are_all_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "_ROWS", 3)
    for length in (0, 1, 3, 7):
        lines = written(pandas.DataFrame({"n": range(length)})).splitlines()
        assert [json.loads(line)["n"] for line in lines] == list(range(length))
