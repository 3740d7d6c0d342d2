"""Organizations and users of the server, against a live one."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
import sqlalchemy as sa

import edge.admin
from edge.admin.organization import Organization, OrganizationStatusEnum
from edge.admin.user import User
from edge_admin.namespace import EdgeAdmin
from edge_core.errors import AlreadyExists, BadEntry, Conflict, Forbidden, NotFound, QuotaExceeded, Unauthenticated
from edge_core.session import EdgeSession
from edge_server.data.database import SERVER
from edge_server.files.models import Version
from edge_server.identity import models
from edge_server.run import data_folder
from edge_server.testing.local_server import EdgeServer
from edge_tokens.login import accept_invitation

Person = Callable[..., EdgeSession]


def fresh(what: str) -> str:
    return f"{what}-{secrets.token_hex(4)}"


def test_organizations_are_added_read_changed_and_listed(root: EdgeSession) -> None:
    assert isinstance(root.admin, EdgeAdmin)
    name = fresh("lab")
    added = root.admin.add_organization(Organization(name=name, title="Ünïcode 日本"))
    assert isinstance(added, edge.admin.Organization)
    assert added.uid
    assert added.to_dict() == {
        "uid": added.uid,
        "name": name,
        "title": "Ünïcode 日本",
        "status": "active",
        "disable_launch": False,
        "shutdown_apps": False,
        "active": True,
    }
    read = root.admin.get_organization(name)
    assert read == added
    read.title = "Another"
    read.disable_launch = True
    read.status = OrganizationStatusEnum.DisableApps
    changed = root.admin.update_organization(read)
    assert (changed.title, changed.disable_launch, changed.status) == (
        "Another",
        True,
        OrganizationStatusEnum.DisableApps,
    )
    assert root.admin.get_organization(name) == changed
    assert {name, "default"} <= set(root.admin.list_organization_names())
    assert root.admin.list_organization_names() == sorted(root.admin.list_organization_names())


def test_a_record_that_was_not_read_updates_unconditionally(root: EdgeSession, lab: str) -> None:
    uid = root.admin.get_organization(lab).uid
    organization = Organization(name=lab, title="By hand", shutdown_apps=True)
    assert root.admin.update_organization(organization).uid == uid
    assert root.admin.get_organization(lab).title == "By hand"


def test_the_first_of_two_writers_wins(root: EdgeSession, lab: str) -> None:
    first, second = root.admin.get_organization(lab), root.admin.get_organization(lab)
    first.title, second.title = "one", "two"
    root.admin.update_organization(first)
    with pytest.raises(Conflict, match="since you read it"):
        root.admin.update_organization(second)
    assert root.admin.get_organization(lab).title == "one"


def test_a_taken_name_is_refused(root: EdgeSession, lab: str) -> None:
    with pytest.raises(AlreadyExists, match=lab):
        root.admin.add_organization(Organization(name=lab))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "-a", "a b", "a\n", "ä", "日本", "x" * 101, "a%2Fb", "a?b", "a\0b", "a" * 10_000]
)
def test_a_name_that_no_organization_can_have(root: EdgeSession, name: str) -> None:
    with pytest.raises(BadEntry, match="name"):
        root.admin.add_organization(Organization(name=name))
    for call in (root.admin.get_organization, root.admin.remove_organization):
        with pytest.raises(NotFound):
            call(name)
    with pytest.raises(NotFound):
        root.admin.update_organization(Organization(name=name))


@pytest.mark.parametrize(
    ("field", "value"),
    [("title", "x" * 201), ("title", "a\nb"), ("title", 1), ("disable_launch", "maybe"), ("status", "frozen")],
)
def test_a_field_that_cannot_be_is_refused(root: EdgeSession, lab: str, field: str, value: Any) -> None:
    with pytest.raises(BadEntry, match=field):
        root.admin.add_organization(Organization(name=fresh("lab"), **{field: value}))
    organization = root.admin.get_organization(lab)
    setattr(organization, field, value)
    with pytest.raises(BadEntry, match=field):
        root.admin.update_organization(organization)


def test_a_newer_servers_status_is_shown_and_survives_other_changes(
    root: EdgeSession, lab: str, edge_server: EdgeServer
) -> None:
    with edge_server.database.write(SERVER) as session:
        session.execute(sa.update(models.Organization).values(status="frozen").where(models.Organization.name == lab))
    organization = root.admin.get_organization(lab)
    assert organization.status == "frozen"
    assert "frozen" in repr(organization)
    assert lab in root.admin.list_organization_names()


def test_an_update_cannot_remove_an_organization(root: EdgeSession, lab: str) -> None:
    organization = root.admin.get_organization(lab)
    organization.status = OrganizationStatusEnum.Deleting
    with pytest.raises(Conflict, match="status"):
        root.admin.update_organization(organization)


def test_an_inactive_organization_is_closed_with_its_data_kept(root: EdgeSession, lab: str, person: Person) -> None:
    ada = person(lab, "admin")
    ada.files.upload("a.txt", b"kept")
    organization = root.admin.get_organization(lab)
    organization.active = False
    root.admin.update_organization(organization)
    with pytest.raises(NotFound):
        ada.files.list()
    assert ada.whoami().organizations == []
    root.admin.update_organization(Organization(name=lab, active=True))
    assert ada.files.list() == ["a.txt"]


def test_launching_can_be_disabled_and_members_get_in_all_the_same(root: EdgeSession, lab: str, person: Person) -> None:
    ada = person(lab)
    root.admin.update_organization(Organization(name=lab, status=OrganizationStatusEnum.DisableApps))
    assert ada.files.list() == []


@pytest.mark.slow
def test_a_removed_organization_is_closed_at_once_and_its_data_goes(
    root: EdgeSession, lab: str, person: Person, edge_server: EdgeServer
) -> None:
    ada = person(lab, "admin")
    ada.files.upload("runs/a.txt", b"small")
    ada.files.upload("runs/b.bin", b"x" * (2 << 20))
    link = ada.files.open("runs/b.bin", open_with="file").download_url()
    ada.admin.invite_to_organization(fresh("late"))
    with edge_server.database.read() as session:
        organization_id = session.scalars(
            sa.select(models.Organization.id).where(models.Organization.name == lab)
        ).one()
        keys = list(session.scalars(sa.select(Version.key).where(Version.organization_id == organization_id)))
    stored = [edge_server.data / "content" / key[:2] / key for key in keys]
    assert len(stored) == 2
    assert all(path.exists() for path in stored)

    assert root.admin.remove_organization(lab).status is OrganizationStatusEnum.Deleting
    with pytest.raises(NotFound):
        ada.files.list()
    assert ada.whoami().organizations == []
    assert requests.get(link, timeout=60).status_code == 403
    deadline = time.monotonic() + 60
    while lab in root.admin.list_organization_names():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with pytest.raises(NotFound):
        root.admin.get_organization(lab)
    assert not any(path.exists() for path in stored)
    # The name is free again, and nothing of the old one comes with it.
    root.admin.add_organization(Organization(name=lab))
    assert ada.whoami().organizations == []
    assert root.admin.list_members(lab) == []
    assert root.admin.get_user(ada.whoami().user_name).home_org is None


def test_a_quota_is_set_and_holds(root: EdgeSession, lab: str, person: Person) -> None:
    ada = person(lab, "admin")
    ada.files.upload("a.bin", b"x" * 600)
    quota = root.admin.get_quota(lab)
    assert (quota.storage_bytes, quota.used_bytes) == (None, 600)
    assert root.admin.set_quota(lab, 1000).storage_bytes == 1000
    with pytest.raises(QuotaExceeded, match=r"may hold 1\.0 kB"):
        ada.files.upload("b.bin", b"x" * 600)
    ada.files.upload("b.bin", b"x" * 400)
    assert root.admin.set_quota(lab, 10).to_dict() == {
        "storage_bytes": 10,
        "used_bytes": 1000,
        "upload_bytes": 0,
        "deleted_bytes": 0,
        "limit_bytes": 10,
        "deleted_limit_bytes": 40,
    }
    assert ada.files.list() == ["a.bin", "b.bin"]
    assert root.admin.set_quota(lab, None).storage_bytes is None
    for wrong in (-1, 1.5, "1", True, 1 << 63):
        with pytest.raises(BadEntry, match="storage_bytes"):
            root.admin.set_quota(lab, wrong)  # type: ignore[arg-type]
    for gone in ("no-such-organization", "..", "a/b"):
        with pytest.raises(NotFound):
            root.admin.get_quota(gone)
    with pytest.raises(Forbidden):
        ada.admin.set_quota(lab, None)


def test_the_admins_of_an_organization_see_how_full_it_is(root: EdgeSession, lab: str, person: Person) -> None:
    other = root.admin.add_organization(Organization(name=fresh("lab"))).name
    dev, ada, stranger = person(lab, "developer"), person(lab, "admin"), person(other, "admin")
    ada.files.upload("a.bin", b"x" * 600)
    ada.files.upload("a.bin", b"y" * 500)
    root.admin.set_quota(lab, 10_000)
    ada.admin.http.post(f"/orgs/{lab}/files/uploads", json={"path": "b.bin", "size": 70})
    seen = ada.admin.get_quota(lab)
    assert seen.to_dict() == root.admin.get_quota(lab).to_dict()
    assert seen.to_dict() == {
        "storage_bytes": 10_000,
        "used_bytes": 500,
        "upload_bytes": 70,
        "deleted_bytes": 600,
        "limit_bytes": 10_000,
        "deleted_limit_bytes": 40_000,
    }
    with pytest.raises(Forbidden, match="for the organization's admins"):
        dev.admin.get_quota(lab)
    with pytest.raises(NotFound):
        stranger.admin.get_quota(lab)


def test_organizations_and_users_are_for_server_admins(lab: str, person: Person) -> None:
    ada = person(lab, "admin", "developer")
    for call in (
        ada.admin.list_organization_names,
        ada.admin.list_user_names,
        lambda: ada.admin.get_organization(lab),
        lambda: ada.admin.add_organization(Organization(name=fresh("lab"))),
        lambda: ada.admin.update_organization(Organization(name=lab)),
        lambda: ada.admin.remove_organization(lab),
        lambda: ada.admin.get_user("admin"),
        lambda: ada.admin.add_user(User(fresh("user"))),
        lambda: ada.admin.update_user(User(ada.whoami().user_name, server_admin=True)),
        lambda: ada.admin.remove_user("admin"),
    ):
        with pytest.raises(Forbidden, match="server admins"):
            call()


# --- users


def test_users_are_added_read_changed_and_removed(root: EdgeSession, lab: str) -> None:
    name = fresh("bob@example.org")
    added = root.admin.add_user(User(name, "Bob", "User", "bob@user.com", home_org=lab, license_name="Edge Developer"))
    assert added.uid
    assert added.to_dict() == {
        "uid": added.uid,
        "user_name": name,
        "first_name": "Bob",
        "last_name": "User",
        "email": "bob@user.com",
        "server_admin": False,
        "home_org": lab,
        "license_name": "Edge Developer",
    }
    read = root.admin.get_user(name)
    assert read == added
    read.email = "bob@example.com"  # nobody has been this user yet
    read.license_name = None
    read.home_org = None
    changed = root.admin.update_user(read)
    assert (changed.email, changed.license_name, changed.home_org) == ("bob@example.com", None, None)
    assert name in root.admin.list_user_names()
    with pytest.raises(AlreadyExists):
        root.admin.add_user(User(name))
    root.admin.remove_user(name)
    assert name not in root.admin.list_user_names()
    for call in (root.admin.get_user, root.admin.remove_user):
        with pytest.raises(NotFound):
            call(name)
    assert root.admin.add_user(User(name)).first_name is None


@pytest.mark.parametrize("name", ["", "..", "a/b", "~a", "a b", "a\n", "ä", "x" * 101, "a%2Fb", "a?b", "a\0b"])
def test_a_name_that_no_user_can_have(root: EdgeSession, name: str) -> None:
    with pytest.raises(BadEntry, match="user_name"):
        root.admin.add_user(User(name))
    for call in (root.admin.get_user, root.admin.remove_user):
        with pytest.raises(NotFound):
            call(name)
    with pytest.raises(NotFound):
        root.admin.update_user(User(name))


def test_the_first_of_two_writers_of_a_user_wins(root: EdgeSession) -> None:
    name = root.admin.add_user(User(fresh("bob"))).user_name
    first, second = root.admin.get_user(name), root.admin.get_user(name)
    first.license_name, second.license_name = "one", "two"
    root.admin.update_user(first)
    with pytest.raises(Conflict):
        root.admin.update_user(second)
    assert root.admin.get_user(name).license_name == "one"


def test_a_home_that_is_not_there_is_refused(root: EdgeSession) -> None:
    with pytest.raises(Conflict, match="home_org"):
        root.admin.add_user(User(fresh("bob"), home_org="no-such-organization"))


def test_a_profile_belongs_to_the_user_alone(root: EdgeSession, lab: str, person: Person) -> None:
    ada = person(lab)
    ada.set_whoami("Ada", "Lovelace", "ada@example.org")
    user = root.admin.get_user(ada.whoami().user_name)
    for field, value in (("first_name", "Eve"), ("email", None)):
        changed = root.admin.get_user(user.user_name)
        setattr(changed, field, value)
        with pytest.raises(BadEntry, match=field):
            root.admin.update_user(changed)
    user.license_name = "Edge Essentials"
    root.admin.update_user(user)
    me = ada.whoami()
    assert (me.first_name, me.email, me.license_name) == ("Ada", "ada@example.org", "Edge Essentials")


def test_a_removed_user_is_out_at_once_and_their_files_stay(root: EdgeSession, lab: str, person: Person) -> None:
    ada = person(lab, "admin")
    bob = person(lab, by=ada)
    bob.files.upload("made-by-bob.txt", b"x")
    name = bob.whoami().user_name
    root.admin.remove_user(name)
    with pytest.raises(Unauthenticated):
        bob.whoami()
    assert ada.files.list() == ["made-by-bob.txt"]
    assert name not in [member.user_name for member in ada.admin.list_members()]
    # Someone of the same name is someone else.
    code = ada.admin.invite_to_organization(name)
    assert code


@pytest.mark.slow
def test_the_last_server_admin_stays(tmp_path: Any) -> None:
    server = EdgeServer(tmp_path / "data")
    try:
        server.start()
        with EdgeSession(server.create_token("admin"), server.url, "default") as root:
            me = root.admin.get_user("admin")
            me.server_admin = False
            with pytest.raises(Conflict, match="last server admin"):
                root.admin.update_user(me)
            with pytest.raises(Conflict, match="last server admin"):
                root.admin.remove_user("admin")
            root.admin.add_user(User("second", server_admin=True))
            me = root.admin.get_user("admin")
            me.server_admin = False
            root.admin.update_user(me)
            with pytest.raises(Forbidden):
                root.admin.list_user_names()
        # A server whose first admin and organization are gone starts all the same, and makes no new ones.
        token = data_folder.local_access(server.data).token
        with EdgeSession(token, server.url, "default") as second:
            assert second.whoami().user_name == "second"
            second.admin.remove_organization("default")
            second.admin.remove_user("admin")
            deadline = time.monotonic() + 60
            while second.admin.list_organization_names():
                assert time.monotonic() < deadline
                time.sleep(0.1)
            second.admin.add_organization(Organization(name="lab"))
            code = second.admin.invite_to_organization("third", roles=["admin"], organization_name="lab")
            third_token = accept_invitation(server.url, code).token
            with EdgeSession(third_token, server.url, "lab") as third:
                code = third.admin.invite_to_organization("second")
            accept_invitation(server.url, code, token)
        server.restart()
        access = data_folder.local_access(server.data)
        assert access.organization == "lab"
        with EdgeSession(access.token, access.url, "lab") as second:
            assert second.admin.list_user_names() == ["second", "third"]
            assert second.admin.list_organization_names() == ["lab"]
    finally:
        server.close()
