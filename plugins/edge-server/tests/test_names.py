"""Names that people read as one name are one: users, organizations, OAuth clients."""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from edge_server.base.problems import CannotStart
from edge_server.data.database import FILE_NAME, SERVER, Database
from edge_server.data.migration import own_history
from edge_server.identity import directory, renaming
from edge_server.identity.models import Token, User
from edge_server.identity.name_keys import LENGTH, name_key
from edge_server.run import start
from edge_server.run.command import server as command
from edge_server.testing.local_server import EdgeServer

from .engines import sqlite_only
from .postgresql import scratch_postgresql
from .stores import folder_only
from .test_database import move
from .wire import Api, client, refused


@pytest.mark.parametrize(
    ("name", "other", "same"),
    [
        ("ada", "Ada", True),
        ("\u00c5sa", "\u0041\u030asa", True),
        ("\u212bsa", "\u00e5sa", True),
        ("stra\u00dfe", "STRASSE", True),
        ("\u03a3", "\u03c2", True),
        ("\u1fbe", "\u03b9", True),
        ("ada", "ade", False),
        ("a.b", "a-b", False),
    ],
)
def test_names_that_differ_by_case_or_composition_share_a_key(name: str, other: str, same: bool) -> None:
    assert (name_key(name) == name_key(other)) is same


@given(st.text(max_size=100))
def test_a_key_is_its_own_key_and_fits(name: str) -> None:
    assert name_key(name_key(name)) == name_key(name)
    assert name_key(name.upper().lower()) == name_key(name_key(name.upper()).lower())
    assert len(name_key(name)) <= LENGTH


@pytest.fixture
def root(edge_server: EdgeServer) -> Api:
    return client(edge_server, edge_server.create_token("admin"), "default")


def test_no_second_user_or_organization_of_a_name_in_other_letters(edge_server: EdgeServer, root: Api) -> None:
    user, organization = f"ada-{secrets.token_hex(4)}", f"lab-{secrets.token_hex(4)}"
    assert root.call("POST", "/v1/admin/users", json={"user_name": user}).status_code == 201
    assert root.call("POST", "/v1/admin/organizations", json={"name": organization}).status_code == 201
    taken = refused(root.call("POST", "/v1/admin/users", json={"user_name": user.upper()}), 409, "already_exists")
    assert f"the user {user} exists already" in taken["detail"]
    taken = refused(
        root.call("POST", "/v1/admin/organizations", json={"name": organization.title()}), 409, "already_exists"
    )
    assert f"the organization {organization} exists already" in taken["detail"]
    with pytest.raises(sa.exc.IntegrityError), edge_server.database.write(SERVER) as session:
        directory.create_user(session, user.title())
    # An address names an organization letter for letter.
    refused(root.call("GET", f"/v1/admin/organizations/{organization.upper()}"), 404, "not_found")


def test_a_user_goes_by_the_name_in_any_letters(edge_server: EdgeServer, root: Api) -> None:
    """Otherwise an invitation of ADA, who is ada, would make a second user, and could be accepted by anybody."""
    organization = edge_server.create_organization()
    boss = client(
        edge_server, edge_server.create_token(edge_server.create_user(organization=organization, roles=["admin"])), ""
    )
    ada = edge_server.create_user(f"Ada-{secrets.token_hex(4)}", organization=edge_server.create_organization())
    token = edge_server.create_token(ada)
    assert root.call("GET", f"/v1/admin/users/{ada.upper()}").json()["user_name"] == ada
    invitations = f"/v1/orgs/{organization}/invitations"
    codes = [boss.call("POST", invitations, json={"user_name": name}).json()["code"] for name in (ada, ada.lower())]
    assert len(boss.call("GET", invitations).json()["items"]) == 1, "the second one voids the first one"
    body = {"code": codes[1]}
    refused(client(edge_server, None, "").call("POST", "/v1/invitations/accept", json=body), 401, "unauthenticated")
    accepted = client(edge_server, token, "").call("POST", "/v1/invitations/accept", json=body).json()
    assert accepted["user_name"].lower() == ada.lower()
    members = f"/v1/orgs/{organization}/members"
    assert boss.call("GET", f"{members}/{ada.swapcase()}").json()["user_name"] == ada
    refused(boss.call("POST", invitations, json={"user_name": ada.upper()}), 409, "already_exists")
    assert boss.call("DELETE", f"{members}/{ada.upper()}").status_code == 204
    # A removed user's name is free, in any letters.
    assert root.call("DELETE", f"/v1/admin/users/{ada.upper()}").status_code == 204
    assert root.call("POST", "/v1/admin/users", json={"user_name": ada.swapcase()}).status_code == 201


# --- a database of an older server


@pytest.fixture(params=["sqlite", "postgresql"])
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database from before names had keys."""
    with contextlib.ExitStack() as stack:
        if request.param == "postgresql":
            database = stack.enter_context(scratch_postgresql())
        else:
            database = stack.enter_context(contextlib.closing(Database(tmp_path / FILE_NAME)))
        move(database, "0017")
        yield database


def fill(database: Database, *names: str) -> None:
    with database.write_connection() as connection:
        now = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
        users = sa.Table("users", sa.MetaData(), autoload_with=connection, resolve_fks=False)
        for number, name in enumerate(names, 100):
            connection.execute(
                users.insert(),
                {
                    "id": number,
                    "uid": f"u{number}",
                    "user_name": name,
                    "server_admin": False,
                    "created_at": now,
                    "revision": 1,
                },
            )


def test_a_database_with_two_users_of_a_name_names_them(older: Database) -> None:
    fill(older, "Ada", "bob", "ada")
    with older.engine.connect() as connection, pytest.raises(CannotStart) as refused_start:
        renaming.require_distinct(connection, "data")
    assert "the users Ada and ada differ by upper and lower case alone" in str(refused_start.value)
    assert "`edge server rename-user ada NEW-NAME --data data`" in str(refused_start.value)
    for name, new_name, wrong in (
        ("adA", "eve", "there is no user 'adA'; there is A"),
        ("ada", "BOB", "the user bob has that name already"),
        ("ada", "ADA", "the user Ada has that name already"),
    ):
        with pytest.raises(CannotStart, match=wrong), older.write_connection() as connection:
            renaming.rename(connection, renaming.USER, name, new_name)
    with older.write_connection() as connection:
        renaming.rename(connection, renaming.USER, "ada", "ada-2")
    with older.engine.connect() as connection:
        renaming.require_distinct(connection, "data")
    move(older, own_history().head)
    with older.engine.connect() as connection:
        keys = connection.execute(sa.text("SELECT user_name, name_key FROM users ORDER BY id")).all()
    assert [tuple(each) for each in keys] == [("Ada", "ada"), ("bob", "bob"), ("ada-2", "ada-2")]
    with pytest.raises(sa.exc.IntegrityError), older.write_connection() as connection:
        connection.execute(sa.text("UPDATE users SET name_key = 'ada' WHERE user_name = 'bob'"))
    with older.write_connection() as connection:
        renaming.rename(connection, renaming.USER, "Ada", "ADA")
    move(older, "0017")
    with older.engine.connect() as connection:
        assert connection.scalars(sa.text("SELECT user_name FROM users ORDER BY id")).all() == ["ADA", "bob", "ada-2"]


@sqlite_only("which is migrated at a start")
@folder_only("a database of that age has no bucket")
@pytest.mark.slow
def test_the_command_renames_and_the_server_starts_again(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    start.prepare(folder)
    with contextlib.closing(Database(folder / FILE_NAME)) as database:
        move(database, "0017")
        fill(database, "Ada", "ada")
        with database.write_connection() as connection:
            organization = sa.Table("organizations", sa.MetaData(), autoload_with=connection, resolve_fks=False)
            row = connection.execute(sa.select(organization)).mappings().one()
            connection.execute(organization.insert(), {**row, "id": 9, "uid": "o9", "name": "DEFAULT"})
            tokens = sa.Table("tokens", sa.MetaData(), autoload_with=connection, resolve_fks=False)
            connection.execute(tokens.update().values(scopes=["files", "org:DEFAULT"]))
    backups = folder / "backups"
    before = sorted(backups.glob("*")) if backups.exists() else []
    with pytest.raises(CannotStart, match="the users Ada and ada"):
        start.prepare(folder)

    def run(*words: str) -> str:
        done = CliRunner().invoke(command, [*words, "--data", str(folder)])
        assert done.exit_code == 0, done.output
        return done.output

    assert "The user ada is called ada-2 now" in run("rename-user", "ada", "ada-2")
    with pytest.raises(CannotStart, match="the organizations DEFAULT and default"):
        start.prepare(folder)
    assert (sorted(backups.glob("*")) if backups.exists() else []) == before, "no backup is pushed out meanwhile"
    assert "is called other now" in run("rename-organization", "DEFAULT", "other")
    start.prepare(folder)
    with contextlib.closing(Database(folder / FILE_NAME)) as database, database.read() as session:
        assert session.scalars(sa.select(User.user_name).order_by(User.id)).all() == ["admin", "Ada", "ada-2"]
        assert session.scalars(sa.select(Token.scopes)).all() == [["files", "org:other"]]
    wrong = CliRunner().invoke(command, ["rename-user", "Ada", "a b", "--data", str(folder)])
    assert wrong.exit_code == 2
    assert "is not a user's name" in wrong.output
    nowhere = CliRunner().invoke(command, ["rename-user", "Ada", "eve", "--data", str(tmp_path / "none")])
    assert "holds no server's data" in nowhere.output
    assert not (tmp_path / "none").exists()


# --- the first token of a new server


@pytest.mark.parametrize(
    ("lifetime", "days"), [(start.FIRST_TOKEN_LIFETIME, 90), (dt.timedelta(days=7), 7), (None, None)]
)
def test_the_first_token_of_a_new_server_expires(
    tmp_path: Path, lifetime: dt.timedelta | None, days: int | None
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    start.prepare(folder, first_token=lifetime)
    with contextlib.closing(Database(folder / FILE_NAME)) as database, database.read() as session:
        token = session.scalars(sa.select(Token)).one()
        assert token.lifetime == (None if days is None else days * 24 * 3600)
        assert token.expires_at == (None if days is None else token.created_at + dt.timedelta(days=days))
    assert start.prepare(folder)[2] is None, "a server that has an admin makes no other"


# --- OAuth clients


def test_client_ids_of_two_organizations_never_collide(edge_server: EdgeServer) -> None:
    short = edge_server.create_organization()
    long = edge_server.create_organization(f"{short}-b")
    ids = []
    for organization, app_id in ((short, "b-viewer"), (long, "viewer")):
        user = edge_server.create_user(organization=organization, roles=["developer"])
        api = client(edge_server, edge_server.create_token(user), organization)
        applications = f"/v1/orgs/{organization}/applications"
        added = api.call("POST", applications, json={"app_id": app_id})
        assert added.status_code == 201, added.text
        address = f"{applications}/{app_id}/oauth-client"
        body = {"redirect_uri": "https://viewer.example.com/oauth"}
        registered = api.call("POST", address, json=body)
        assert registered.status_code == 201, registered.text
        ids.append(registered.json()["client_id"])
        assert api.call("GET", address).json()["client_id"] == ids[-1]
        refused(api.call("POST", address, json=body), 409, "already_exists")
    plain = f"service-edge-app-{short}-b-viewer"
    assert ids[0] == plain, "as documented"
    assert ids[1].startswith(f"{plain}~")
    assert len(ids[1]) == len(plain) + 9
