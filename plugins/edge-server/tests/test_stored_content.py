"""Content that a plugin keeps: it is stored, checked, and goes with its rows."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from edge_server.base import clock
from edge_server.data.database import FILE_NAME, SERVER, Database
from edge_server.data.store import Store
from edge_server.files import fsck
from edge_server.keys.signing import Signer
from edge_server.run import app, start
from edge_server.web.stored_content import drop_content

from .bringing import Bring
from .stores import contents_in, folder_only, keys_in, store_of
from .test_housekeeping import HOUR, InProcess, backdate, run_fsck
from .wire import Api
from .wire import session as http_session

PLOTS = """
plugin_api = 1
import contextlib
from pathlib import Path
import flask
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Plot(Base):
    __tablename__ = "lab_plots"
    id: Mapped[int] = mapped_column(primary_key=True)
    organization_id: Mapped[int]
    key: Mapped[str | None]

def server(context):
    routes = context.routes()
    context.stored(Plot.key)

    @routes.operation("lab.plots.add", "POST", "/plots", who="member")
    @routes.response(204)
    def add(org):
        key = context.store.new_key()
        context.store.write(key, [b"a ", b"plot"])
        with context.write() as session:
            session.add(Plot(organization_id=context.member().organization_id, key=key))
            session.add(Plot(organization_id=context.member().organization_id, key=None))
        return context.nothing()

    @routes.operation("lab.plots.read", "GET", "/plots", who="member")
    @routes.response(200)
    def read(org):
        with context.read() as session:
            key = session.scalar(select(Plot.key).where(Plot.key.is_not(None)))
        with contextlib.closing(context.store.open(key, 2)) as content:
            return flask.Response(b"".join(content))

    return context.subsystem(routes, metadata=Base.metadata, migrations=Path(__file__).parent / "lab_migrations")
"""

FIRST = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0001", None
def upgrade():
    op.create_table(
        "lab_plots",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("organization_id", sa.Integer, sa.ForeignKey("organizations.id", ondelete="CASCADE"), nullable=False),
        sa.Column("key", sa.String(64)),
    )
"""


@pytest.fixture
def plots(bring: Bring, tmp_path: Path) -> Api:
    """A member on a server with the plugin, of which nothing but the requests runs, and which has kept a plot."""
    bring(PLOTS, FIRST)
    folder = tmp_path / "data"
    folder.mkdir()
    engines, loaded, token = start.prepare(folder)
    http = http_session()
    http.mount("http://in-process", InProcess(app.build(engines, loaded)))
    api = Api("http://in-process", token, "default", http)
    assert api.call("POST", "/v1/orgs/default/lab/plots").status_code == 204
    return api


@pytest.fixture
def database(plots: Api, tmp_path: Path) -> Iterator[Database]:
    with contextlib.closing(Database(tmp_path / "data" / FILE_NAME)) as opened:
        yield opened


def kept(tmp_path: Path) -> list[Path]:
    """The files of the plugin's content."""
    return [path for path in (tmp_path / "data" / "subsystems" / "lab").rglob("*") if path.is_file()]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The plugin's."""
    return store_of(tmp_path / "data").part("lab")


def test_a_plugin_keeps_content_apart_from_files(plots: Api, tmp_path: Path, store: Store) -> None:
    assert plots.call("GET", "/v1/orgs/default/lab/plots").content == b"plot"
    assert [*contents_in(store).values()] == [b"a plot"]
    assert not keys_in(store_of(tmp_path / "data"))
    done = run_fsck(tmp_path / "data", "--deep")
    line = "0 versions and 1 contents of plugins checked, 0 missing or damaged, 0 orphaned files dropped\n"
    assert (done.exit_code, done.output) == (0, line)


def test_fsck_names_the_row_whose_content_is_missing(plots: Api, tmp_path: Path, store: Store) -> None:
    (key,) = keys_in(store)
    store.remove(key)
    done = run_fsck(tmp_path / "data")
    assert done.exit_code == 1
    assert done.output.splitlines() == [
        "table lab_plots, row 1: the content that key names is missing",
        "0 versions and 1 contents of plugins checked, 1 missing or damaged, 0 orphaned files dropped",
    ]


@folder_only("files that are made there")
def test_fsck_drops_old_content_that_no_row_names(plots: Api, tmp_path: Path, database: Database) -> None:
    (path,) = kept(tmp_path)
    backdate(path, 2 * HOUR)
    new = path.parent / (path.name[:2] + 38 * "0")
    old = path.parent / (path.name[:2] + 38 * "1")
    partial = tmp_path / "data" / "subsystems" / "lab" / "incoming" / (40 * "2")
    for orphan in (new, old, partial):
        orphan.write_bytes(b"orphan")
    for orphan in (old, partial):
        backdate(orphan, 2 * HOUR)
    done = run_fsck(tmp_path / "data")
    assert done.exit_code == 0
    assert "2 orphaned files dropped" in done.output
    assert sorted(kept(tmp_path)) == sorted([path, new])


def test_fsck_leaves_the_content_of_a_plugin_that_is_switched_off(
    plots: Api, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = keys_in(store)
    later = clock.now() + 2 * fsck.GRACE
    monkeypatch.setattr(clock, "now", lambda: later)
    monkeypatch.setenv("EDGE_DISABLE_PLUGINS", "lab-plugin")
    done = run_fsck(tmp_path / "data")
    assert (done.exit_code, done.output) == (0, "0 versions checked, 0 missing or damaged, 0 orphaned files dropped\n")
    assert keys_in(store) == keys


def test_the_content_of_rows_is_dropped_before_them(
    plots: Api, tmp_path: Path, database: Database, store: Store
) -> None:
    plots.call("POST", "/v1/orgs/default/lab/plots")
    engines = app.engines_at(tmp_path / "data", Signer(b""), database=database)
    app.load(engines)
    (stored,) = (stored for stored in engines.stored if stored.table == "lab_plots")
    with database.read() as session:
        first, second = session.scalars(sa.text("SELECT key FROM lab_plots WHERE key IS NOT NULL ORDER BY id"))
    for _ in range(2):  # a crash may come in between
        drop_content(database, stored, [1, 2, 99])
    assert keys_in(store) == {second}
    with database.write(SERVER) as session:
        session.execute(sa.text("DELETE FROM lab_plots WHERE id IN (1, 2)"))
    assert run_fsck(tmp_path / "data").exit_code == 0
    assert first != second


@folder_only("a folder that is not there")
def test_fsck_looks_into_a_store_whose_folders_are_not_there_yet(plots: Api, tmp_path: Path) -> None:
    """As where a newer version of a plugin names its first column."""
    shutil.rmtree(tmp_path / "data" / "subsystems")
    done = run_fsck(tmp_path / "data")
    assert done.output.splitlines()[0] == "table lab_plots, row 1: the content that key names is missing"
