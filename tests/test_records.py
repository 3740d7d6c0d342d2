"""Records: declared once, wrapped and not loaded, kind to what a newer server sends."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import pickle
from typing import Any

import marshmallow
import pytest

from edge_core.errors import BadResponse
from edge_core.records import PLAIN_TEXT, Pattern, Record, field
from edge_core.schemas import patch_schema


class Colour(enum.Enum):
    Red = "red"
    Nothing = None


class Well(Record):
    row: str
    volume: float = 0.0


class Plate(Record):
    """A plate of wells."""

    uid: str
    created_at: dt.datetime
    wells: list[Well] = field(default_factory=list)
    best: Well | None = None
    cost: decimal.Decimal | None = None
    day: dt.date | None = None
    colour: Colour | None = None
    count: int = field(default=1, minimum=0, maximum=96, doc="How many.")
    tags: dict[str, str] = field(default_factory=dict)
    done: bool = False
    name: str = field(default="", max_length=5, pattern="^[a-z]*$")
    extra: Any = None


ANSWER = {
    "uid": "u1",
    "created_at": "2026-11-22T10:00:00+02:00",
    "wells": [{"row": "A", "volume": 2}],
    "cost": "0.10",
    "day": "2026-11-22",
    "colour": "red",
    "from_the_future": {"kept": True},
}


def test_fields_read_as_their_types() -> None:
    plate = Plate.from_answer(dict(ANSWER))
    assert plate.created_at == dt.datetime(2026, 11, 22, 8, tzinfo=dt.UTC)
    assert plate.wells[0].volume == 2.0
    assert plate.cost == decimal.Decimal("0.10")
    assert plate.day == dt.date(2026, 11, 22)
    assert plate.colour is Colour.Red
    assert plate.count == 1, "what is not sent has its default"
    assert plate.wells is plate.wells, "converted once"


def test_what_a_newer_server_sends_is_kept() -> None:
    plate = Plate.from_answer({**ANSWER, "colour": "ultraviolet"})
    assert plate.colour == "ultraviolet"  # type: ignore[comparison-overlap]
    assert plate.to_dict()["colour"] == "ultraviolet"
    assert plate.to_dict()["from_the_future"] == {"kept": True}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("uid", 1),
        ("uid", None),
        ("created_at", "yesterday"),
        ("created_at", "2026-11-22T10:00:00"),
        ("created_at", 5),
        ("wells", {}),
        ("wells", [1]),
        ("best", "A"),
        ("cost", 0.1),
        ("cost", "much"),
        ("day", "22.11."),
        ("count", True),
        ("count", 1.5),
        ("count", "1"),
        ("tags", []),
        ("tags", {"a": 1}),
        ("done", 1),
    ],
)
def test_a_wrong_type_is_a_bad_response_that_names_the_field(name: str, value: object) -> None:
    plate = Plate.from_answer({**ANSWER, name: value})
    with pytest.raises(BadResponse, match=rf"'{name}'|Well"):
        getattr(plate, name)


def test_a_missing_field_is_a_bad_response() -> None:
    with pytest.raises(BadResponse, match="without its field 'uid'"):
        Plate.from_answer({}).uid  # noqa: B018


@pytest.mark.parametrize("answer", [None, [], "text", 3])
def test_an_answer_that_is_no_object_is_a_bad_response(answer: object) -> None:
    with pytest.raises(BadResponse, match="where Plate was expected"):
        Plate.from_answer(answer)


def test_records_are_built_by_keyword_or_position() -> None:
    created = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    plate = Plate("u1", created, wells=[Well("A")], colour=Colour.Nothing)
    assert plate == Plate(uid="u1", created_at=created, wells=[Well(row="A", volume=0.0)])
    assert plate.to_dict()["created_at"] == "2026-01-01T00:00:00Z"
    for wrong in ({"uid": "u1"}, {"uid": "u1", "created_at": created, "colr": 1}):
        with pytest.raises(TypeError):
            Plate(**wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="twice"):
        Plate("u1", created, uid="u2")  # type: ignore[misc]
    with pytest.raises(TypeError, match="2 fields"):
        Well("A", 1.0, 2)  # type: ignore[call-arg]


def test_attributes_are_set_and_misspelt_ones_are_not() -> None:
    plate = Plate.from_answer(dict(ANSWER))
    plate.count = 7
    plate.wells[0].volume = 9.5
    assert plate.to_dict()["count"] == 7
    assert plate.to_dict()["wells"] == [{"row": "A", "volume": 9.5}]
    with pytest.raises(AttributeError, match="no field 'cuont'"):
        plate.cuont = 7  # type: ignore[attr-defined]


def test_changes_are_what_was_set_and_nothing_else() -> None:
    answer = {**ANSWER, "tags": {"a": "1"}, "best": {"row": "A"}}
    plate = Plate.from_answer(answer)
    assert (plate.created_at, plate.wells[0].row, plate.tags, plate.cost) is not None
    assert plate.changes() == {}, "reading changes nothing"
    plate.count = 7
    plate.colour = None
    plate.best.volume = 3.0  # type: ignore[union-attr]
    plate.tags["b"] = "2"
    assert plate.changes() == {"count": 7, "colour": None, "best": {"volume": 3.0}, "tags": {"a": "1", "b": "2"}}
    plate.wells.append(Well("B"))
    assert plate.changes()["wells"] == [{"row": "A", "volume": 2.0}, {"row": "B", "volume": 0.0}]
    by_hand = Well("A")
    assert by_hand.changes() == {"row": "A", "volume": 0.0}


def test_defaults_are_not_shared() -> None:
    created = dt.datetime.now(dt.UTC)
    first, other = Plate("u1", created), Plate("u2", created)
    first.wells.append(Well("A"))
    assert other.wells == []


def test_records_pickle() -> None:
    plate = Plate.from_answer(dict(ANSWER))
    assert plate.count == 1
    assert pickle.loads(pickle.dumps(plate)) == plate


def test_a_child_class_has_its_parents_fields() -> None:
    class Deep(Well):
        depth: int = 0

    assert Deep("A", 1.0, 3).to_dict() == {"row": "A", "volume": 1.0, "depth": 3}
    assert Well("A").to_dict() == {"row": "A", "volume": 0.0}
    assert Deep.schema() is not Well.schema()


def test_the_schema_loads_and_dumps_records() -> None:
    plain = {**ANSWER}
    del plain["from_the_future"]
    plate = Plate.schema().load(plain)
    assert isinstance(plate, Plate)
    assert isinstance(plate.wells[0], Well)
    dumped = Plate.schema().dump(plate)
    assert dumped["cost"] == "0.10"
    assert dumped["colour"] == "red"
    assert dumped["wells"] == [{"row": "A", "volume": 2.0}]
    assert Plate.schema() is Plate.schema()


@pytest.mark.parametrize(
    ("extra", "field_named"),
    [
        ({"count": 97}, "count"),
        ({"count": "3"}, "count"),
        ({"name": "abcdef"}, "name"),
        ({"name": "A"}, "name"),
        ({"name": "ab\n"}, "name"),
        ({"name": None}, "name"),
        ({"uid": None}, "uid"),
        ({"colour": "ultraviolet"}, "colour"),
        ({"wells": [{}]}, "wells"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_the_schema_refuses_what_is_not_declared(extra: dict[str, object], field_named: str) -> None:
    valid = {"uid": "u1", "created_at": "2026-11-22T10:00:00Z"}
    assert Plate.schema().validate({**valid, "extra": None}) == Plate.schema().validate(valid) == {}
    assert list(Plate.schema().validate({**valid, **extra})) == [field_named]


def test_the_schema_needs_what_has_no_default() -> None:
    with pytest.raises(marshmallow.ValidationError) as raised:
        Plate.schema().load({})
    assert set(raised.value.messages) == {"uid", "created_at"}  # type: ignore[arg-type]


def test_many_records_are_loaded_and_refused_by_their_place() -> None:
    wells = Well.schema().load([{"row": "A"}, {"row": "B", "volume": 2}], many=True)
    assert wells == [Well("A"), Well("B", 2.0)]
    patches = [{"volume": 1}, {"volume": None}]
    assert patch_schema(Well).load(patches, many=True) == patches
    for kind in (Well.schema(), patch_schema(Well)):
        with pytest.raises(marshmallow.ValidationError) as raised:
            kind.load([{"row": "A"}, {"row": "B", **{f"x{n}": n for n in range(30)}}], many=True)
        messages = raised.value.normalized_messages()
        assert list(messages) == [1]
        assert "more unknown fields" in str(messages)
        with pytest.raises(marshmallow.ValidationError):
            kind.load({"row": "A"}, many=True)
    with pytest.raises(marshmallow.ValidationError) as raised:
        Well.schema().load([{}] * 30, many=True)
    assert "11 more were not looked at" in str(raised.value)


def test_reading_several_fields_gives_what_reading_each_alone_gives() -> None:
    raw = {"name": "A1", "plates": "not a number", "labels": {"a": "1"}, "moment": "2026-03-01T12:00:00+02:00"}

    class Shelf(Record):
        name: str
        plates: int
        labels: dict[str, str]
        moment: dt.datetime
        note: str | None = "none"

    class Deep(Shelf):
        depth: int = 3

    for kind in (Shelf, Deep):
        shelf = kind.from_answer(raw)
        shelf.name = "B2"
        assert shelf.labels == {"a": "1"}
        shelf.labels["b"] = "2"
        assert shelf.moment == dt.datetime(2026, 3, 1, 10, tzinfo=dt.UTC)
        assert (shelf.name, shelf.labels, shelf.note) == ("B2", {"a": "1", "b": "2"}, "none")
        with pytest.raises(BadResponse, match="'plates'"):
            shelf.plates  # noqa: B018
        assert shelf.changes() == {"name": "B2", "labels": {"a": "1", "b": "2"}}


def test_a_field_cannot_take_the_name_of_what_a_record_can_do() -> None:
    with pytest.raises(TypeError, match="cannot have a field 'changes'"):

        class Diary(Record):
            changes: str  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("hint", "good", "wrong"),
    [
        (bool, (True, False), (0, 1, "true", "no", 0.0)),
        (int, (0, -1, 10**30), (True, "1", 1.5)),
        (float, (0, 1.5, -2), (True, "1.5", "NaN")),
    ],
)
def test_numbers_and_booleans_are_taken_as_json_has_them(hint: type, good: Any, wrong: Any) -> None:
    kind = type("Made", (Record,), {"__annotations__": {"value": hint}})
    for value in good:
        assert kind.schema().load({"value": value}).value == value
    for value in wrong:
        with pytest.raises(marshmallow.ValidationError):
            kind.schema().load({"value": value})


class Finish(enum.Enum):
    Raw = None
    Matt = "matt"


class Board(Record):
    finish: Finish = Finish.Raw


def test_null_can_be_a_member_of_an_enumeration() -> None:
    assert Board.from_answer({"finish": None}).finish is Finish.Raw
    assert Board.from_answer({"finish": "matt"}).finish is Finish.Matt
    assert Board().to_dict() == {"finish": None}
    assert Board.schema().validate({"finish": None}) == {}
    assert Board.schema().validate({"finish": "shiny"}) != {}


class Label(Record):
    text: str = field(default="", pattern=PLAIN_TEXT)
    code: str = field(default="", pattern=Pattern("^[a-z]{2}$", "use {two} lower-case letters"))
    own: str = field(default="", pattern="^x{3}$")


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ({"text": "a\nb"}, "write it on one line, without line breaks, tabs and other control characters"),
        ({"code": "A"}, "use {two} lower-case letters"),
        ({"own": "xx"}, "write what matches ^x{3}$"),
    ],
)
def test_the_error_about_a_text_says_what_to_write(fields: dict[str, str], advice: str) -> None:
    (messages,) = Label.schema().validate(fields).values()
    assert messages == [advice]


def test_a_pattern_for_a_part_of_a_text_is_refused() -> None:
    for wrong in ({"pattern": "[a-z]+"}, {"item_pattern": "^[a-z]+"}):
        with pytest.raises(ValueError, match="begin it with"):
            field(**wrong)
