"""Who is a member by the groups of a hub, while that changes under the looks that follow it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from edge_server.data.database import SERVER
from edge_server.identity import directory
from edge_server.identity.audit_lines import AuditLine
from edge_server.identity.models import Membership, Organization, User

from .launched import CREATED, Planned, StandInHub, planned_at

GROUPS, TOKENS = "groups of the hub", "tokens of the hub"
"""Background tasks of a server at a hub."""


@pytest.fixture
def planned(tmp_path: Path, hub: StandInHub) -> Iterator[Planned]:
    with planned_at(tmp_path, hub.api_url) as server:
        yield server


def call(planned: Planned, method: str, path: str, token: str = "token-of-ann", **options: Any) -> Any:
    return planned.http.open(path, method=method, headers={"Authorization": f"Bearer {token}"}, **options)


def organizations(planned: Planned, token: str = "token-of-ann") -> dict[str, list[str]]:
    """The organizations of a user, with their roles."""
    answer = call(planned, "GET", "/v1/users/me", token)
    assert answer.status_code == 200, answer.text
    return {each["organization_name"]: each["roles"] for each in answer.json["organizations"]}


def members_of(planned: Planned, organization: str) -> int:
    rows = sa.select(sa.func.count(Membership.id)).join(Membership.organization)
    with planned.database.read() as session:
        return session.scalar(rows.where(Organization.name == organization)) or 0


def test_who_joined_a_new_group_while_the_groups_were_listed_stays(planned: Planned, hub: StandInHub) -> None:
    """A membership that is taken away for a moment ends open uploads and signed addresses."""

    def list_groups(handler: Any) -> None:
        del hub.odd["GET /groups"]
        before = hub.answer("GET", "groups", "", None)
        hub.groups.append({"name": "crew", "users": ["ann"], "properties": {"edge_organization": "boats"}})
        assert organizations(planned) == {"lab": [], "boats": []}
        handler.reply(*before)

    hub.odd["GET /groups"] = list_groups
    planned.run(GROUPS)
    assert members_of(planned, "boats") == 1


def test_a_former_admin_of_the_hub_who_sends_no_request_is_no_server_admin(planned: Planned, hub: StandInHub) -> None:
    """What they have begun as one, such as an invitation, ends with that as well."""
    planned.change(sa.update(User).values(server_admin=True))
    hub.admins = {"boss"}
    planned.run(GROUPS)
    with planned.database.read() as session:
        assert session.scalars(sa.select(User.user_name).where(User.server_admin)).all() == ["boss"]
        lines = session.scalars(sa.select(AuditLine.about).where(AuditLine.action == "hub.users.update")).all()
    assert lines == [f'{{"user_name": "{name}", "server_admin": "false"}}' for name in ("ann", "dev")]


def test_a_token_that_was_created_while_tokens_were_listed_is_good(planned: Planned, hub: StandInHub) -> None:
    first = {"id": "a0", "scopes": [], "note": "", "created": CREATED, "expires_at": None, "last_activity": None}
    visitor = {"kind": "user", "name": "ann", "admin": False, "groups": ["ann"], "token_id": "a7"}

    def list_tokens(handler: Any) -> None:
        hub.odd["GET /user"] = lambda at: at.reply(200, {**visitor, "scopes": ["access:services!service=api"]})
        assert call(planned, "GET", "/v1/users/me", "another-of-ann").status_code == 200
        handler.reply(200, {"api_tokens": [first]})

    assert call(planned, "GET", "/v1/users/me").status_code == 200
    hub.odd["GET /users/ann/tokens"] = list_tokens
    planned.run(TOKENS)
    assert call(planned, "GET", "/v1/users/me", "another-of-ann").status_code == 200
    # Of what the hub has lost, nothing is kept.
    hub.odd["GET /users/ann/tokens"] = lambda at: at.reply(200, {"api_tokens": [first]})
    planned.run(TOKENS)
    assert call(planned, "GET", "/v1/users/me", "another-of-ann").status_code == 401


@pytest.mark.parametrize("by", ["code", "list"])
def test_an_invitation_from_before_an_organization_was_the_hubs_lets_nobody_in(planned: Planned, by: str) -> None:
    for user in ("ann", "boss"):
        assert call(planned, "GET", "/v1/users/me", f"token-of-{user}").status_code == 200
    with planned.database.write(SERVER) as session:
        boss, other = directory.find_user(session, "boss"), directory.find_organization(session, "other")
        assert boss is not None
        assert other is not None
        directory.add_member(session, boss, other, ("admin",))
    invitation = {"user_name": "ann", "roles": ["admin"]}
    invited = call(planned, "POST", "/v1/orgs/other/invitations", "token-of-boss", json=invitation).json
    planned.change(sa.update(Organization).values(hub=True))
    if by == "code":
        answer = call(planned, "POST", "/v1/invitations/accept", json={"code": invited["code"]})
    else:
        answer = call(planned, "POST", f"/v1/users/me/invitations/{invited['id']}/accept")
    assert (answer.status_code, answer.json.get("code")) == (409, "kept_by_hub")
    assert "groups of this server's JupyterHub say who is in other" in answer.json["detail"]
    assert members_of(planned, "other") == 1
