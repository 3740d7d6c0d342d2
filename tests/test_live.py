"""The session against a live server: who it is, and what a wrong setting says."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import edge.api
from edge.whoami.organization import Organization
from edge_core.errors import BadEntry, ConnectionFailed, NotFound, Unauthenticated
from edge_core.session import EdgeSession


def test_whoami_and_set_whoami(edge_session: EdgeSession) -> None:
    me = edge_session.whoami()
    assert isinstance(me, edge.api.WhoAmI)
    assert (me.first_name, me.email, me.server_admin, me.license_name) == (None, None, False, None)
    (organization,) = me.organizations
    assert isinstance(organization, Organization)
    assert organization.organization_name == edge_session.organization
    assert sorted(organization.roles) == ["admin", "developer"]

    edge_session.set_whoami(first_name="Ada", last_name="Lovelace", email="ada@example.com")
    assert edge_session.whoami().to_dict() == {
        **me.to_dict(),
        "first_name": "Ada",
        "last_name": "Lovelace",
        "email": "ada@example.com",
    }
    edge_session.set_whoami(last_name="King")
    me = edge_session.whoami()
    assert (me.first_name, me.last_name, me.email) == (None, "King", None)
    with pytest.raises(BadEntry, match="first_name"):
        edge_session.set_whoami(first_name="x" * 201)


def test_the_environment_is_enough(edge_session: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = edge_session.config
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", settings.api_token)
    monkeypatch.setenv("EDGE_API_SERVICE_URL", settings.service_url)
    monkeypatch.setenv("EDGE_API_ORG", settings.organization)
    with edge.api.EdgeSession() as session:
        session.files.upload("a.txt", b"x")
        assert session.files.list() == ["a.txt"]


def test_copies_and_pickles_work_on_their_own(edge_session: EdgeSession) -> None:
    edge_session.files.upload("a.txt", b"x")
    for other in (copy.copy(edge_session), pickle.loads(pickle.dumps(edge_session))):
        with other:
            assert other.files.list() == ["a.txt"]
    assert edge_session.files.list() == ["a.txt"]


def test_a_pickle_holds_no_token_of_the_environment(edge_session: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = edge_session.config
    monkeypatch.setenv("EDGE_API_TOKEN", settings.api_token)
    with EdgeSession(service_url=settings.service_url, organization=settings.organization) as session:
        assert settings.api_token.encode() not in pickle.dumps(session)


@pytest.fixture
def wrong(edge_session: EdgeSession, edge_server: Any) -> Any:
    """Open a session that differs from the right one in what is given."""
    settings = edge_session.config

    def make(**other: Any) -> EdgeSession:
        right = {
            "api_token": settings.api_token,
            "service_url": settings.service_url,
            "organization": settings.organization,
        }
        return EdgeSession(**{**right, **other}, retries=0)

    return make


def test_a_wrong_token_is_refused(wrong: Any) -> None:
    for token in ("edg_nonsense", "a-hub-token", "edg_" + "x" * 39):
        with pytest.raises(Unauthenticated, match="token") as raised:
            wrong(api_token=token).whoami()
        assert token not in str(raised.value)


def test_an_expired_token_is_refused(wrong: Any, edge_server: Any) -> None:
    token = edge_server.create_token(edge_server.create_user(), expires_in=-1)
    with pytest.raises(Unauthenticated, match="expired"):
        wrong(api_token=token).whoami()


def test_a_wrong_organization_is_reported(wrong: Any, edge_server: Any) -> None:
    for name in ("no-such-organization", edge_server.create_organization()):
        with pytest.raises(NotFound, match="or you are not in it"):
            wrong(organization=name).files.list()


def test_a_server_of_another_kind_is_reported(wrong: Any, edge_session: EdgeSession) -> None:
    with pytest.raises(NotFound, match="check the service URL"):
        wrong(service_url=edge_session.config.service_url + "/elsewhere").whoami()
    with pytest.raises(ConnectionFailed, match="check the service URL"):
        wrong(service_url="http://127.0.0.1:9").whoami()


def test_a_search_finds_misspelt_names(edge_session: EdgeSession) -> None:
    edge_session.files.upload("runs/Experiment-7.csv", b"x")
    (result,) = edge_session.search("expermient")
    assert (result.name, result.kind, result.path) == ("Experiment-7.csv", "file", "runs/Experiment-7.csv")
    assert result.uid == edge_session.search("experiment")[0].uid
    assert result.score == pytest.approx(0.9, abs=1e-5)
    assert [result.path for result in edge_session.search("run", kind="folder")] == ["runs"]
    assert edge_session.search("nothing like this") == []
    with pytest.raises(BadEntry, match="kind: 'filee' is not a kind of things; it is one of connector, file, folder"):
        edge_session.search("plate", kind="filee")
