"""Members, roles and invitations, against a live server."""

from __future__ import annotations

import datetime as dt
import re
import secrets
from collections.abc import Callable
from typing import Any, cast

import pytest
import sqlalchemy as sa

from edge.admin.user import User
from edge_admin.member import Member
from edge_admin.organization import Organization
from edge_core.errors import AlreadyExists, BadEntry, Conflict, Forbidden, NotFound, Unauthenticated
from edge_core.session import EdgeSession
from edge_server.base import clock
from edge_server.data.database import SERVER
from edge_server.identity import token_values
from edge_server.identity.models import Invitation
from edge_server.testing.local_server import EdgeServer
from edge_tokens.login import PATH, accept_invitation
from edge_tokens.wire import Accepted

Person = Callable[..., EdgeSession]


def fresh(what: str = "user") -> str:
    return f"{what}-{secrets.token_hex(4)}"


def name_of(session: EdgeSession) -> str:
    return session.whoami().user_name


def change(server: EdgeServer, code: str, **values: Any) -> None:
    """Change what the server keeps of an invitation."""
    with server.database.write(SERVER) as session:
        session.execute(sa.update(Invitation).where(Invitation.digest == token_values.digest(code)).values(**values))


# --- invitations


def test_a_second_person_gets_a_first_token_by_an_invitation(
    root: EdgeSession, lab: str, edge_server: EdgeServer, open_session: Any
) -> None:
    name = fresh("ada@example.org")
    code = root.admin.invite_to_organization(name, "ada@lab.org", ["admin"], lab)
    accepted = accept_invitation(edge_server.url, code)
    assert (accepted.user_name, accepted.organization_name) == (name, lab)
    assert accepted.token is not None
    assert accepted.token not in repr(accepted)
    ada = open_session(accepted.token, lab)
    me = ada.whoami()
    assert (me.user_name, me.email, me.server_admin) == (name, "ada@lab.org", False)
    assert [(organization.organization_name, organization.roles) for organization in me.organizations] == [
        (lab, ["admin"])
    ]
    assert [token.note for token in ada.tokens.list()] == ["invitation"]
    assert root.admin.get_user(name).home_org == lab
    # From here on the organization's own admin invites, and the server's no longer can.
    assert ada.admin.invite_to_organization(fresh())
    with pytest.raises(NotFound):
        root.admin.invite_to_organization(fresh(), organization_name=lab)


def test_a_code_is_shown_once(root: EdgeSession, lab: str, person: Person) -> None:
    ada = person(lab, "admin")
    name = fresh()
    code = ada.admin.invite_to_organization(name, "x@example.org", ["developer"])
    (accepted, invitation) = ada.admin.list_invitations()
    assert accepted.accepted_at is not None
    assert (invitation.user_name, invitation.email, invitation.roles) == (name, "x@example.org", ["developer"])
    assert (invitation.organization_name, invitation.created_by) == (lab, name_of(ada))
    assert invitation.accepted_at is None
    assert invitation.code is None
    assert invitation.expires_at - invitation.created_at == dt.timedelta(days=7)
    assert code not in str(invitation.to_dict())


def test_an_invitation_is_good_once(root: EdgeSession, lab: str, edge_server: EdgeServer) -> None:
    code = root.admin.invite_to_organization(fresh(), organization_name=lab)
    accept_invitation(edge_server.url, code)
    with pytest.raises(Conflict, match="accepted already"):
        accept_invitation(edge_server.url, code)


def test_an_invitation_expires(root: EdgeSession, lab: str, edge_server: EdgeServer) -> None:
    code = root.admin.invite_to_organization(fresh(), organization_name=lab)
    change(edge_server, code, expires_at=clock.now() - dt.timedelta(seconds=1))
    with pytest.raises(NotFound, match="expired"):
        accept_invitation(edge_server.url, code)
    assert root.admin.list_invitations(lab) == []


def test_an_invitation_by_a_clock_ahead_of_ours_is_valid(root: EdgeSession, lab: str, edge_server: EdgeServer) -> None:
    code = root.admin.invite_to_organization(fresh(), organization_name=lab)
    change(edge_server, code, created_at=clock.now() + dt.timedelta(days=3))
    assert accept_invitation(edge_server.url, code).token


def test_a_withdrawn_invitation_is_none(root: EdgeSession, lab: str, edge_server: EdgeServer) -> None:
    code = root.admin.invite_to_organization(fresh(), organization_name=lab)
    (invitation,) = root.admin.list_invitations(lab)
    root.admin.remove_invitation(invitation.id, lab)
    with pytest.raises(NotFound, match="withdrawn"):
        accept_invitation(edge_server.url, code)
    for gone in (invitation.id, "..", "a/b", "", "none"):
        with pytest.raises(NotFound):
            root.admin.remove_invitation(gone, lab)


def test_inviting_again_voids_the_code_before(root: EdgeSession, lab: str, edge_server: EdgeServer) -> None:
    name = fresh()
    first = root.admin.invite_to_organization(name, organization_name=lab)
    second = root.admin.invite_to_organization(name, roles=["developer"], organization_name=lab)
    with pytest.raises(NotFound):
        accept_invitation(edge_server.url, first)
    assert accept_invitation(edge_server.url, second).token
    with pytest.raises(AlreadyExists):
        root.admin.invite_to_organization(name, organization_name=lab)


def test_an_invitation_of_another_organization_is_hidden(
    root: EdgeSession, lab: str, person: Person, edge_server: EdgeServer
) -> None:
    other = root.admin.add_organization(Organization(name=fresh("other"))).name
    ada, eve = person(lab, "admin"), person(other, "admin")
    code = ada.admin.invite_to_organization(fresh(), roles=["admin"])
    invitation = ada.admin.list_invitations()[-1]
    for call in (
        lambda: eve.admin.remove_invitation(invitation.id),
        lambda: eve.admin.remove_invitation(invitation.id, lab),
        lambda: eve.admin.list_invitations(lab),
        lambda: eve.admin.invite_to_organization(fresh(), organization_name=lab),
    ):
        with pytest.raises(NotFound):
            call()
    assert accept_invitation(edge_server.url, code).organization_name == lab


@pytest.mark.parametrize("code", ["", "no-such-code", "edi_" + "0" * 39, "é", "\U0001f600", "a\0b"])
def test_a_code_that_is_none(edge_server: EdgeServer, code: str) -> None:
    with pytest.raises(NotFound, match="invitation"):
        accept_invitation(edge_server.url, code)


def test_a_code_that_is_too_long(edge_server: EdgeServer) -> None:
    with pytest.raises(BadEntry, match="code"):
        accept_invitation(edge_server.url, "x" * 1000)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"user_name": "a b"}, "user_name"),
        ({"user_name": "x" * 101}, "user_name"),
        ({"user_name": "ä"}, "user_name"),
        ({"user_name": ""}, "user_name"),
        ({"email": "x" * 321}, "email"),
        ({"email": "a\nb"}, "email"),
        ({"roles": ["owner"]}, "roles"),
        ({"roles": "admin"}, "roles"),
        ({"roles": ["admin"] * 3}, "roles"),
    ],
)
def test_an_invitation_that_cannot_be_is_refused(root: EdgeSession, lab: str, arguments: Any, field: str) -> None:
    with pytest.raises(BadEntry, match=field):
        root.admin.invite_to_organization(**{"user_name": fresh(), "organization_name": lab, **arguments})
    assert root.admin.list_invitations(lab) == []


def test_who_has_a_token_accepts_with_it_and_gets_no_other(
    root: EdgeSession, lab: str, person: Person, edge_server: EdgeServer
) -> None:
    other = root.admin.add_organization(Organization(name=fresh("other"))).name
    ada, bob = person(lab), person(lab)
    code = root.admin.invite_to_organization(name_of(ada), roles=["developer"], organization_name=other)
    with pytest.raises(Unauthenticated, match="a token of yours"):
        accept_invitation(edge_server.url, code)
    with pytest.raises(Forbidden, match="another user"):
        accept_invitation(edge_server.url, code, bob.config.api_token)
    with pytest.raises(Unauthenticated):
        accept_invitation(edge_server.url, code, "edg_nonsense")
    accepted = accept_invitation(edge_server.url, code, ada.config.api_token)
    assert (accepted.user_name, accepted.token) == (name_of(ada), None)
    assert {organization.organization_name: organization.roles for organization in ada.whoami().organizations} == {
        lab: [],
        other: ["developer"],
    }


def test_an_invitation_makes_nobody_somebody_else(
    root: EdgeSession, lab: str, person: Person, edge_server: EdgeServer
) -> None:
    """An admin who invites a user that exists, and accepts in their stead, must not become that user."""
    other = root.admin.add_organization(Organization(name=fresh("other"))).name
    eve = person(lab, "admin")
    boss, colleague = fresh("boss"), fresh("colleague")
    root.admin.add_user(User(boss, server_admin=True))
    root.admin.add_user(User(colleague))
    root.admin.add_user_to_organization(colleague, organization_name=other)
    for victim in ("admin", boss, colleague):
        code = eve.admin.invite_to_organization(victim)
        with pytest.raises(Unauthenticated):
            accept_invitation(edge_server.url, code)
        with pytest.raises(Forbidden):
            accept_invitation(edge_server.url, code, eve.config.api_token)
    # Where a server admin invites, they get their first token.
    code = root.admin.invite_to_organization(boss, organization_name=other)
    assert accept_invitation(edge_server.url, code).token


def test_a_user_who_was_added_gets_a_first_token_by_an_invitation(
    root: EdgeSession, lab: str, person: Person, edge_server: EdgeServer, open_session: Any
) -> None:
    ada = person(lab, "admin")
    name = root.admin.add_user(User(fresh(), "Bob", "User", "bob@user.com")).user_name
    code = ada.admin.invite_to_organization(name, "ignored@example.org")
    accepted = accept_invitation(edge_server.url, code)
    me = open_session(accepted.token, lab).whoami()
    assert (me.user_name, me.first_name, me.email) == (name, "Bob", "bob@user.com")


def test_an_answer_that_was_lost_comes_again_with_another_token(
    root: EdgeSession, lab: str, edge_server: EdgeServer, open_session: Any
) -> None:
    code = root.admin.invite_to_organization(fresh(), organization_name=lab)

    def accept(key: str) -> Accepted:
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        body = f'{{"code": "{code}"}}'.encode()
        with root.http.core.fetch_signed("POST", PATH, headers=headers, body=body) as answer:
            return Accepted.from_answer(answer.json())

    first, second = accept("one"), accept("one")
    assert first.user_name == second.user_name
    assert first.token != second.token
    assert second.token is not None
    assert len(open_session(second.token, lab).tokens.list()) == 1
    with pytest.raises(Unauthenticated):
        open_session(first.token, lab).whoami()
    with pytest.raises(Conflict):
        accept("two")
    change(edge_server, code, accepted_at=clock.now() - dt.timedelta(hours=25))
    with pytest.raises(Conflict):
        accept("one")


def test_a_removed_organization_takes_its_invitations_along(
    root: EdgeSession, lab: str, edge_server: EdgeServer
) -> None:
    code = root.admin.invite_to_organization(fresh(), organization_name=lab)
    root.admin.remove_organization(lab)
    with pytest.raises(NotFound):
        accept_invitation(edge_server.url, code)


# --- members


def test_members_are_added_read_changed_and_taken_out(root: EdgeSession, lab: str, person: Person) -> None:
    ada = person(lab, "admin")
    name = root.admin.add_user(User(fresh(), "Bob", home_org=lab)).user_name
    added = ada.admin.add_user_to_organization(name, ["developer"])
    assert (added.user_name, added.roles, added.first_name) == (name, ["developer"], "Bob")
    assert ada.admin.get_member(name) == added
    assert sorted(member.user_name for member in ada.admin.list_members()) == sorted([name, name_of(ada)])
    with pytest.raises(AlreadyExists):
        ada.admin.add_user_to_organization(name)
    assert ada.admin.get_roles(name) == ["developer"]
    assert ada.admin.set_roles(name, ["admin", "developer"]) == ["admin", "developer"]
    assert ada.admin.set_roles(name, []) == []
    added = ada.admin.get_member(name)
    added.roles.append("developer")
    assert ada.admin.update_member(added).roles == ["developer"]
    ada.admin.remove_user_from_organization(name)
    for call in (
        lambda: ada.admin.get_member(name),
        lambda: ada.admin.remove_user_from_organization(name),
        lambda: ada.admin.set_roles(name, []),
        lambda: ada.admin.get_member("../x"),
    ):
        with pytest.raises(NotFound):
            call()
    assert root.admin.get_user(name).user_name == name


def test_the_first_of_two_writers_of_roles_wins(root: EdgeSession, lab: str, person: Person) -> None:
    ada = person(lab, "admin")
    name = name_of(person(lab, by=ada))
    first, second = ada.admin.get_member(name), ada.admin.get_member(name)
    first.roles, second.roles = ["admin"], ["developer"]
    ada.admin.update_member(first)
    with pytest.raises(Conflict):
        ada.admin.update_member(second)
    assert ada.admin.get_roles(name) == ["admin"]


def test_roles_that_cannot_be_are_refused(lab: str, person: Person) -> None:
    ada = person(lab, "admin")
    me = name_of(ada)
    for wrong in (["owner"], ["admin", "admin", "admin"], "admin", ["Admin"], [1]):
        with pytest.raises(BadEntry, match="roles"):
            ada.admin.set_roles(me, wrong)  # type: ignore[arg-type]
    assert ada.admin.get_roles(me) == ["admin"]
    member = ada.admin.get_member(me)
    member.email = "else@example.org"
    with pytest.raises(BadEntry, match="email"):
        ada.admin.update_member(member)


def test_a_license_is_managed_by_the_admins_of_the_home(root: EdgeSession, lab: str, person: Person) -> None:
    ada = person(lab, "admin")
    bob = person(lab, by=ada)
    member = ada.admin.get_member(name_of(bob))
    assert member.home
    member.license_name = "Edge Developer"
    ada.admin.update_member(member)
    assert bob.whoami().license_name == "Edge Developer"
    visitor = person(root.admin.add_organization(Organization(name=fresh("other"))).name)
    guest = name_of(visitor)
    ada.admin.add_user_to_organization(guest)
    visitor.admin.accept_invitation(visitor.admin.list_own_invitations()[0].id)
    member = ada.admin.get_member(guest)
    assert not member.home
    with pytest.raises(BadEntry, match="license_name"):
        ada.admin.update_member(Member(guest, license_name="Edge Developer"))


def test_roles_take_effect_at_once(lab: str, person: Person) -> None:
    ada = person(lab, "admin")
    bob = person(lab, by=ada)
    with pytest.raises(Forbidden, match="this is for the organization's admins"):
        bob.admin.set_roles(name_of(bob), ["admin"])
    with pytest.raises(Forbidden):
        bob.admin.list_members()
    ada.admin.set_roles(name_of(bob), ["admin"])
    assert len(bob.admin.list_members()) == 2
    bob.admin.set_roles(name_of(ada), ["developer"])
    with pytest.raises(Forbidden):
        ada.admin.list_members()


def test_a_server_admin_appoints_only_while_there_is_no_admin(root: EdgeSession, lab: str, person: Person) -> None:
    ada = person(lab)
    name = name_of(ada)
    assert [member.user_name for member in root.admin.list_members(lab)] == [name]
    root.admin.set_roles(name, ["admin"], lab)
    for call in (
        lambda: root.admin.list_members(lab),
        lambda: root.admin.set_roles(name, [], lab),
        lambda: root.admin.add_user_to_organization("admin", ["admin"], lab),
        lambda: root.admin.remove_user_from_organization(name, lab),
    ):
        with pytest.raises(NotFound):
            call()
    with pytest.raises(Conflict, match="last admin"):
        ada.admin.set_roles(name, [])


def test_a_user_without_any_organization(
    root: EdgeSession, lab: str, person: Person, edge_server: EdgeServer, open_session: Any
) -> None:
    ada = person(lab, "admin")
    bob = person(lab, by=ada)
    ada.admin.remove_user_from_organization(name_of(bob))
    assert bob.whoami().organizations == []
    assert bob.tokens.create().token
    bob.set_whoami("Bob")
    with pytest.raises(NotFound, match="or you are not in it"):
        bob.files.list()
    # A token that was good stays good for what is the user's own, and for where they are let in next.
    code = ada.admin.invite_to_organization(name_of(bob))
    accept_invitation(edge_server.url, code, bob.config.api_token)
    assert bob.files.list() == []


@pytest.mark.slow
def test_many_members_come_in_pages(root: EdgeSession, lab: str, edge_server: EdgeServer) -> None:
    names = sorted(edge_server.create_user(organization=lab) for _ in range(230))
    assert [member.user_name for member in root.admin.list_members(lab)] == names


# --- audit


def test_admins_read_who_changed_what(root: EdgeSession, lab: str, person: Person) -> None:
    ada = person(lab, "admin")
    bob = name_of(person(lab, by=ada))
    before = dt.datetime.now(dt.UTC)
    ada.admin.set_roles(bob, ["developer"])
    ada.admin.remove_user_from_organization(bob)
    removed, changed, *earlier = ada.admin.list_audit_lines()
    assert (removed.action, removed.user_name, removed.about) == ("members.remove", name_of(ada), {"user_name": bob})
    assert (changed.action, changed.about["roles"]) == ("members.update", "developer")
    assert removed.organization_name == lab
    assert removed.token_id == ada.tokens.list()[0].id
    assert removed.at >= changed.at >= before - dt.timedelta(minutes=1)
    assert {line.action for line in earlier} == {"admin.organizations.add", "invitations.create", "invitations.accept"}
    assert ada.admin.list_audit_lines(lab, action="members.remove", user_name=name_of(ada), since=before) == [removed]
    assert ada.admin.list_audit_lines(until=before - dt.timedelta(days=1)) == []
    assert ada.admin.list_audit_lines(max_lines=1) == [removed]
    invited = root.admin.list_server_audit_lines(action="invitations", max_lines=10)
    assert "invitations.create" in {line.action for line in invited}
    with pytest.raises(BadEntry, match="since: the moment has no time zone"):
        ada.admin.list_audit_lines(since=dt.datetime(2026, 1, 1))
    for text in ("2026-01-31", "2026-01-31T08:00Z", "2026-01-31T08:00+02:00"):
        assert ada.admin.list_audit_lines(until=text) == []
        assert ada.admin.list_audit_lines(since=text, max_lines=1) == [removed]
        assert root.admin.list_server_audit_lines(until=text) == []
    for wrong in ("yesterday", "", dt.date(2026, 1, 31), 5):
        with pytest.raises(BadEntry, match=f"since is {re.escape(repr(wrong))}; .*2026-01-31"):
            ada.admin.list_audit_lines(since=cast(Any, wrong))
        with pytest.raises(BadEntry, match=f"until is {re.escape(repr(wrong))}; .*2026-01-31"):
            root.admin.list_server_audit_lines(until=cast(Any, wrong))
    with pytest.raises(BadEntry, match="no operation or group 'member'; perhaps 'members' is meant; the groups are"):
        ada.admin.list_audit_lines(action="member")
    with pytest.raises(Forbidden):
        ada.admin.list_server_audit_lines()
