"""Moving a server of one data folder to PostgreSQL and a bucket, or to another folder: `edge server move`."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import errno
import json
import os
import re
import secrets
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from click.testing import CliRunner, Result

from edge_files.wire import PART_SIZE
from edge_server.base.problems import CannotStart
from edge_server.data import database, rows
from edge_server.data.database import Database
from edge_server.data.declarative import Base
from edge_server.data.store import FolderStore
from edge_server.files import content_move, fsck
from edge_server.files.models import Node, Upload, Version
from edge_server.identity.models import Token
from edge_server.run import data_folder, start
from edge_server.run import move as moving_command
from edge_server.run.command import server as command
from edge_server.run.data_folder import MOVED
from edge_vfs.progress import Tracker
from tests.object_stores import Store

from .bringing import Bring
from .buckets import bucket_of
from .engines import sqlite_only, url_of
from .filling import fill
from .postgresql import scratch_postgresql
from .stores import environment_of, folder_only
from .test_context import LABORATORY, TABLES
from .test_on_a_bucket import Served, configure, serve
from .wire import Api, refused

pytestmark = sqlite_only("which is what is moved")

RUN = ["run", "--port", "0"]
"""At any port: somebody may have a server at the usual one."""

OF_A_SITE = ("site_values", "audit_lines")
"""Tables that have a row more where the server was moved to."""

FAR = dt.datetime(2999, 1, 1, tzinfo=dt.UTC)

LARGE = secrets.token_bytes(PART_SIZE + 17)

FILES = {f"runs/day {n}/plate-{n}.csv": f"{n},".encode() * n for n in range(30)} | {"runs/empty": b""}


@dataclasses.dataclass
class Site:
    """Where a server is moved to.

    Attributes:
        folder: its data folder, with its settings.
        database: what the tests look into it with.
    """

    folder: Path
    database: Database

    @property
    def settings(self) -> Path:
        return self.folder / "server.toml"


IN_FOLDER = '[storage]\nkind = "folder"\n'
"""Content in the data folder, wherever that of the tests' servers is."""


def site_at(folder: Path, opened: Database, storage: str = IN_FOLDER) -> Site:
    """A site whose database is on PostgreSQL, and its content in the data folder unless `storage` says otherwise."""
    folder.mkdir(mode=0o700)
    (folder / "server.toml").write_text(f'{storage}[database]\nurl = "{url_of(opened)}"\n[keys]\ndirectory = "keys"\n')
    (folder / "server.toml").chmod(0o600)
    return Site(folder, opened)


def name_of(opened: Database) -> str:
    assert isinstance(opened.address, sa.URL)
    return str(opened.address.database)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site on PostgreSQL whose time zone is far from UTC, with its content in a folder."""
    with scratch_postgresql() as opened:
        with opened.write_connection() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {name_of(opened)} SET TimeZone = 'Asia/Tokyo'")
        yield site_at(tmp_path / "site", opened)


@pytest.fixture
def bucket_site(seaweedfs: Store, tmp_path: Path) -> Iterator[Site]:
    """A site on PostgreSQL, with its content in a bucket."""
    configure(tmp_path / "bucket", bucket_of(seaweedfs))
    with scratch_postgresql() as opened:
        yield site_at(tmp_path / "site", opened, (tmp_path / "bucket" / "server.toml").read_text())


@pytest.fixture
def folder_site(tmp_path: Path) -> Iterator[Site]:
    """A site in another folder."""
    folder = tmp_path / "site"
    folder.mkdir(mode=0o700)
    (folder / "server.toml").write_text(f"{IN_FOLDER}quota = 1000000000\n")
    with contextlib.closing(Database(folder / database.FILE_NAME)) as opened:
        yield Site(folder, opened)


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Served]:
    """The server to move, which runs as long as the test lets it, with files of all kinds."""
    served = serve(tmp_path / "old")
    for path, content in FILES.items():
        served.api.put(path, content)
    served.api.upload("large", LARGE)
    served.api.put("runs/empty", b"no more")
    served.api.files("DELETE", "/entry", params={"path": "runs/day 1", "recursive": "true"})
    yield served
    served.engines.database.close()


def move(folder: Path, site: Site, *options: str) -> Result:
    return CliRunner().invoke(
        command,
        ["move", "--data", str(folder), "--to", str(site.settings), "--quiet", *options],
        catch_exceptions=False,
    )


def start_move(folder: Path, site: Site) -> moving_command.Report:
    return moving_command.move(
        folder, None, site.settings, site.folder, track=lambda name: Tracker("upload", name, progress=False)
    )


def moved(folder: Path, site: Site, *options: str) -> dict[str, Any]:
    done = move(folder, site, "--json", *options)
    assert done.exit_code == 0, done.output
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def as_the_code_sees(opened: Database, tables: Iterable[sa.Table]) -> dict[str, set[str]]:
    """All rows of tables; a moment in UTC, as SQLite has no zones."""
    with opened.engine.connect() as connection:
        rows_of = {table.name: connection.execute(sa.select(table)).all() for table in tables}
    return {name: {repr([_in_utc(value) for value in row]) for row in each} for name, each in rows_of.items()}


def _in_utc(value: Any) -> Any:
    if not isinstance(value, dt.datetime):
        return value
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


def counts(folder: Path) -> dict[str, int]:
    """How many rows a SQLite file has, of whatever tables there are."""
    with contextlib.closing(sqlite3.connect(folder / database.FILE_NAME)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for (name,) in tables}


@pytest.fixture(params=["site", "folder_site"])
def each_site(request: pytest.FixtureRequest) -> Site:
    """A site on each kind of database."""
    site: Site = request.getfixturevalue(request.param)
    return site


def filled(folder: Path) -> list[sa.Table]:
    """Make a server's data whose tables all have rows, those of plugins as well; returns the tables."""
    engines, loaded, _ = start.prepare(folder)
    metadatas = [Base.metadata, *(each.parts.metadata for each in loaded if each.history and each.parts.metadata)]
    tables = [table for metadata in metadatas for table in metadata.sorted_tables]
    with contextlib.closing(engines.database), engines.database.write_connection() as connection:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        fill(connection, tables)
        # One that is open, or has expired, would be dropped.
        version = sa.select(sa.func.min(Version.id)).scalar_subquery()
        connection.execute(sa.update(Upload).values(version_id=version, expires_at=FAR))
    return tables


def test_every_table_is_moved_row_by_row(tmp_path: Path, each_site: Site) -> None:
    folder = tmp_path / "old"
    tables = filled(folder)
    before = counts(folder)
    of_revisions = {name for name in before if name.startswith(database.VERSION_TABLE)}
    assert before.keys() - of_revisions == {table.name for table in tables}
    assert all(before.values())
    outcome = moved(folder, each_site, "--accept-damaged")
    assert outcome["tables"] == len(tables)
    assert outcome["rows"] == sum(before[table.name] for table in tables)
    with contextlib.closing(Database(folder / database.FILE_NAME)) as opened:
        common = [table for table in tables if table.name not in OF_A_SITE]
        assert as_the_code_sees(each_site.database, common) == as_the_code_sees(opened, common)
        with opened.engine.connect() as own, each_site.database.engine.connect() as there:
            for column in (Token.scopes, *Base.metadata.tables["app_versions"].columns["profiles", "default_profile"]):
                texts = sa.select(sa.cast(column, sa.Text)).order_by(sa.text("id"))
                kept = sa.select(sa.type_coerce(column, sa.Text)).order_by(sa.text("id"))
                assert there.scalars(texts).all() == own.scalars(kept).all()
    assert counts(folder) == before


def opened_at(folder: Path) -> contextlib.closing[Database]:
    return contextlib.closing(Database(folder / database.FILE_NAME))


def read(api: Api) -> dict[str, tuple[Any, bytes]]:
    """All files, as the server describes them, and their content."""
    listing = api.files("GET", "/entries", params={"recursive": "true", "limit": 1000}).json()["items"]
    files = {entry["path"]: entry for entry in listing if entry["kind"] == "file"}
    return {path: (entry, fetch(api, address_of(api, path))) for path, entry in files.items()}


def address_of(api: Api, path: str) -> str:
    """A signed address of a file."""
    address: str = api.files("GET", "/download-url", params={"path": path}).json()["url"]
    return address


def fetch(api: Api, address: str) -> bytes:
    """What is at a signed address, or where it leads."""
    answer = api.signed("GET", address, allow_redirects=False)
    if answer.status_code == 307:
        answer = requests.get(answer.headers["Location"], timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.content


def served_at(site: Site, api: Api) -> Served:
    """The server of a site, for a client of the old one."""
    served = serve(site.folder)
    served.api = dataclasses.replace(served.api, token=api.token, organization=api.organization)
    return served


@pytest.fixture(params=["site", "bucket_site", "folder_site"])
def any_site(request: pytest.FixtureRequest) -> Site:
    """A site on each kind of database, and with each kind of store."""
    site: Site = request.getfixturevalue(request.param)
    return site


def test_clients_go_on_where_the_server_has_moved(old: Served, any_site: Site) -> None:
    api, folder = old.api, old.engines.folder
    secret = f"/v1/orgs/{api.organization}/secrets/user"
    assert api.call("POST", secret, json={"name": "door", "content": {"code": "\u0000\U0001f511"}}).status_code == 201
    again = {"headers": {"Idempotency-Key": "once"}, "json": {"path": "made once"}}
    first = api.files("POST", "/folders", **again)
    assert first.status_code == 201
    address = address_of(api, "large")
    before = read(api)
    assert len(before) == len(FILES)  # one is deleted, and one is large
    assert before["large"][1] == LARGE
    old.engines.database.close()
    (folder / "prices.toml").write_text('currency = "EUR"\n')
    outcome = moved(folder, any_site)
    assert outcome["damages"] == []
    assert outcome["contents"] == len(FILES) + 2  # what was replaced and deleted, too
    assert outcome["files"] == ["prices.toml"]
    served = served_at(any_site, api)
    with contextlib.closing(served.engines.database):
        assert read(served.api) == before
        assert fetch(served.api, address) == LARGE
        assert served.api.call("GET", f"{secret}/door").json()["content"] == {"code": "\u0000\U0001f511"}
        replayed = served.api.files("POST", "/folders", **again)
        assert replayed.headers["Idempotency-Replayed"] == "true"
        assert replayed.json() == first.json()
        # Numbers go on behind those that were copied.
        assert served.api.put("later", b"new").status_code == 201
        assert served.api.upload("later and large", LARGE).status_code == 200
        report = fsck.check(served.engines.database, served.engines.store, deep=True)
        assert report.is_clean
        assert (report.orphans, report.recounted) == (0, [])
    with pytest.raises(CannotStart, match="has moved at .*; start it with `edge server run --config .* remove "):
        data_folder.require_not_moved(folder)
    done = move(folder, any_site)
    assert done.exit_code == 0
    assert "It was moved before" in done.output
    # The way back, to what was there.
    (folder / MOVED).unlink()
    back = serve(folder)
    with contextlib.closing(back.engines.database):
        back.api = dataclasses.replace(back.api, token=api.token)
        assert read(back.api) == before


def fork_and_kill(folder: Path, site: Site, kills: str) -> list[int]:
    """Move a server and kill the move again and again; returns how each attempt ended.

    Args:
        folder: the old data folder.
        site: where to.
        kills: after how many steps of each attempt it is killed, as `killed_moves.py` takes them.
    """
    script = Path(__file__).with_name("killed_moves.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder), str(site.settings), kills],
        capture_output=True,
        text=True,
        env=os.environ | environment_of(folder),
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ends: list[int] = json.loads(done.stdout.splitlines()[-1])
    return ends


@pytest.mark.slow
def test_a_move_that_is_killed_again_and_again_goes_on(old: Served, any_site: Site) -> None:
    folder = old.engines.folder
    before = read(old.api)
    old.engines.database.close()
    steps = json.dumps([1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 10**9])
    ends = fork_and_kill(folder, any_site, steps)
    assert ends[-1] == 0
    assert ends.count(-signal.SIGKILL) >= 10, ends
    served = served_at(any_site, old.api)
    with contextlib.closing(served.engines.database):
        with opened_at(folder) as own:
            common = [table for table in Base.metadata.sorted_tables if table.name not in OF_A_SITE]
            assert as_the_code_sees(served.engines.database, common) == as_the_code_sees(own, common)
        assert read(served.api) == before
        with served.engines.database.read() as session:
            kept = set(session.scalars(sa.select(Version.key)))
        store = served.engines.store
        assert {key for prefix in store.prefixes() for key in store.keys(prefix, 1e12)} == kept


def test_what_is_there_is_not_copied_again(old: Served, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once all rows are there and some pages of content, a move that goes on begins behind them."""
    folder = old.engines.folder
    old.engines.database.close()
    monkeypatch.setattr(content_move, "PAGE", 5)
    monkeypatch.setattr(rows, "SLICE_ROWS", 7)
    written: list[str] = []
    write = FolderStore.write

    class Killed(BaseException):
        pass

    def counted(self: FolderStore, key: str, blocks: Any) -> Any:
        if len(written) == 18:
            raise Killed
        written.append(key)
        return write(self, key, blocks)

    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "write", counted)
        patch.setattr(content_move, "THREADS", 1)
        with pytest.raises(Killed):
            move(folder, site)
    assert len(set(written)) == len(written) == 18
    inserted: list[str] = []

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT") and "site_values" not in statement and "audit_lines" not in statement:
            inserted.append(statement)

    more: list[str] = []

    def noted(self: FolderStore, key: str, blocks: Any) -> Any:
        more.append(key)
        return write(self, key, blocks)

    monkeypatch.setattr(FolderStore, "write", noted)
    try:
        outcome = moved(folder, site)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert inserted == []
    assert len(set(more)) == len(more)
    assert not set(more) & set(written)
    assert len(more) + len(written) == outcome["contents"]


class Killed(BaseException):
    """What ends a move as a kill does: nothing in it catches this."""


def killed(*_: object) -> None:
    raise Killed


def test_no_server_starts_on_either_side_before_the_move_has_ended(
    old: Served, each_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = old.engines.folder
    old.engines.database.close()

    for name in ("_copy_rows", "_copy_contents", "_compare_rows", "_refer", "_release"):
        with monkeypatch.context() as patch:
            patch.setattr(moving_command._Mover, name, killed)
            with pytest.raises(Killed):
                move(folder, each_site)
        again = "has moved at" if name == "_release" else "is being moved to .*; run `edge server move --data .* more"
        for action in (RUN, ["check"], ["env"], ["migrate"], ["fsck"], ["purge"], ["rotate-keys"]):
            refused_here = CliRunner().invoke(command, [*action, "--data", str(folder)])
            assert refused_here.exit_code == 1
            assert re.search(again, refused_here.output), refused_here.output
        for action in (RUN, ["check"], ["fsck"], ["purge"], ["migrate"]):
            refused_there = CliRunner().invoke(command, [*action, "--data", str(each_site.folder)])
            assert refused_there.exit_code == 1
            assert "holds a part of the server that is being moved there from" in refused_there.output
    outcome = moved(folder, each_site)
    assert outcome["ended"]
    start.prepare(each_site.folder)[0].database.close()


def test_a_server_that_runs_is_not_moved(tmp_path: Path, site: Site) -> None:
    folder = tmp_path / "old"
    start.prepare(folder)[0].database.close()
    with data_folder.locked(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_folder, "LOCK_WAIT", 0.0)
        done = move(folder, site)
    assert done.exit_code == 1
    assert "a server is running on" in done.output
    assert not (folder / MOVED).exists()


def test_a_site_that_is_not_empty_is_refused(old: Served, folder_site: Site) -> None:
    folder = old.engines.folder
    old.engines.database.close()
    serve(folder_site.folder).engines.database.close()
    for name in ("signing.key", "sealing.keys"):  # which are told first
        (folder_site.folder / name).unlink()
    done = move(folder, folder_site)
    assert done.exit_code == 1
    assert re.search(r"edge\.sqlite3 holds data already \(in \w+\); name an empty database", done.output)


def test_a_store_that_is_not_empty_is_refused(old: Served, site: Site) -> None:
    folder = old.engines.folder
    old.engines.database.close()
    (site.folder / "content" / "aa").mkdir(parents=True)
    (site.folder / "content" / "aa" / ("a" * 40)).write_bytes(b"x")
    done = move(folder, site)
    assert done.exit_code == 1
    assert "holds content already; name an empty place" in done.output
    assert not (folder / MOVED).exists()
    assert site.database.revision() is None


def test_a_move_that_was_left_alone_is_not_continued(old: Served, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = old.engines.folder
    old.engines.database.close()

    with monkeypatch.context() as patch:
        patch.setattr(moving_command._Mover, "_copy_contents", killed)
        with pytest.raises(Killed):
            move(folder, site)
    (folder / MOVED).unlink()
    with contextlib.closing(serve(folder).engines.database):
        pass  # the old server goes on, and may change
    done = move(folder, site)
    assert done.exit_code == 1
    assert "holds a part of another move, from" in done.output


@pytest.mark.parametrize("is_gone", [False, True])
def test_damaged_content_is_listed_and_moved_only_on_demand(old: Served, bucket_site: Site, is_gone: bool) -> None:
    folder = old.engines.folder
    with old.engines.database.read() as session:
        large = session.scalars(sa.select(Version).join(Node).where(Node.name == "large")).one()
        small = session.scalars(sa.select(Version).join(Node).where(Node.name == "plate-3.csv")).one()
    old.engines.database.close()
    store = old.engines.store
    for key, content in ((large.key, LARGE), (small.key, FILES["runs/day 3/plate-3.csv"])):
        store.remove(key)
        if not is_gone:
            store.write(key, [content[:-1] + b"?"])
    what = "its content is missing" if is_gone else "its content is damaged"
    done = move(folder, bucket_site)
    assert done.exit_code == 1
    assert f"default: 'large', version {large.uid}: {what}" in done.output
    assert f"default: 'runs/day 3/plate-3.csv', version {small.uid}: {what}" in done.output
    assert "2 contents are missing or damaged" in done.output
    assert "--accept-damaged" in done.output
    store.write(large.key, [LARGE])
    outcome = moved(folder, bucket_site, "--accept-damaged")
    assert [line.partition(", version")[0] for line in outcome["damages"]] == ["default: 'runs/day 3/plate-3.csv'"]
    served = served_at(bucket_site, old.api)
    with contextlib.closing(served.engines.database):
        assert fetch(served.api, address_of(served.api, "large")) == LARGE
        assert [damage.path for damage in served.check().damages if isinstance(damage, fsck.Damage)] == [
            "runs/day 3/plate-3.csv"
        ]


def test_open_uploads_are_named_and_dropped_only_on_demand(old: Served, site: Site) -> None:
    folder = old.engines.folder
    upload = old.api.start("half", 2 * PART_SIZE)
    old.api.part(upload["id"], 1, bytes(PART_SIZE))
    old.engines.database.close()
    done = move(folder, site)
    assert done.exit_code == 1
    assert "1 uploads are open (default: 'half'), whose parts another store cannot take over" in done.output
    assert not (folder / MOVED).exists()
    assert moved(folder, site, "--drop-uploads")["ended"]
    served = served_at(site, old.api)
    with contextlib.closing(served.engines.database):
        refused(served.api.files("GET", f"/uploads/{upload['id']}"), 404, "not_found")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("nodes SET name = 'a' || char(0) || 'b' WHERE name = 'large'", r"default: 'a\x00b': name holds a NUL"),
        ("users SET last_name = 'a' || char(0)", "table users, row 1: last_name holds a NUL"),
        ("users SET last_name = hex(zeroblob(101))", "table users, row 1: last_name has more than 200 characters"),
        ("users SET key_count = 2147483648", "table users, row 1: key_count has more than 32 bits"),
        ("tokens SET scopes = '{'", "table tokens, row 1: scopes holds what is no JSON"),
    ],
)
def test_what_postgresql_does_not_take_is_named_before_anything_is_copied(
    old: Served, site: Site, change: str, sentence: str
) -> None:
    folder = old.engines.folder
    with old.engines.database.write_connection() as connection:
        connection.exec_driver_sql(f"UPDATE {change}")
    old.engines.database.close()
    done = move(folder, site)
    assert done.exit_code == 1
    assert sentence in done.output
    assert not (folder / MOVED).exists()
    assert site.database.revision() is None


def test_other_keys_are_not_overwritten(old: Served, site: Site) -> None:
    folder = old.engines.folder
    old.engines.database.close()
    (site.folder / "keys").mkdir()
    (site.folder / "keys" / "signing.key").write_bytes(bytes(32))
    done = move(folder, site)
    assert done.exit_code == 1
    assert "signing.key, without which nothing opens that the old server has sealed" in done.output
    assert not (folder / MOVED).exists()


def test_a_table_or_column_that_nobody_knows_is_named(old: Served, site: Site) -> None:
    folder = old.engines.folder
    with old.engines.database.write_connection() as connection:
        connection.exec_driver_sql("CREATE TABLE gone_plots (id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql("ALTER TABLE users ADD COLUMN shoe_size INTEGER")
    old.engines.database.close()
    done = move(folder, site)
    assert done.exit_code == 1
    assert "has what nothing here knows (gone_plots, users.shoe_size); install the plugin" in done.output
    assert not (folder / MOVED).exists()


@folder_only("what two data folders share")
def test_content_that_stays_where_it_is_is_compared_there(old: Served, tmp_path: Path) -> None:
    folder = old.engines.folder
    before = read(old.api)
    old.engines.database.close()
    with scratch_postgresql() as opened:
        site = site_at(tmp_path / "site", opened, f"[storage]\ndirectory = {json.dumps(str(folder))}\n")
        assert moved(folder, site)["contents"] == len(FILES) + 2
        served = served_at(site, old.api)
        with contextlib.closing(served.engines.database):
            assert read(served.api) == before


def test_after_a_full_disk_a_move_goes_on(old: Served, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = old.engines.folder
    old.engines.database.close()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "write", full)
        done = move(folder, site)
    assert done.exit_code == 1
    assert "cannot be used (No space left on device)" in done.output
    assert moved(folder, site)["ended"]


def test_the_content_of_plugins_is_moved(bring: Bring, tmp_path: Path, bucket_site: Site) -> None:
    """Also where no digest of it is in the database."""
    bring(LABORATORY, TABLES)
    folder = tmp_path / "old"
    engines, _, _ = start.prepare(folder)
    store = engines.store.part("lab")
    keys = [store.new_key() for _ in range(3)]
    for n, key in enumerate(keys[:2]):
        store.write(key, [b"plot" * n])
    with engines.database.write_connection() as connection:
        for n, key in enumerate(keys):
            connection.exec_driver_sql(
                "INSERT INTO lab_plots (id, uid, organization_id, name, content) VALUES (?, ?, 1, 'plot', ?)",
                (n + 1, str(n), key),
            )
    engines.database.close()
    done = move(folder, bucket_site)
    assert done.exit_code == 1
    assert "table lab_plots, row 3: the content that content names is missing" in done.output
    assert moved(folder, bucket_site, "--accept-damaged")["contents"] == 2
    engines, _, _ = start.prepare(bucket_site.folder)
    with contextlib.closing(engines.database):
        there = engines.store.part("lab")
        assert [b"".join(there.open(key)) for key in keys[:2]] == [b"", b"plot"]


def test_an_interrupted_move_says_how_it_goes_on(old: Served, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = old.engines.folder
    old.engines.database.close()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(moving_command._Mover, "_copy_contents", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        start_move(folder, site)
    assert caught.value.__notes__ == ["run it again, and it goes on where it was"]
