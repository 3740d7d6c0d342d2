"""JSON lines come with the types and digits that they state."""

from __future__ import annotations

import json
import random
import struct

import pytest

from edge_vfs.openers import UnreadableContent

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
