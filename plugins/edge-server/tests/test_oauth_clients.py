"""OAuth clients at a hub: in step with it, also where it is away, refuses, has lost them, or has others."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from edge_server.applications import hub_logins
from edge_server.applications.models import Application, OAuthClient
from edge_server.identity import directory, hub_identity
from edge_server.identity.audit_lines import AuditLine
from edge_server.identity.models import Organization, Token

from .launched import CREATED, Planned, StandInHub, planned_at
from .postgresql import scratch_postgresql

NAME = "edge-app-lab-viewer"
CLIENT_ID = f"service-{NAME}"
ADDRESS = "https://viewer.example.com/oauth"
OTHER = "https://viewer.example.com/elsewhere"
ACCESS = "access:services!service=api"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def planned(tmp_path: Path, hub: StandInHub, request: pytest.FixtureRequest) -> Iterator[Planned]:
    with contextlib.ExitStack() as stack:
        engines = {"database": stack.enter_context(scratch_postgresql())} if request.param == "postgresql" else {}
        yield stack.enter_context(planned_at(tmp_path, hub.api_url, **engines))


def call(planned: Planned, method: str, path: str = "/applications/viewer/oauth-client", **options: Any) -> Any:
    token = options.pop("token", "token-of-dev")
    headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
    return planned.http.open(f"/v1/orgs/lab{path}", method=method, headers=headers, **options)


def register(planned: Planned, **options: Any) -> Any:
    return call(planned, "POST", json={"redirect_uri": ADDRESS}, **options)


def secret_of(planned: Planned, **options: Any) -> str:
    answer = register(planned, **options)
    assert answer.status_code == 201, answer.text
    secret: str = answer.json["client_secret"]
    return secret


def detail(answer: Any, status: int, code: str) -> str:
    assert (answer.status_code, answer.json.get("code")) == (status, code), answer.text
    text: str = answer.json["detail"]
    assert text.count(". ") == 0
    return text


def rows(planned: Planned) -> list[OAuthClient]:
    with planned.database.read() as session:
        return list(session.scalars(sa.select(OAuthClient)))


def patch(planned: Planned, address: str = OTHER) -> Any:
    headers = {"Content-Type": "application/merge-patch+json"}
    return call(planned, "PATCH", data=f'{{"redirect_uri": "{address}"}}', headers=headers)


def look(planned: Planned, times: int = 1) -> None:
    for _ in range(times):
        planned.run(hub_logins.TASK)


def gone(handler: Any) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


# --- registration


def test_a_registration_is_a_service_of_the_hub(
    planned: Planned, hub: StandInHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = register(planned)
        assert call(planned, "GET").json == {"client_id": CLIENT_ID, "redirect_uri": ADDRESS, "client_secret": None}
        look(planned, 2)
    secret = answer.json["client_secret"]
    assert answer.json == {"client_id": CLIENT_ID, "redirect_uri": ADDRESS, "client_secret": secret}
    assert answer.headers["Cache-Control"] == "no-store"
    (service,) = hub.services.values()
    mark = service["info"].pop("edge_client")
    assert service == {
        "oauth_client_id": CLIENT_ID,
        "oauth_redirect_uri": ADDRESS,
        "oauth_client_allowed_scopes": [ACCESS],
        "api_token": secret,
        "display": False,
        "info": {"edge_service": "api"},
    }
    assert mark != secret
    assert hub.calls.count(f"POST /services/{NAME}") == 1, "as nothing has changed since"
    (row,) = rows(planned)
    assert row.digest == hashlib.sha256(secret.encode()).hexdigest()
    with planned.database.read() as session:
        audit = [line.about for line in session.scalars(sa.select(AuditLine).where(AuditLine.action.like("%oauth%")))]
    assert audit == ['{"application": "viewer"}']
    assert secret not in caplog.text
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("answer", "status", "code", "sentence"),
    [
        (gone, 503, "hub_unavailable", "so that nothing was changed; try again later"),
        (lambda handler: handler.reply(500, {"status": 500}), 503, "hub_unavailable", "nothing was changed"),
        (lambda handler: handler.reply(403, {"status": 403}), 409, "conflict", "takes external_apps=True of edge_hub"),
        (
            lambda handler: handler.reply(400, {"status": 400, "message": "Not assigning requested scopes x"}),
            409,
            "conflict",
            "the hub does not register viewer: Not assigning requested scopes x",
        ),
    ],
)
def test_what_the_hub_does_not_take_is_not_registered(
    planned: Planned, hub: StandInHub, answer: Any, status: int, code: str, sentence: str
) -> None:
    hub.odd[f"POST /services/{NAME}"] = answer
    assert sentence in detail(register(planned), status, code)
    assert rows(planned) == []
    hub.odd.clear()
    assert secret_of(planned) == hub.services[NAME]["api_token"]


def test_a_service_of_somebody_else_is_left_alone(planned: Planned, hub: StandInHub) -> None:
    for info in ({}, {"edge_service": "other", "edge_client": "x"}, {"edge_service": "api"}):
        hub.services[NAME] = {"info": info}
        assert "already exists" in detail(register(planned), 409, "conflict")
        look(planned, 3)
        assert hub.services == {NAME: {"info": info}}
        assert rows(planned) == []


def test_what_a_lost_answer_has_left_at_the_hub_is_taken_over_or_removed(planned: Planned, hub: StandInHub) -> None:
    def lost(handler: Any) -> None:
        hub.services[NAME] = handler.sent
        handler.connection.shutdown(socket.SHUT_RDWR)

    hub.odd[f"POST /services/{NAME}"] = lost
    hub.odd[f"GET /services/{NAME}"] = gone
    detail(register(planned), 503, "hub_unavailable")
    hub.odd.clear()
    stray = hub.services[NAME]["api_token"]
    secret = secret_of(planned)
    assert hub.services[NAME]["api_token"] == secret != stray

    call(planned, "DELETE")
    hub.services[NAME] = {"info": {"edge_service": "api", "edge_client": "x"}}
    look(planned)
    assert NAME in hub.services, "as it may be a registration that is going on"
    look(planned)
    assert hub.services == {}


def test_of_two_registrations_at_the_same_moment_the_first_counts(planned: Planned, hub: StandInHub) -> None:
    others: list[str] = []

    def overtaken(handler: Any) -> None:
        hub.odd.clear()
        others.append(secret_of(planned))
        hub.services[NAME] = handler.sent
        handler.reply(201, {})

    hub.odd[f"POST /services/{NAME}"] = overtaken
    assert "registered already" in detail(register(planned), 409, "already_exists")
    assert hub.services[NAME]["api_token"] == others[0]


def test_a_request_sent_again_gives_another_secret_to_the_same_client(planned: Planned, hub: StandInHub) -> None:
    again = {"Idempotency-Key": "registration-1"}
    first = secret_of(planned, headers=again)
    second = secret_of(planned, headers=again)
    assert first != second
    assert hub.services[NAME]["api_token"] == second
    assert len(rows(planned)) == 1
    assert "registered already" in detail(register(planned), 409, "already_exists")
    call(planned, "DELETE")
    assert secret_of(planned) not in (first, second)


# --- changes


def test_another_redirect_leaves_the_secret(planned: Planned, hub: StandInHub) -> None:
    secret = secret_of(planned)
    assert patch(planned).json == {"client_id": CLIENT_ID, "redirect_uri": OTHER, "client_secret": None}
    assert (hub.services[NAME]["oauth_redirect_uri"], hub.services[NAME]["api_token"]) == (OTHER, secret)
    calls = len(hub.calls)
    assert patch(planned).status_code == 200
    assert not [each for each in hub.calls[calls:] if "services" in each], "as it is the same"


def test_a_redirect_that_the_hub_does_not_take_stays_what_it_was(planned: Planned, hub: StandInHub) -> None:
    secret = secret_of(planned)

    def fails_once(handler: Any) -> None:
        hub.odd.clear()
        del hub.services[NAME]
        handler.connection.shutdown(socket.SHUT_RDWR)

    hub.odd[f"POST /services/{NAME}"] = fails_once
    assert "nothing was changed" in detail(patch(planned), 503, "hub_unavailable")
    assert call(planned, "GET").json["redirect_uri"] == ADDRESS
    assert (hub.services[NAME]["oauth_redirect_uri"], hub.services[NAME]["api_token"]) == (ADDRESS, secret)


def test_what_was_registered_before_there_was_a_hub_is_registered_again(planned: Planned, hub: StandInHub) -> None:
    secret_of(planned)
    planned.change(sa.update(OAuthClient).values(sealed=None))
    hub.services.clear()
    look(planned, 2)
    assert hub.services == {}
    assert "was registered before this server had a hub" in detail(patch(planned), 409, "conflict")
    assert call(planned, "DELETE").status_code == 204
    assert secret_of(planned) == hub.services[NAME]["api_token"]


@pytest.mark.parametrize("path", ["/applications/viewer/oauth-client", "/applications/viewer"])
def test_the_hub_forgets_what_is_removed(planned: Planned, hub: StandInHub, path: str) -> None:
    secret_of(planned)
    assert call(planned, "DELETE", path, token="token-of-boss").status_code == 204
    assert (rows(planned), hub.services) == ([], {})


def test_the_hub_forgets_the_clients_of_an_organization_that_is_removed(planned: Planned, hub: StandInHub) -> None:
    secret_of(planned)
    planned.change(sa.update(Organization).where(Organization.name == "lab").values(status=directory.DELETING))
    for run in planned.parts.lifecycle.organization_removed:
        run(planned.lab)
    assert hub.services == {}


def test_what_is_removed_while_the_hub_is_away_is_removed_there_later(planned: Planned, hub: StandInHub) -> None:
    secret_of(planned)
    hub.odd[f"GET /services/{NAME}"] = gone
    assert call(planned, "DELETE").status_code == 204
    assert NAME in hub.services
    hub.odd.clear()
    look(planned, 2)
    assert hub.services == {}


# --- a hub that knows otherwise


def test_a_hub_that_has_lost_its_database_gets_the_client_again(
    planned: Planned, hub: StandInHub, caplog: pytest.LogCaptureFixture
) -> None:
    secret = secret_of(planned)
    service = hub.services.pop(NAME)
    with caplog.at_level(logging.INFO):
        look(planned)
    assert hub.services == {NAME: service}
    assert service["api_token"] == secret
    assert f"registered the OAuth client {CLIENT_ID} at the JupyterHub again" in caplog.text
    assert secret not in caplog.text


def test_a_client_that_was_changed_at_the_hub_is_put_right(planned: Planned, hub: StandInHub) -> None:
    secret_of(planned)
    service = hub.services[NAME]
    hub.services[NAME] = {"info": {"edge_service": "api", "edge_client": "another"}}
    look(planned, 2)
    assert hub.services == {NAME: service}


def test_a_hub_that_lets_nobody_register_clients_is_logged_once(
    planned: Planned, hub: StandInHub, caplog: pytest.LogCaptureFixture
) -> None:
    hub.odd["GET /services"] = lambda handler: handler.reply(
        403, {"status": 403, "message": "Action is not authorized"}
    )
    look(planned, 2)
    assert caplog.text == "", "as nothing is registered"
    secret_of(planned)
    look(planned, 2)
    assert caplog.text.count("does not let this server register OAuth clients") == 1
    assert "cannot be used" not in caplog.text


@pytest.mark.parametrize("answer", [[], {"x": 1}, {"x": {"info": 7}}, None])
def test_a_hub_that_lies_of_its_services_is_away(planned: Planned, hub: StandInHub, answer: Any) -> None:
    secret_of(planned)
    hub.odd["GET /services"] = lambda handler: handler.reply(200, answer)
    look(planned, 2)
    assert NAME in hub.services


# --- whose login is good


def log_in(
    hub: StandInHub, name: str, client: str = f"JupyterHub service {NAME}", service: str = NAME, *, still: bool = True
) -> str:
    """Have a user log in to the application, who may do that still or no more; returns the token that it gets."""
    scopes = [ACCESS, *([f"access:services!service={service}"] if still else []), f"read:users:name!user={name}"]
    user = {"kind": "user", "name": name, "admin": False, "groups": [name], "scopes": scopes, "token_id": "a70"}
    user["session_id"] = "of-the-browser"
    token = {"id": "a70", "scopes": scopes, "note": "", "created": CREATED, "oauth_client": client}
    hub.odd["GET /user"] = lambda handler: handler.reply(200, user)
    hub.odd[f"GET /users/{name}/tokens/a70"] = lambda handler: handler.reply(200, token)
    return f"login-of-{name}-{service}"


def test_a_login_is_good_in_the_organization_of_the_application_alone(planned: Planned, hub: StandInHub) -> None:
    secret_of(planned)
    token = log_in(hub, "ann")
    headers = {"Authorization": f"Bearer {token}"}
    me = planned.http.get("/v1/users/me", headers=headers).json
    assert (me["user_name"], [each["organization_name"] for each in me["organizations"]]) == ("ann", ["lab"])
    assert call(planned, "GET", "/applications", token=token).status_code == 200
    other = planned.http.get("/v1/orgs/other/applications", headers=headers)
    assert "lacks the scope org:other" in detail(other, 403, "insufficient_scope")
    with planned.database.read() as session:
        (row,) = session.scalars(sa.select(Token).where(Token.hub_id == "a70"))
    assert row.scopes == ["org:lab"]


def test_a_login_makes_no_token_that_would_outlive_it(planned: Planned, hub: StandInHub) -> None:
    secret_of(planned)
    headers = {"Authorization": f"Bearer {log_in(hub, 'ann')}"}
    for method, path in (("GET", ""), ("POST", ""), ("GET", "/a1"), ("DELETE", "/a1")):
        body = {"json": {}} if method == "POST" else {}
        answer = planned.http.open(f"/v1/users/me/tokens{path}", method=method, headers=headers, **body)
        assert "the login of an external application" in detail(answer, 403, "forbidden")
    assert not [each for each in hub.calls if each.startswith("POST /users/ann/tokens")]


def test_a_login_launches_nothing_whose_token_would_be_good_for_more(planned: Planned, hub: StandInHub) -> None:
    secret_of(planned)
    answer = call(planned, "POST", "/applications/viewer/launch", token=log_in(hub, "ann"), json={})
    assert "the login of an external application, which launches none" in detail(answer, 403, "forbidden")
    assert not hub.servers


def test_a_login_that_the_hub_permits_no_more_is_no_token_of_the_users_own(planned: Planned, hub: StandInHub) -> None:
    secret_of(planned)
    token = log_in(hub, "ann", still=False)
    for path in ("/v1/users/me", "/v1/orgs/lab/applications", "/v1/orgs/other/applications"):
        answer = planned.http.get(path, headers={"Authorization": f"Bearer {token}"})
        assert f"the hub does not let ann log in to {CLIENT_ID} any more" in detail(answer, 403, "forbidden")


def test_a_login_of_a_browser_to_anything_else_is_as_good_as_a_token(planned: Planned, hub: StandInHub) -> None:
    for client in ("Server at /user/ann/", "JupyterHub service grafana", "service-grafana"):
        token = f"{log_in(hub, 'ann', client, still=False)}-{len(client)}"
        answer = planned.http.get("/v1/users/me/organizations", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200, answer.text


def test_who_does_not_see_the_application_does_not_log_in_to_it(
    planned: Planned, hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_identity, "GROUPS_KEPT_LONGEST", -1.0)
    secret_of(planned)
    hub.members = {"dev": ["developer"]}
    answer = call(planned, "GET", "/applications", token=log_in(hub, "ann"))
    assert "ann is not in lab, for whose application viewer" in detail(answer, 403, "forbidden")
    planned.change(sa.update(Application).values(status="in_review"))
    assert call(planned, "GET", "/applications", token=log_in(hub, "dev")).status_code == 200
    hub.members = {"dev": [], "ann": []}
    answer = call(planned, "GET", "/applications", token=f"{log_in(hub, 'ann')}-again")
    assert "is in review" in detail(answer, 403, "forbidden")


def test_a_login_to_what_is_not_registered_is_none(planned: Planned, hub: StandInHub) -> None:
    token = log_in(hub, "ann")
    assert "not registered" in detail(call(planned, "GET", "/applications", token=token), 401, "unauthenticated")
    del hub.odd["GET /user"]
    secret_of(planned)
    assert call(planned, "GET", "/applications", token=f"{log_in(hub, 'ann')}-again").status_code == 200


def test_a_users_own_token_that_may_use_the_service_is_not_limited(planned: Planned, hub: StandInHub) -> None:
    secret_of(planned)
    token = log_in(hub, "ann", "JupyterHub")
    assert planned.http.get("/v1/users/me/tokens", headers={"Authorization": f"Bearer {token}"}).status_code != 403
    unknown = f"{log_in(hub, 'ann', 'Server at /user/ann/')}-2"
    assert "does not tell which application" in detail(
        call(planned, "GET", "/applications", token=unknown), 403, "forbidden"
    )
