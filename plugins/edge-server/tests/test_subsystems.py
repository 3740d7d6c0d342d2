"""Server halves that other people's plugins bring: what they can do, and what stops the start."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import sqlalchemy as sa

from edge_server.base.problems import CannotStart
from edge_server.data.database import FILE_NAME, SERVER, Database, NotMigrated
from edge_server.data.declarative import Base
from edge_server.data.migration import own_history
from edge_server.keys.signing import Signer
from edge_server.run import app, openapi
from edge_server.run.start import migrate_only, prepare
from edge_server.testing.local_server import EdgeServer
from edge_server.web.engines import Engines
from edge_server.web.subsystems import Subsystem

from .bringing import FIRST, GOOD, Bring
from .engines import is_postgresql, sqlite_only
from .wire import Api, client, refused

SECOND = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    op.add_column("lab_words", sa.Column("language", sa.String(10)))
"""


def start(tmp_path: Path) -> None:
    """What a server does before it listens; a database that others share is migrated by a command before."""
    (tmp_path / "data").mkdir(exist_ok=True)
    if is_postgresql():
        migrate_only(tmp_path / "data")
    engines, loaded, _ = prepare(tmp_path / "data")
    app.build(engines, loaded)


def installed(tmp_path: Path) -> list[Subsystem]:
    return loaded(tmp_path)[1]


def loaded(data: Path) -> tuple[Engines, list[Subsystem]]:
    engines = app.engines_at(data, Signer(b""))
    return engines, app.load(engines)


def backups(tmp_path: Path) -> int:
    return len(list((tmp_path / "data" / "backups").glob("*.sqlite3")))


def kept(tmp_path: Path) -> list[str]:
    with contextlib.closing(Database(tmp_path / "data" / FILE_NAME)) as database, database.read() as session:
        return list(session.scalars(sa.text("SELECT text FROM lab_words")))


@pytest.mark.slow
def test_a_plugin_adds_addresses_rules_and_tables(bring: Bring, tmp_path: Path) -> None:
    bring()
    server = EdgeServer(tmp_path / "data")
    try:
        server.start()
        organization = server.create_organization()
        developer = server.create_user(organization=organization, roles=["developer"])
        member = server.create_user(organization=organization)
        writes = client(server, server.create_token(developer), organization)
        reads = client(server, server.create_token(member), organization)
        nobody = client(server, None, organization)
        words = f"/v1/orgs/{organization}/lab/words"
        key = {"Idempotency-Key": "once"}
        for _ in range(2):
            assert writes.call("POST", words, json={"text": "hood"}, headers=key).status_code == 201
        assert reads.call("GET", words).json() == {"text": "1"}, "sent twice under one key, done once"
        refused(reads.call("POST", words, json={"text": "x"}), 403, "forbidden")
        refused(nobody.call("GET", words), 401, "unauthenticated")
        refused(reads.call("GET", words.replace(organization, "default")), 404, "not_found")
        refused(writes.call("POST", words, json={"text": "x", "more": 1}), 422, "bad_entry")
        offered = nobody.call("GET", "/v1/meta").json()["subsystems"]
        assert {"files", "lab"} <= set(offered)
        server.restart()
        assert client(server, reads.token, organization).call("GET", words).json() == {"text": "1"}
    finally:
        server.close()


def test_its_operations_are_described(bring: Bring) -> None:
    bring()
    paths = openapi.document(plugins=True)["paths"]
    assert paths["/v1/orgs/{org}/lab/words"]["post"]["operationId"] == "lab.words.add"
    assert paths["/v1/orgs/{org}/lab/words"]["post"]["x-permission"] == "developer"
    assert "/v1/orgs/{org}/lab/words" not in openapi.document()["paths"], "the document that is kept is the server's"


def test_its_tables_are_migrated_after_a_backup(bring: Bring, tmp_path: Path) -> None:
    bring()
    start(tmp_path)
    assert backups(tmp_path) == 0, "there was nothing yet"
    start(tmp_path)
    assert backups(tmp_path) == 0, "nothing was due"
    bring(GOOD, FIRST, SECOND)
    with pytest.raises(
        NotMigrated, match=r"tables of lab .* revision 0001 and lab-plugin 1\.0 needs 0002; `edge server"
    ):
        app.require_migrated(*loaded(tmp_path / "data"))
    start(tmp_path)
    assert backups(tmp_path) == (0 if is_postgresql() else 1)


@sqlite_only("copies of the file")
def test_a_server_that_had_no_plugin_is_backed_up_before_its_first_plugin(bring: Bring, tmp_path: Path) -> None:
    start(tmp_path)
    bring()
    start(tmp_path)
    assert backups(tmp_path) == 1


def test_a_migration_that_fails_leaves_all_as_it_was(bring: Bring, tmp_path: Path) -> None:
    bring()
    start(tmp_path)
    with contextlib.closing(Database(tmp_path / "data" / FILE_NAME)) as database, database.write(SERVER) as session:
        session.execute(sa.text("INSERT INTO lab_words VALUES ('hood')"))
    bring(GOOD, FIRST, SECOND + "    op.drop_table('lab_words')\n    raise KeyError('the instrument is gone')\n")
    with pytest.raises(CannotStart, match=r"lab-plugin 1\.0 cannot migrate its tables, .*KeyError.*DISABLE_PLUGINS"):
        start(tmp_path)
    assert kept(tmp_path) == ["hood"]
    bring(GOOD, FIRST, SECOND)
    start(tmp_path)
    assert kept(tmp_path) == ["hood"]


def test_tables_of_a_newer_plugin_are_left_alone(bring: Bring, tmp_path: Path) -> None:
    bring(GOOD, FIRST, SECOND)
    start(tmp_path)
    (bring() / "lab_migrations" / "v2.py").unlink()
    with pytest.raises(NotMigrated, match=r"0002, which lab-plugin 1\.0 does not know; a newer lab-plugin made it"):
        start(tmp_path)


def test_without_its_plugin_the_server_starts_and_keeps_the_tables(
    bring: Bring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring()
    start(tmp_path)
    monkeypatch.setenv("EDGE_DISABLE_PLUGINS", "lab-plugin")
    start(tmp_path)
    assert kept(tmp_path) == []


BROKEN = {
    "it raises": ("raise RuntimeError('no licence')", "cannot be loaded: .*RuntimeError: no licence"),
    "it states no contract": (GOOD.replace("plugin_api = 1", ""), "states no plugin contract"),
    "it returns nothing": (
        "plugin_api = 1\ndef server(context): pass",
        "returned None",
    ),
    "it returns something else": ("plugin_api = 1\ndef server(context): return 7", "gave a int; .*context.subsystem"),
    "its role cannot be": (GOOD.replace('who="member"', 'who="king"'), "no role 'king'; the roles are anyone, user"),
    "a table is not its own": (GOOD.replace('"lab_words"', '"tokens"'), "table 'tokens'; .* calls it lab_tokens"),
    "no migrations": (GOOD.replace(", migrations=migrations", ""), "has tables and no migrations"),
    "an operation without a rule": (GOOD.replace(', who="developer"', ""), "missing .* argument: 'who'"),
    "an operation of another": (
        GOOD.replace('"lab.words.count", "GET"', '"files.list", "GET"'),
        "operation 'files.list'",
    ),
    "an address of another": (
        GOOD.replace("context.routes()", 'context.routes("/v1/orgs/<org>/files")'),
        "address /v1/orgs/<org>/files/words",
    ),
    "an address without an organization": (
        GOOD.replace("context.routes()", 'context.routes("/v1/lab")'),
        "role in an organization for lab.words.count, and /v1/lab/words names none|for lab.words.add",
    ),
    "an operation twice": (
        GOOD.replace('"lab.words.count", "GET"', '"lab.words.add", "GET"'),
        "operation lab.words.add twice",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_stops_the_start_with_a_sentence(
    what: str, bring: Bring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, sentence = BROKEN[what]
    bring(source)
    folder = tmp_path / "data"
    folder.mkdir()
    engines = app.engines_at(folder, Signer(b""))
    with pytest.raises(CannotStart, match=sentence) as raised:
        app.build(engines, app.load(engines))
    assert "'lab' of lab-plugin 1.0" in str(raised.value)
    assert str(raised.value).endswith("start without it: EDGE_DISABLE_PLUGINS=lab-plugin")
    monkeypatch.setenv("EDGE_DISABLE_PLUGINS", "lab-plugin")
    assert "lab" not in [subsystem.name for subsystem in installed(tmp_path)]


@pytest.mark.parametrize("point", ["files", "billing", "tokens", "meta", "users", "whoami", "admin"])
def test_no_plugin_takes_a_name_of_the_servers(point: str, bring: Bring, tmp_path: Path) -> None:
    bring(point=point)
    with pytest.raises(CannotStart, match=rf"'{point}' of lab-plugin 1\.0 cannot be used: .*choose another"):
        installed(tmp_path)


def test_two_plugins_of_the_same_name_stop_the_start(
    bring: Bring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring()
    bring(name="twin-plugin")
    with pytest.raises(CannotStart, match=r"lab-plugin 1\.0 and twin-plugin 1\.0|twin-plugin 1\.0 and lab-plugin 1\.0"):
        installed(tmp_path)
    monkeypatch.setenv("EDGE_DISABLE_PLUGINS", "twin-plugin")
    assert "lab-plugin" in [each.plugin.distribution for each in installed(tmp_path) if each.plugin is not None]


def test_two_newest_migrations_stop_the_start(bring: Bring, tmp_path: Path) -> None:
    bring(GOOD, FIRST, SECOND, SECOND.replace('"0002"', '"0003"'))
    with pytest.raises(CannotStart, match="has 2 newest migrations"):
        start(tmp_path)


def test_a_column_that_no_migration_makes_stops_the_start(bring: Bring, tmp_path: Path) -> None:
    bring()
    start(tmp_path)
    bring(GOOD.replace("sa.String(100)))", 'sa.String(100)), sa.Column("language", sa.String(10)))'))
    sentence = (
        r"lab-plugin 1\.0 has a column lab_words\.language that no migration makes; "
        r"its author writes one with `edge plugins migration lab -m \.\.\.`; .*DISABLE_PLUGINS"
    )
    with pytest.raises(CannotStart, match=sentence):
        start(tmp_path)
    with pytest.raises(CannotStart, match=sentence):
        app.require_migrated(*loaded(tmp_path / "data"))  # as each worker does


def test_a_table_that_no_migration_makes_stops_the_start(bring: Bring, tmp_path: Path) -> None:
    bring(GOOD + 'sa.Table("lab_pages", metadata, sa.Column("text", sa.String(100)))\n')
    with pytest.raises(CannotStart, match="has a table lab_pages that no migration makes"):
        start(tmp_path)


def test_a_column_that_the_code_does_not_know_is_no_error(bring: Bring, tmp_path: Path) -> None:
    bring()
    start(tmp_path)
    with contextlib.closing(Database(tmp_path / "data" / FILE_NAME)) as database, database.write(SERVER) as session:
        # As during an upgrade host by host, where a newer one has migrated already.
        session.execute(sa.text("ALTER TABLE lab_words ADD COLUMN language TEXT"))
        session.execute(sa.text("ALTER TABLE users ADD COLUMN mood TEXT"))
        if not database.is_shared:  # there, the table is taken for a stranger's at the revision that this code knows
            session.execute(sa.text("CREATE TABLE moods (id INTEGER)"))
    start(tmp_path)
    app.require_migrated(*loaded(tmp_path / "data"))


def test_a_column_of_the_servers_own_that_no_migration_makes_stops_the_start(tmp_path: Path) -> None:
    start(tmp_path)
    newer = sa.MetaData()
    for table in Base.metadata.sorted_tables:
        table.to_metadata(newer)
    newer.tables["users"].append_column(sa.Column("mood", sa.Text()))
    with contextlib.closing(Database(tmp_path / "data" / FILE_NAME)) as database:
        own_history(Base.metadata).require_migrated(database)
        with pytest.raises(NotMigrated, match=r"this server has a column users\.mood that no migration makes"):
            own_history(newer).require_migrated(database)


REFERENCE = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0001", None
def upgrade():
    op.create_table(
        "lab_words",
        sa.Column("text", sa.String(100)),
        sa.Column("whose", sa.Integer, sa.ForeignKey("{owner}.id"{ondelete})),
    )
"""


@pytest.mark.parametrize(
    ("owner", "ondelete", "starts"),
    [
        ("organizations", "", False),
        ("organizations", ", ondelete='RESTRICT'", False),
        ("organizations", ", ondelete='CASCADE'", True),
        ("organizations", ", ondelete='SET NULL'", True),
        ("users", "", False),
        ("users", ", ondelete='CASCADE'", True),
        ("users", ", ondelete='RESTRICT'", True),
    ],
)
def test_a_reference_says_what_becomes_of_its_rows_or_stops_the_start(
    bring: Bring, tmp_path: Path, owner: str, ondelete: str, starts: bool
) -> None:
    bring(GOOD, REFERENCE.format(owner=owner, ondelete=ondelete))
    if starts:
        start(tmp_path)
        return
    sentence = (
        rf"lab-plugin 1\.0 has a reference lab_words\.whose to {owner} that does not say what becomes of the row; "
        r'its author gives it ondelete="CASCADE", .*EDGE_DISABLE_PLUGINS=lab-plugin'
    )
    with pytest.raises(CannotStart, match=sentence):
        start(tmp_path)


def test_a_reference_of_a_plugin_that_is_not_in_use_is_warned_of(
    bring: Bring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bring(GOOD, REFERENCE.format(owner="organizations", ondelete=""))
    with pytest.raises(CannotStart):
        start(tmp_path)
    monkeypatch.setenv("EDGE_DISABLE_PLUGINS", "lab-plugin")
    start(tmp_path)
    assert "lab_words.whose to organizations that does not say what becomes of the row" in caplog.text


@pytest.mark.slow
def test_the_command_says_it_in_a_line(bring: Bring, tmp_path: Path) -> None:
    bring("raise RuntimeError('no licence')")
    server = EdgeServer(tmp_path / "data")
    with pytest.raises(RuntimeError, match="did not start"):
        server.start()
    (line,) = server.log.strip().splitlines()
    assert line.startswith("Error: the server half 'lab' of lab-plugin 1.0 cannot be loaded")
    server.close()


def test_a_good_plugin_beside_the_servers_own_routes(bring: Bring, api: Api) -> None:
    # The server of all tests has what is installed where they run, edge-template among it.
    assert "template" in api.call("GET", "/v1/meta").json()["subsystems"]
