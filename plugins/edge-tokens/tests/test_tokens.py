"""The session's tokens, against a live server."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from marshmallow import ValidationError

import edge.edge_tokens
from edge_core import schemas
from edge_core.errors import BadEntry, Conflict, NotFound, Unauthenticated
from edge_core.session import EdgeSession
from edge_server.testing.local_server import EdgeServer
from edge_tokens.namespace import EdgeTokens
from edge_tokens.token import Token
from edge_tokens.wire import LONGEST_LIFE, CreateToken

DAY = 24 * 3600


@pytest.fixture
def open_session(edge_session: EdgeSession) -> Iterator[Callable[[str], EdgeSession]]:
    """A session with another token, in the same organization."""
    opened: list[EdgeSession] = []

    def make(token: str | None) -> EdgeSession:
        settings = edge_session.config
        opened.append(EdgeSession(token, settings.service_url, settings.organization))
        return opened[-1]

    yield make
    for session in opened:
        session.close()


def test_a_tokens_value_is_there_once(edge_session: EdgeSession, open_session: Any) -> None:
    assert isinstance(edge_session.tokens, EdgeTokens)
    before = dt.datetime.now(dt.UTC)
    token = edge_session.tokens.create(note="build job", expires_in=DAY)
    assert isinstance(token, edge.edge_tokens.Token)
    assert token.token is not None
    assert token.token.startswith(token.prefix)
    assert token.token[10:] not in repr(token)
    assert token.note == "build job"
    assert token.expires_at is not None
    assert dt.timedelta(0) <= token.expires_at - before - dt.timedelta(days=1) < dt.timedelta(minutes=5)
    again = edge_session.tokens.get(token.id)
    assert again.token is None
    assert {**again.to_dict(), "token": token.token} == token.to_dict()
    assert open_session(token.token).whoami().user_name == edge_session.whoami().user_name


def test_a_tokens_life_can_be_a_timedelta(edge_session: EdgeSession) -> None:
    token = edge_session.tokens.create(expires_in=dt.timedelta(days=1))
    assert token.expires_at is not None
    assert token.expires_at - token.created_at == dt.timedelta(days=1)


def test_the_list_has_all_that_are_not_removed(edge_session: EdgeSession) -> None:
    (first,) = edge_session.tokens.list()
    assert first.note == "edge_session"
    tokens = [edge_session.tokens.create(note=str(n)) for n in range(3)]
    assert [token.note for token in edge_session.tokens.list()] == ["edge_session", "0", "1", "2"]
    assert all(token.token is None and token.expires_at is None for token in edge_session.tokens.list())
    edge_session.tokens.remove(tokens[1].id)
    assert [token.id for token in edge_session.tokens.list()] == [first.id, tokens[0].id, tokens[2].id]
    for gone in (tokens[1].id, "no-such-token", "", "../me", "a/b", "a?b", "ä", "x" * 100, None):
        with pytest.raises(NotFound):
            edge_session.tokens.get(gone)  # type: ignore[arg-type]
        with pytest.raises(NotFound):
            edge_session.tokens.remove(gone)  # type: ignore[arg-type]


@pytest.mark.slow
def test_long_lists_come_in_pages(edge_session: EdgeSession) -> None:
    for n in range(105):
        edge_session.tokens.create(note=str(n))
    assert [token.note for token in edge_session.tokens.list()][1:] == [str(n) for n in range(105)]


def test_a_token_that_expires_at_once_is_refused_and_still_shows(edge_session: EdgeSession, open_session: Any) -> None:
    expired = edge_session.tokens.create(expires_in=0)
    with pytest.raises(Unauthenticated, match="expired"):
        open_session(expired.token).whoami()
    assert expired.id in [token.id for token in edge_session.tokens.list()]


def test_a_removed_token_stops_at_once(edge_session: EdgeSession, open_session: Any) -> None:
    token = edge_session.tokens.create()
    other = open_session(token.token)
    other.whoami()
    edge_session.tokens.remove(token.id)
    with pytest.raises(Unauthenticated):
        other.whoami()


def test_a_session_may_remove_the_token_it_uses(edge_session: EdgeSession, open_session: Any) -> None:
    token = edge_session.tokens.create()
    other = open_session(token.token)
    other.tokens.remove(token.id)
    with pytest.raises(Unauthenticated):
        other.tokens.list()


def test_nobody_sees_anothers_tokens(edge_session: EdgeSession, edge_server: EdgeServer, open_session: Any) -> None:
    mine = edge_session.tokens.create(note="mine")
    admin = open_session(edge_server.create_token("admin"))
    assert mine.id not in [token.id for token in admin.tokens.list()]
    with pytest.raises(NotFound):
        admin.tokens.get(mine.id)
    with pytest.raises(NotFound):
        admin.tokens.remove(mine.id)
    assert edge_session.tokens.get(mine.id).note == "mine"


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"note": "x" * 201}, "note"),
        ({"note": "a\nb"}, "note"),
        ({"note": "a\0b"}, "note"),
        ({"note": 1}, "note"),
        ({"expires_in": -1}, "expires_in"),
        ({"expires_in": 10**12}, "expires_in"),
        ({"expires_in": 10**400}, "expires_in"),
        ({"expires_in": 1.5}, "expires_in"),
        ({"expires_in": "60"}, "expires_in"),
        ({"expires_in": dt.timedelta(seconds=-1)}, "expires_in"),
        ({"expires_in": dt.timedelta(milliseconds=1500)}, "round it"),
    ],
)
def test_what_cannot_be_is_refused(edge_session: EdgeSession, arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(BadEntry, match=field):
        edge_session.tokens.create(**arguments)
    assert len(edge_session.tokens.list()) == 1


def test_a_note_may_be_any_text_without_newlines(edge_session: EdgeSession) -> None:
    for note in ("", "é" * 200, "\U0001f600 日本語 \u202e", 'it\'s "quoted" & <b>'):
        assert edge_session.tokens.create(note=note).note == note


def test_tokens_work_whatever_the_clock_of_the_client_says(
    edge_session: EdgeSession, open_session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    real = time.time
    for skew in (-10 * 365 * DAY, 10 * 365 * DAY):
        monkeypatch.setattr(time, "time", lambda skew=skew: real() + skew)
        token = edge_session.tokens.create(expires_in=60)
        assert open_session(token.token).whoami().user_name == edge_session.whoami().user_name


def test_a_newer_servers_fields_are_kept() -> None:
    answer = {"id": "1", "created_at": "2024-01-01T00:00:00Z", "colour": "blue"}
    assert Token.from_answer(answer).to_dict()["colour"] == "blue"


def test_a_request_sent_again_gives_the_same_token_another_value(edge_session: EdgeSession, open_session: Any) -> None:
    http = edge_session.tokens.http

    def create() -> Token:
        headers = {"Idempotency-Key": "the same", "Content-Type": "application/json"}
        with http.fetch("POST", "", headers=headers, body=b'{"note": "once"}') as answer:
            return Token.from_answer(answer.json())

    first, second = create(), create()
    assert (first.id, first.created_at) == (second.id, second.created_at)
    assert first.token != second.token
    assert [token.note for token in edge_session.tokens.list()] == ["edge_session", "once"]
    with pytest.raises(Unauthenticated):
        open_session(first.token).whoami()
    assert open_session(second.token).whoami().user_name == edge_session.whoami().user_name
    edge_session.tokens.remove(first.id)
    with pytest.raises(Conflict, match="removed"):
        create()
    assert len(edge_session.tokens.list()) == 1


def test_a_number_out_of_range_and_a_text_too_long_get_our_own_words() -> None:
    refused = schemas.schema(CreateToken).validate({"expires_in": -5, "note": "x" * 2000, "scopes": ["read"] * 101})
    assert refused == {
        "expires_in": [f"write a number from 0 to {LONGEST_LIFE}"],
        "note": ["write at most 200 characters"],
        "scopes": ["write at most 100 items"],
    }
    assert schemas._within(1, None)(1) == 1
    for least, most, sentence in (
        (1, None, "write a number that is 1 or more"),
        (None, -1, "write a number that is -1 or less"),
    ):
        with pytest.raises(ValidationError, match=f"^{sentence}$"):
            schemas._within(least, most)(0)
