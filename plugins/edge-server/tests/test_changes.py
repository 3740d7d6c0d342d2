"""Updates: what a merge patch makes of a record, and who was faster."""

from __future__ import annotations

from typing import Any

import flask
import pytest

from edge_core.records import Record, field
from edge_server.base.problems import Refusal
from edge_server.web import updates


class Shelf(Record):
    """Plates on a board."""

    uid: str | None = None
    name: str = field(max_length=10)
    plates: int = field(default=1, minimum=0)
    labels: dict[str, str] = field(default_factory=dict)


class Row:
    uid = "u"
    revision = 3


SHELF = Shelf(uid="u", name="north", plates=4, labels={"a": "1", "b": "2"})


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({}, {}),
        ({"plates": 7}, {"plates": 7}),
        ({"plates": None}, {"plates": 1}),
        ({"labels": {"a": None, "c": "3"}}, {"labels": {"b": "2", "c": "3"}}),
        ({"uid": "u", "name": "south"}, {"name": "south"}),
        ({"uid": None, "name": "south"}, {"name": "south"}),
    ],
)
def test_a_patch_changes_what_it_names(patch: dict[str, Any], expected: dict[str, Any]) -> None:
    assert updates.patched(SHELF, Shelf.patch_schema().load(patch), fixed=["uid"]).to_dict() == {
        **SHELF.to_dict(),
        **expected,
    }


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        ({"uid": "v"}, "uid: it cannot be changed"),
        ({"name": None}, "name: Missing data"),
        ({"labels": {"a": 1}}, "labels.a: Not a valid string"),
    ],
)
def test_a_patch_that_cannot_be_is_refused(patch: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refusal, match=sentence):
        updates.patched(SHELF, patch, fixed=["uid"])


@pytest.mark.parametrize(
    ("header", "passes"),
    [(None, True), ("*", True), ('"u-3"', True), ('"u-2", "u-3"', True), ('"u-2"', False), ('W/"u-3"', False)],
)
def test_an_update_of_a_state_that_is_gone_is_refused(header: str | None, passes: bool) -> None:
    headers = {} if header is None else {"If-Match": header}
    with flask.Flask("test").test_request_context(headers=headers):
        if passes:
            updates.require_unchanged(Row())
        else:
            with pytest.raises(Refusal, match="since you read it") as refused:
                updates.require_unchanged(Row())
            assert refused.value.status == 412
