"""Running a server opens no organization: neither by appointing oneself, nor by somebody else's name."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from edge_admin.organization import Organization
from edge_admin.user import User
from edge_core.errors import Conflict, Forbidden, NotFound, Unauthenticated
from edge_core.session import EdgeSession
from edge_server.testing.local_server import EdgeServer
from edge_tokens.login import accept_invitation

from .conftest import Person


def fresh(kind: str = "user") -> str:
    return f"{kind}-{secrets.token_hex(4)}"


def name_of(session: EdgeSession) -> str:
    return session.whoami().user_name


def test_a_server_admin_appoints_others_and_not_themselves(root: EdgeSession, lab: str) -> None:
    for call in (
        lambda: root.admin.add_user_to_organization("admin", ["admin"], lab),
        lambda: root.admin.add_user_to_organization("admin", organization_name=lab),
        lambda: root.admin.invite_to_organization("admin", organization_name=lab),
    ):
        with pytest.raises(Forbidden, match="appoints others, not themselves"):
            call()
    name = root.admin.add_user(User(fresh())).user_name
    assert root.admin.add_user_to_organization(name, ["admin"], lab).roles == ["admin"]


def test_a_server_admin_who_is_a_member_makes_themselves_no_admin(root: EdgeSession, lab: str, person: Person) -> None:
    runs = person(lab)
    user = root.admin.get_user(name_of(runs))
    user.server_admin = True
    root.admin.update_user(user)
    with pytest.raises(Forbidden, match="appoints others"):
        runs.admin.set_roles(name_of(runs), ["admin"], lab)


def test_the_last_admin_of_an_organization_stays_its_admin(root: EdgeSession, lab: str, person: Person) -> None:
    ada = person(lab, "admin")
    bob = person(lab, by=ada)
    for call in (
        lambda: ada.admin.set_roles(name_of(ada), []),
        lambda: ada.admin.set_roles(name_of(ada), ["developer"]),
        lambda: ada.admin.remove_user_from_organization(name_of(ada)),
    ):
        with pytest.raises(Conflict, match="is the last admin of the organization; make another member admin first"):
            call()
    # This was how a server admin got in: remove its admin, and be appointed where there is none.
    with pytest.raises(Conflict, match=rf"is the last admin of {lab}; remove that organization, or make another"):
        root.admin.remove_user(name_of(ada))
    assert ada.admin.get_roles(name_of(ada)) == ["admin"]
    ada.admin.set_roles(name_of(bob), ["admin"])
    root.admin.remove_user(name_of(ada))
    with pytest.raises(Conflict, match="last admin"):
        bob.admin.set_roles(name_of(bob), [])
    # With the organization goes who looked after it.
    root.admin.remove_organization(lab)
    root.admin.remove_user(name_of(bob))


def test_an_invitation_ends_with_the_right_to_invite(
    root: EdgeSession, lab: str, person: Person, edge_server: EdgeServer
) -> None:
    # A server admin keeps no way into an organization that has an admin.
    kept = root.admin.invite_to_organization(fresh("sock"), roles=["admin"], organization_name=lab)
    ada = person(lab, "admin")
    with pytest.raises(NotFound, match="who made it may not invite any more"):
        accept_invitation(edge_server.url, kept)
    # Nor an admin one into an organization that they have left.
    eve = person(lab, "admin", by=ada)
    kept = eve.admin.invite_to_organization(fresh("sock"), roles=["admin"])
    ada.admin.set_roles(name_of(eve), [])
    with pytest.raises(NotFound, match="may not invite any more"):
        accept_invitation(edge_server.url, kept)
    ada.admin.set_roles(name_of(eve), ["admin"])
    assert accept_invitation(edge_server.url, kept).token


def test_a_server_admin_takes_no_first_token_of_somebody_elses_member(
    root: EdgeSession, lab: str, person: Person, edge_server: EdgeServer
) -> None:
    ada = person(lab, "admin")
    carol = root.admin.add_user(User(fresh("carol"), home_org=lab)).user_name
    ada.admin.add_user_to_organization(carol)
    other = root.admin.add_organization(Organization(name=fresh("other"))).name
    code = root.admin.invite_to_organization(carol, organization_name=other)
    with pytest.raises(Unauthenticated):
        accept_invitation(edge_server.url, code)
    # An admin of where she is gives it.
    code = ada.admin.invite_to_organization(carol)
    accepted = accept_invitation(edge_server.url, code)
    assert accepted.token
    assert (accepted.user_name, accepted.organization_name) == (carol, lab)


def test_who_was_appointed_before_their_first_token_gets_it(
    root: EdgeSession, lab: str, edge_server: EdgeServer, open_session: Any
) -> None:
    carol = root.admin.add_user(User(fresh("carol"))).user_name
    root.admin.add_user_to_organization(carol, ["admin"], lab)
    code = root.admin.invite_to_organization(carol, organization_name=lab)
    accepted = accept_invitation(edge_server.url, code)
    assert open_session(accepted.token, lab).admin.get_roles(carol) == ["admin"]
    with pytest.raises(NotFound):
        root.admin.list_members(lab)
