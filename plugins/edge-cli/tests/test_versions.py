"""`edge versions`: what talks to what."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from edge_cli.versions import versions
from edge_core.errors import BadResponse, ConfigurationError
from edge_core.session import EdgeSession
from edge_testing.wire import Wire


def run(open_session: Callable[[], EdgeSession], *arguments: str) -> Result:
    return CliRunner().invoke(versions, arguments, obj=open_session)


def reopened(edge: EdgeSession, token: str | None = None) -> Callable[[], EdgeSession]:
    settings = edge.config
    return lambda: EdgeSession(
        api_token=token or settings.api_token, service_url=settings.service_url, organization=settings.organization
    )


def test_it_shows_the_versions_of_both_sides(edge_session: EdgeSession) -> None:
    shown = json.loads(run(reopened(edge_session), "--json").output)

    assert shown["edge-cli"] == shown["edge-core"] == shown["server"]
    assert (shown["api"], shown["user"]) == ("v1", edge_session.whoami().user_name)


def test_another_server_gets_no_token(edge_session: EdgeSession) -> None:
    meta = json.dumps({"api": "v1", "version": "9.0"}).encode()
    with Wire(lambda _: (200, {"Content-Type": "application/json"}, meta)) as wire:
        shown = json.loads(run(reopened(edge_session), "--json", "--target", f"{wire.url}/services/api").output)

    assert (shown["server"], shown["api"]) == ("9.0", "v1")
    assert "user" not in shown
    (request,) = wire.requests
    assert request.path == "/services/api/v1/meta"
    assert "authorization" not in request.headers


def test_an_address_that_is_none_is_an_error(edge_session: EdgeSession) -> None:
    shown = run(reopened(edge_session), "--target", "edge.example.com")

    assert isinstance(shown.exception, ConfigurationError)


def test_without_a_session_it_shows_its_own() -> None:
    def nothing() -> EdgeSession:
        raise ConfigurationError("missing settings")

    assert "server: no session" in run(nothing).output


def test_a_token_that_is_not_accepted_has_a_note(edge_session: EdgeSession) -> None:
    shown = run(reopened(edge_session, "edg_" + "a" * 40))

    assert "Could not retrieve authorization details" in shown.output
    assert "api: v1" in shown.output


def test_a_server_of_another_api_is_an_error(edge_session: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_cli.versions.API", "v2")

    shown = run(reopened(edge_session))

    assert isinstance(shown.exception, BadResponse)
    assert "does not speak version v2 of the API" in str(shown.exception)
