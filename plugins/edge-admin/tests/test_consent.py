"""Nobody becomes a member, or shows their profile, without consent; and nobody learns who is on the server."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from edge_admin.organization import Organization
from edge_admin.user import User
from edge_core.errors import AlreadyExists, NotFound
from edge_core.session import EdgeSession
from edge_server.testing.local_server import EdgeServer
from edge_tokens.login import accept_invitation

from .conftest import Person


def fresh(kind: str = "user") -> str:
    return f"{kind}-{secrets.token_hex(4)}"


def name_of(session: EdgeSession) -> str:
    return session.whoami().user_name


@pytest.fixture
def other(root: EdgeSession) -> str:
    return root.admin.add_organization(Organization(name=fresh("other"))).name


def test_a_stranger_is_invited_and_shows_nothing_before_they_accept(
    root: EdgeSession, lab: str, other: str, person: Person
) -> None:
    ada, bob = person(lab, "admin"), person(other)
    bob.set_whoami("Bob", "User", "bob@user.com")
    name = name_of(bob)
    added = ada.admin.add_user_to_organization(name, ["developer"])
    assert (added.user_name, added.roles, added.invited) == (name, ["developer"], True)
    assert (added.first_name, added.last_name, added.email, added.license_name) == (None, None, None, None)
    for call in (lambda: ada.admin.get_member(name), lambda: ada.admin.set_roles(name, [])):
        with pytest.raises(NotFound):
            call()
    assert "bob@user.com" not in str([row.to_dict() for row in ada.admin.list_invitations()])
    assert lab not in [organization.organization_name for organization in bob.whoami().organizations]
    (invitation,) = bob.admin.list_own_invitations()
    assert (invitation.organization_name, invitation.roles, invitation.code) == (lab, ["developer"], None)
    assert invitation.created_by == name_of(ada)
    assert bob.admin.accept_invitation(invitation.id).accepted_at is not None
    member = ada.admin.get_member(name)
    assert (member.roles, member.email, member.invited) == (["developer"], "bob@user.com", False)
    assert bob.admin.list_own_invitations() == []
    with pytest.raises(NotFound):
        bob.admin.accept_invitation(invitation.id)
    with pytest.raises(AlreadyExists):
        ada.admin.add_user_to_organization(name)


def test_whether_a_name_is_taken_makes_no_difference(root: EdgeSession, lab: str, other: str, person: Person) -> None:
    ada, bob = person(lab, "admin"), person(other)
    silent = root.admin.add_user(User(fresh(), "Carol", email="carol@example.org")).user_name
    answers = []
    for name in (name_of(bob), silent, fresh("nobody"), "admin"):
        added = {**ada.admin.add_user_to_organization(name).to_dict(), "user_name": "x"}
        listed = {**ada.admin.list_invitations()[-1].to_dict(), "user_name": "x"}
        for changing in ("id", "created_at", "expires_at"):
            del listed[changing]
        answers.append((added, listed))
    assert all(answer == answers[0] for answer in answers)


def test_an_invitation_that_is_declined_is_void(lab: str, other: str, person: Person, edge_server: EdgeServer) -> None:
    ada, bob = person(lab, "admin"), person(other)
    code = ada.admin.invite_to_organization(name_of(bob))
    (invitation,) = bob.admin.list_own_invitations()
    bob.admin.decline_invitation(invitation.id)
    assert bob.admin.list_own_invitations() == ada.admin.list_invitations(lab)[1:] == []
    for call in (
        lambda: bob.admin.decline_invitation(invitation.id),
        lambda: bob.admin.accept_invitation(invitation.id),
        lambda: bob.admin.accept_invitation("../x"),
        lambda: accept_invitation(edge_server.url, code, bob.config.api_token),
    ):
        with pytest.raises(NotFound):
            call()


def test_nobody_accepts_what_is_for_another(
    root: EdgeSession, lab: str, other: str, person: Person, edge_server: EdgeServer, open_session: Any
) -> None:
    ada, bob, eve = person(lab, "admin"), person(other), person(other, "admin")
    ada.admin.add_user_to_organization(name_of(bob))
    (invitation,) = bob.admin.list_own_invitations()
    for call in (eve.admin.accept_invitation, eve.admin.decline_invitation):
        with pytest.raises(NotFound, match="not one of yours"):
            call(invitation.id)
    # A name that was nobody's is no way in for who takes it later.
    late = fresh("late")
    ada.admin.add_user_to_organization(late, ["admin"])
    accepted = accept_invitation(edge_server.url, eve.admin.invite_to_organization(late))
    imposter = open_session(accepted.token, other)
    assert imposter.admin.list_own_invitations() == []
    pending = [row for row in ada.admin.list_invitations() if row.user_name == late]
    with pytest.raises(NotFound):
        imposter.admin.accept_invitation(pending[0].id)


def test_who_belongs_to_the_organization_is_a_member_at_once(root: EdgeSession, lab: str, person: Person) -> None:
    ada = person(lab, "admin")
    name = root.admin.add_user(User(fresh(), "Bob", home_org=lab)).user_name
    added = ada.admin.add_user_to_organization(name)
    assert (added.first_name, added.home, added.invited) == ("Bob", True, False)


def test_who_a_server_admin_adds_is_a_member_at_once(root: EdgeSession, lab: str) -> None:
    name = root.admin.add_user(User(fresh(), "Bob")).user_name
    assert root.admin.add_user_to_organization(name, ["admin"], lab).first_name == "Bob"
    with pytest.raises(NotFound):
        root.admin.add_user_to_organization(fresh("nobody"), [], lab)


def test_an_own_invitation_ends_with_the_right_to_invite(lab: str, other: str, person: Person) -> None:
    ada, bob = person(lab, "admin"), person(other)
    eve = person(lab, "admin", by=ada)
    eve.admin.add_user_to_organization(name_of(bob), ["admin"])
    ada.admin.remove_user_from_organization(name_of(eve))
    (invitation,) = bob.admin.list_own_invitations()
    with pytest.raises(NotFound, match="may not invite any more"):
        bob.admin.accept_invitation(invitation.id)
