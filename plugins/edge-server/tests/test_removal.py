"""Removing an organization: all of it goes, nothing else does, and a crash only delays it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from edge_server.accounts import removal
from edge_server.accounts.departures import Departures
from edge_server.accounts.removal import Removals
from edge_server.base import clock
from edge_server.data import ownership
from edge_server.data.database import SERVER, Database
from edge_server.data.migration import migrate, own_history
from edge_server.data.store import Store
from edge_server.files import tree
from edge_server.files.models import Node, Upload, UploadPart, Version
from edge_server.files.queries import NewVersion
from edge_server.identity import directory
from edge_server.identity.models import Membership, Organization, User
from edge_server.keys.signing import Signer
from edge_server.run import app
from edge_server.testing.local_server import EdgeServer
from edge_server.web.context import Context, OwnContext
from edge_server.web.engines import Engines
from tests.waiting import PATIENCE, wait_for

from .stores import keys_in, store_of
from .trees import TREE
from .wire import client, close_all


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Engines]:
    """What a server runs on, with its subsystems' ways to remove what is theirs."""
    with contextlib.closing(app.engines_at(tmp_path, Signer(b"")).database) as database:
        engines = app.engines_at(tmp_path, Signer(b""), database=database)
        engines.store.create()
        migrate(database, tmp_path / "backups", [own_history()])
        app.load(engines, plugins=False)
        yield engines


@pytest.fixture
def opened(engines: Engines) -> Database:
    return engines.database


@pytest.fixture
def store(engines: Engines) -> Store:
    return engines.store


@pytest.fixture
def context(engines: Engines) -> OwnContext:
    return OwnContext("accounts", engines, ())


@pytest.fixture
def removals(context: OwnContext) -> Removals:
    return Removals(context)


def fill(opened: Database, store: Store, name: str, files: int = 5) -> int:
    """An organization with a member and some of everything."""
    with opened.write(SERVER) as session:
        organization = directory.create_organization(session, [tree.plant], name)
        user = directory.create_user(session, f"user-of-{name}")
        user.home = organization
        directory.add_member(session, user, organization, ["admin"])
        for n in range(files):
            key = store.new_key()
            written = store.write(key, [b"content"])
            path = ("a", "b", f"{n}.txt")
            content = NewVersion(key, written.size, written.sha256, clock.now(), user.id)
            TREE.put(session, organization.id, path, content, overwrite=False)
            if n % 2:
                TREE.remove(session, organization.id, path, recursive=False)
        key = store.new_key()
        upload = Upload(
            uid=f"upload-of-{name}",
            key=key,
            store_id=store.start_upload(f"upload-of-{name}", key),
            organization_id=organization.id,
            path="x",
            part_size=1,
            overwrite=True,
            expires_at=clock.now(),
            created_by=user.id,
        )
        session.add(upload)
        session.flush()
        session.add(UploadPart(upload_id=upload.id, n=1, size=1, sha256="0" * 64))
        return organization.id


def close(opened: Database, organization_id: int) -> None:
    with opened.write(SERVER) as session:
        session.get_one(Organization, organization_id).status = directory.DELETING


def rows(opened: Database, organization_id: int) -> dict[str, int]:
    """How many rows of each table are the organization's."""
    counts = {}
    with opened.read() as session:
        for table in ownership.tables_of(opened.engine).sorted_tables:
            owned = ownership.owned_by(table, "organizations", organization_id)
            if owned is not None:
                count = session.scalar(sa.select(sa.func.count()).select_from(table).where(owned))
                counts[table.name] = count or 0
    return counts


def contents(store: Store) -> int:
    return len(keys_in(store)) + len(store.uploads())


def test_all_of_it_goes_and_nothing_else(opened: Database, store: Store, removals: Removals, tmp_path: Path) -> None:
    gone, kept = fill(opened, store, "gone"), fill(opened, store, "kept")
    before = rows(opened, kept)
    assert {"memberships", "nodes", "versions", "uploads", "upload_parts", "invitations"} <= set(before)
    assert all(before[name] for name in ("memberships", "nodes", "versions", "uploads", "upload_parts"))
    assert contents(store) == 12
    removals.run()
    assert rows(opened, gone) == before  # nobody has said so
    close(opened, gone)
    removals.run()
    assert set(rows(opened, gone).values()) == {0}
    assert rows(opened, kept) == before
    assert contents(store) == 6
    with opened.read() as session:
        assert directory.find_organization(session, "gone") is None
        # The user is not the organization's, and has lost nothing but their place in it.
        user = directory.find_user(session, "user-of-gone")
        assert user is not None
        assert user.home_organization_id is None
        if opened.engine.dialect.name == "sqlite":
            assert session.scalar(sa.text("PRAGMA foreign_key_check")) is None


def test_users_and_what_is_theirs_belong_to_no_organization(opened: Database) -> None:
    for table in ("users", "tokens", "idempotency_keys"):
        assert ownership.owned_by(ownership.tables_of(opened.engine).tables[table], "organizations", 1) is None


def test_a_plugins_tables_are_cleared_as_well(
    opened: Database, store: Store, removals: Removals, context: OwnContext
) -> None:
    gone = fill(opened, store, "gone")
    with opened.write(SERVER) as session:
        for statement in (
            "CREATE TABLE lab_books (id INTEGER PRIMARY KEY, lab INTEGER NOT NULL "
            "REFERENCES organizations (id) ON DELETE CASCADE)",
            "CREATE TABLE lab_pages (id INTEGER PRIMARY KEY, book_id INTEGER NOT NULL REFERENCES lab_books (id))",
            "CREATE TABLE lab_loans (id INTEGER PRIMARY KEY, organization_id INTEGER "
            "REFERENCES organizations (id) ON DELETE SET NULL, "
            "user_id INTEGER REFERENCES users (id) ON DELETE SET NULL)",
            "CREATE TABLE lab_moods (id INTEGER PRIMARY KEY, whose INTEGER NOT NULL "
            "REFERENCES users (id) ON DELETE CASCADE)",
            "CREATE TABLE lab_notes (id INTEGER PRIMARY KEY, mood_id INTEGER NOT NULL REFERENCES lab_moods (id))",
            f"INSERT INTO lab_books VALUES (1, {gone})",
            "INSERT INTO lab_pages VALUES (1, 1), (2, 1)",
            f"INSERT INTO lab_loans SELECT 1, {gone}, id FROM users",
            "INSERT INTO lab_moods SELECT 1, id FROM users",
            "INSERT INTO lab_notes VALUES (1, 1)",
        ):
            session.execute(sa.text(statement))

    def count(table: str) -> int:
        with opened.read() as session:
            return session.scalar(sa.text(f"SELECT count(*) FROM {table}")) or 0

    def loan() -> tuple[object, ...]:
        with opened.read() as session:
            return tuple(session.execute(sa.text("SELECT organization_id, user_id IS NULL FROM lab_loans")).one())

    close(opened, gone)
    removals.run()
    assert [count(table) for table in ("lab_books", "lab_pages", "lab_moods", "lab_notes")] == [0, 0, 1, 1]
    assert loan() == (None, 0)
    with opened.write(SERVER) as session:
        user = directory.find_user(session, "user-of-gone")
        assert user is not None
        Departures(context).remove(session, user)
    assert [count(table) for table in ("lab_moods", "lab_notes")] == [0, 0]
    assert loan() == (None, 1)


def test_the_content_of_a_plugins_rows_goes_as_well(
    engines: Engines, opened: Database, store: Store, removals: Removals
) -> None:
    gone = fill(opened, store, "gone", files=0)

    class Plots(DeclarativeBase):
        metadata = sa.MetaData()

    class Plot(Plots):
        __tablename__ = "lab_plots"
        id: Mapped[int] = mapped_column(primary_key=True)
        organization_id: Mapped[int]
        image: Mapped[str | None]

    lab = Context("lab", engines)
    lab.stored(Plot.image)
    engines.stored[-1].store.create()
    key = lab.store.new_key()
    lab.store.write(key, [b"image"])
    with opened.write(SERVER) as session:
        for statement in (
            "CREATE TABLE lab_plots (id INTEGER PRIMARY KEY, organization_id INTEGER NOT NULL "
            "REFERENCES organizations (id) ON DELETE CASCADE, image TEXT)",
            f"INSERT INTO lab_plots VALUES (1, {gone}, '{key}'), (2, {gone}, NULL)",
        ):
            session.execute(sa.text(statement))
    assert lab.store.size(key) == 5
    removals.run()
    assert lab.store.size(key) == 5
    close(opened, gone)
    removals.run()
    assert lab.store.size(key) is None


def test_what_cannot_be_removed_is_logged_and_tried_again_later(
    opened: Database,
    store: Store,
    removals: Removals,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gone, following = fill(opened, store, "gone"), fill(opened, store, "next")
    close(opened, gone)
    remove_rows = Removals._remove_rows

    def refuse(self: Removals, table: sa.Table, keys: removal.Keys) -> int:
        return 0 if table.name == "memberships" else remove_rows(self, table, keys)

    monkeypatch.setattr(Removals, "_remove_rows", refuse)
    removals.run()
    assert "removing the organization gone failed and is tried again" in caplog.text
    assert "rows of memberships cannot be removed" in caplog.text
    assert rows(opened, gone)["memberships"] == 1
    monkeypatch.undo()
    close(opened, following)
    removals.run()
    assert set(rows(opened, gone).values()) == {0} == set(rows(opened, following).values())


def test_a_subsystem_that_fails_holds_the_rows_back_until_it_is_done(
    engines: Engines, opened: Database, store: Store, removals: Removals, caplog: pytest.LogCaptureFixture
) -> None:
    gone, other = fill(opened, store, "gone"), fill(opened, store, "other")
    calls: list[int] = []

    def unplug(organization_id: int) -> None:
        calls.append(organization_id)
        if calls.count(gone) <= 2 and organization_id == gone:
            raise ConnectionError("the instrument does not answer")

    Context("lab", engines).on_organization_removed(unplug)
    before = rows(opened, gone)
    close(opened, gone)
    close(opened, other)
    removals.run()
    assert rows(opened, gone) == before
    assert set(rows(opened, other).values()) == {0}  # which does not wait for it
    removals.run()
    assert caplog.text.count("ConnectionError: the instrument does not answer") == 2
    removals.run()
    assert set(rows(opened, gone).values()) == {0}
    assert calls == [gone, other, gone, gone]


@pytest.mark.parametrize("patience", [0, 1, 2, 3, 5, 8, 13])
def test_it_is_gone_on_with_wherever_it_was_left(
    opened: Database,
    store: Store,
    removals: Removals,
    tmp_path: Path,
    patience: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(removal, "BATCH", 2)
    gone = fill(opened, store, "gone")
    close(opened, gone)

    class Killed(BaseException):
        pass

    left = patience
    write = opened.write_rows

    def write_until_killed(organization_id: int | None) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return write(organization_id)

    monkeypatch.setattr(opened, "write_rows", write_until_killed)
    with pytest.raises(Killed):
        removals.run()
    monkeypatch.setattr(opened, "write_rows", write)
    with opened.read() as session:
        assert directory.find_organization(session, "gone") is not None
    removals.run()
    assert set(rows(opened, gone).values()) == {0}
    assert contents(store) == 0


def test_what_a_request_under_way_still_stores_goes_as_well(
    opened: Database, store: Store, removals: Removals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = fill(opened, store, "gone")
    close(opened, gone)
    late = iter([True])
    remove_row = Removals._remove_row

    def slow(self: Removals, to_organizations: list[sa.ForeignKey], organization_id: int) -> str | None:
        if next(late, False):
            with opened.write(SERVER) as session:
                user = directory.find_user(session, "user-of-gone")
                assert user is not None
                key = store.new_key()
                store.write(key, [b"late"])
                session.add(Version(key=key, organization_id=gone, size=4, digest="0" * 64, created_by=user.id))
        return remove_row(self, to_organizations, organization_id)

    monkeypatch.setattr(Removals, "_remove_row", slow)
    removals.run()
    with opened.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Version)) == 0
        assert session.scalar(sa.select(sa.func.count()).select_from(Organization)) == 0
    assert contents(store) == 0


def test_a_process_that_ends_leaves_the_rest(
    engines: Engines, opened: Database, store: Store, removals: Removals
) -> None:
    gone = fill(opened, store, "gone")
    close(opened, gone)
    engines.background.stop()
    removals.run()
    assert rows(opened, gone)["nodes"] > 0


@pytest.mark.slow
def test_a_server_that_is_killed_goes_on_after_its_start(tmp_path: Path) -> None:
    server = EdgeServer(tmp_path / "data")
    try:
        server.start("--workers", "2")
        organization = server.create_organization()
        api = client(server, server.create_token(server.create_user(organization=organization)), organization)
        assert api.put("first", b"x").status_code == 201
        with server.database.write(SERVER) as session:
            row = directory.find_organization(session, organization)
            assert row is not None
            root = session.scalars(
                sa.select(Node.id).where(Node.organization_id == row.id, Node.parent_id.is_(None))
            ).one()
            session.add_all(Node(organization_id=row.id, parent_id=root, name=f"folder-{n:06}") for n in range(2_000))
        root_api = client(server, server.create_token("admin"), "default")
        path = f"/v1/admin/organizations/{organization}"
        assert root_api.call("DELETE", path).json()["status"] == "deleting"
        deadline = time.monotonic() + PATIENCE
        at_work = False
        while not at_work:
            assert time.monotonic() < deadline
            with server.database.write(SERVER) as session:  # for which the removal waits after each of its steps
                nodes = session.scalar(sa.select(sa.func.count()).select_from(Node)) or 0
                if at_work := nodes <= 2_000:
                    server.kill()
        close_all()
        with server.database.read() as session:
            assert directory.find_organization(session, organization) is not None
        server.start("--workers", "2")
        root_api = client(server, root_api.token, "default")
        wait_for(lambda: root_api.call("GET", path).status_code == 404)
        with server.database.read() as session:
            assert session.scalar(sa.select(sa.func.count()).select_from(Membership)) == 1
            assert session.scalar(sa.select(sa.func.count()).select_from(User)) == 2
        assert keys_in(store_of(server.data)) == set()
        assert "failed" not in server.log
    finally:
        close_all()
        server.close()
