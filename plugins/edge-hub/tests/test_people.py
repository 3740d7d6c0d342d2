"""What the app proxy knows of who visits, also while Edge does not answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from edge_core.errors import ConfigurationError, EdgeError, NotFound
from edge_hub.app_proxy import people
from edge_hub.app_proxy.edge_app import EdgeApp
from edge_hub.app_proxy.people import People
from edge_hub.app_proxy.visitors import EdgeAway, Visitor

LAUNCHED = {"JUPYTERHUB_USER": "ada", "JUPYTERHUB_SERVER_NAME": "viz-1f0c2d3e", "EDGE_APP_ID": "viz"}
BOB = Visitor("bob", "Bob B.", ("lab", "lab:admin"))


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What Edge says, one after the other; the last again and again."""
    answers: list[Any] = [BOB]

    def visitor(_: EdgeApp, server_name: str, user_name: str) -> Visitor:
        assert (server_name, user_name) == ("viz-1f0c2d3e", "bob")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, EdgeError):
            raise answer
        described: Visitor = answer
        return described

    monkeypatch.setattr(EdgeApp, "visitor", visitor)
    monkeypatch.setattr(people, "CACHE_TIME", -1.0)
    for name, value in {
        "EDGE_API_TOKEN": "t",
        "EDGE_API_SERVICE_URL": "http://127.0.0.1:1",
        "EDGE_API_ORG": "l",
    }.items():
        monkeypatch.setenv(name, value)
    return answers


def describe(known: People, *, is_let_in: bool, user_name: str = "bob") -> Visitor | None:
    return asyncio.run(known.describe(user_name, is_let_in=is_let_in))


@pytest.mark.parametrize("is_let_in", [True, False])
def test_edge_says_who_visits_and_who_does_not(edge: list[Any], is_let_in: bool) -> None:
    known = People(LAUNCHED)
    assert describe(known, is_let_in=is_let_in) == BOB
    edge[:] = [NotFound("not shared")]
    assert describe(known, is_let_in=is_let_in) is None


def test_while_edge_is_away_only_the_hub_lets_anybody_in_and_nobody_has_roles(edge: list[Any]) -> None:
    known = People(LAUNCHED)
    assert describe(known, is_let_in=False) == BOB
    edge[:] = [ConfigurationError("nothing is set")]
    assert describe(known, is_let_in=True) == Visitor("bob", "Bob B.")
    with pytest.raises(EdgeAway):
        describe(known, is_let_in=False)
    edge[:] = [BOB]
    assert describe(known, is_let_in=False) == BOB


def test_edges_word_counts_for_seconds(edge: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "CACHE_TIME", 1000.0)
    known = People(LAUNCHED)
    assert describe(known, is_let_in=True) == BOB
    edge[:] = [NotFound("not shared")]
    assert describe(known, is_let_in=True) == BOB


def test_of_many_visitors_the_first_are_forgotten(edge: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "MOST_KNOWN", 0)
    known = People(LAUNCHED)
    assert describe(known, is_let_in=True) == BOB
    edge[:] = [NotFound("not shared")]
    assert describe(known, is_let_in=True) is None


def test_of_what_edge_has_not_launched_the_hub_alone_says_who_visits(edge: list[Any]) -> None:
    known = People({**LAUNCHED, "EDGE_APP_ID": ""})
    assert describe(known, is_let_in=True) == Visitor("bob", "bob")
    assert describe(known, is_let_in=False) is None
