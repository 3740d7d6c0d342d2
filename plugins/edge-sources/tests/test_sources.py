"""`session.sources`, against a live server."""

from __future__ import annotations

import contextlib
import json
import pickle
import socket
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edge_core import registry
from edge_core.errors import AlreadyExists, BadEntry, Conflict, Forbidden, NotFound
from edge_core.session import EdgeSession
from edge_server.testing.local_server import EdgeServer
from edge_server.testing.pytest_plugin import Join
from edge_sources import connection as connections
from edge_sources.cli import sources as command
from edge_sources.connection import Connection, ConnectionStatus, class_of, kinds
from edge_sources.openapi import OpenAPIConnection
from edge_sources.s3 import S3Connection
from edge_sources.sql import SQLConnection
from tests.object_stores import free_port

PASSWORD = "connector-pass-4b1d2c"


def lims(name: str = "lims", **more: Any) -> SQLConnection:
    content = {"host": "db.example.com", "port": 5432, "db_kind": "postgresql", "db_name": "lims", "username": "reader"}
    return SQLConnection(name, "LIMS", **{**content, "password": PASSWORD, **more})


def test_a_connection_comes_back_as_it_was_added(ada: EdgeSession, dev: EdgeSession) -> None:
    connections = [
        lims(),
        S3Connection("plates", "Plates", "plates", "https://s3.example.com", "AKIAKEY", PASSWORD),
        OpenAPIConnection("pets", "Pets", "https://pets.example.com/openapi.json", token=PASSWORD),
    ]
    for connection in connections:
        dev.sources.add(connection)
        received = ada.sources.get(connection.name)
        assert type(received) is type(connection)
        assert received.to_dict() == connection.to_dict()
        assert received.uid is not None
        assert ada.sources.get(received.uid).name == connection.name
    assert ada.sources.list() == ada.sources.list_names() == ["lims", "pets", "plates"]


def test_get_refuses_a_connector_of_another_class(ada: EdgeSession, dev: EdgeSession) -> None:
    dev.sources.add(lims())
    assert ada.sources.get("lims", kind=SQLConnection).host == "db.example.com"
    with pytest.raises(BadEntry, match="of the class SQLConnection, not S3Connection"):
        ada.sources.get("lims", kind=S3Connection)


def test_update_changes_and_renames(ada: EdgeSession, dev: EdgeSession) -> None:
    dev.sources.add(lims())
    connection = dev.sources.get("lims")
    assert isinstance(connection, SQLConnection)
    connection.name, connection.title, connection.host, connection.password = (
        "lims-2",
        "New",
        "db2.example.com",
        "other",
    )
    dev.sources.update(connection)
    assert ada.sources.list() == ["lims-2"]
    assert ada.sources.get("lims-2").to_dict() == connection.to_dict()
    dev.sources.update(lims("lims-2", username=None))  # by hand: by its name, whatever it was
    again = ada.sources.get("lims-2")
    assert isinstance(again, SQLConnection)
    assert (again.uid, again.title, again.username) == (connection.uid, "LIMS", None)


def test_the_second_of_two_updates_is_a_conflict(dev: EdgeSession) -> None:
    dev.sources.add(lims())
    first, second = dev.sources.get("lims"), dev.sources.get("lims")
    first.title = "First"
    dev.sources.update(first)
    second.title = "Second"
    with pytest.raises(Conflict):
        dev.sources.update(second)
    assert dev.sources.get("lims").title == "First"


def test_the_times_are_those_of_adding_and_of_the_last_change(dev: EdgeSession) -> None:
    dev.sources.add(lims())
    (added,) = dev.sources.scan()
    assert added.created_at == added.modified_at
    dev.sources.update(lims(port=5433))
    (changed,) = dev.sources.scan()
    assert changed.created_at == added.created_at < changed.modified_at


def test_remove_by_name_and_uid(dev: EdgeSession) -> None:
    by_uid = lims("second")
    dev.sources.add(lims("first"))
    dev.sources.add(by_uid)
    dev.sources.remove("first")
    assert by_uid.uid is not None
    dev.sources.remove(by_uid.uid)
    assert dev.sources.list() == []
    for connection_id in ("first", by_uid.uid):
        with pytest.raises(NotFound):
            dev.sources.get(connection_id)
        with pytest.raises(NotFound):
            dev.sources.remove(connection_id)


def test_names_are_taken_once_and_are_plain(dev: EdgeSession) -> None:
    dev.sources.add(lims())
    with pytest.raises(AlreadyExists):
        dev.sources.add(lims())
    for name in ("", "..", "a/b", "a b", "x" * 129, "0b2a6d26-9a3c-4a63-8f5b-111111111111"):
        with pytest.raises(BadEntry):
            dev.sources.add(lims(name))
    with pytest.raises(BadEntry):
        dev.sources.get("../secrets")
    with pytest.raises(BadEntry):
        dev.sources.add("lims")  # type: ignore[arg-type]


def test_members_use_connectors_and_developers_change_them(ada: EdgeSession, dev: EdgeSession) -> None:
    dev.sources.add(lims())
    assert ada.sources.get("lims").name == "lims"
    with pytest.raises(Forbidden):
        ada.sources.add(lims("other"))
    with pytest.raises(Forbidden):
        ada.sources.update(lims())
    with pytest.raises(Forbidden):
        ada.sources.remove("lims")


def test_a_foreign_organization_shows_nothing(dev: EdgeSession, edge_join: Join, edge_server: EdgeServer) -> None:
    dev.sources.add(lims())
    uid = dev.sources.get("lims").uid
    assert uid is not None
    stranger = edge_join("developer", organization=edge_server.create_organization())
    assert stranger.sources.list() == []
    with pytest.raises(NotFound):
        stranger.sources.get(uid)


def test_lists_page_through(dev: EdgeSession) -> None:
    for n in range(5):
        dev.sources.add(lims(f"c{n}"))
    names = [entry["name"] for entry in dev.sources.http.items("", params={"limit": 2})]
    assert names == [f"c{n}" for n in range(5)]


def test_search_finds_connectors(ada: EdgeSession, dev: EdgeSession) -> None:
    connection = lims("plate-reader")
    dev.sources.add(connection)
    (result,) = ada.search("plate", kind="connector")
    assert (result.name, result.kind, result.uid, result.path) == ("plate-reader", "connector", connection.uid, None)
    connection.name = "spectrometer"
    dev.sources.update(connection)
    assert [result.name for result in ada.search("plate")] == []
    assert [result.name for result in ada.search("spectro")] == ["spectrometer"]
    dev.sources.remove("spectrometer")
    assert list(ada.search("spectro")) == []


def test_an_unknown_kind_is_listed_and_named_by_the_error_of_get(dev: EdgeSession) -> None:
    definition = {"name": "graph", "title": "Graph", "kind": "graphdb", "definition": {"x": 1}, "secret": {}}
    dev.sources.http.post("", json=definition)
    dev.sources.add(lims())
    assert dev.sources.list() == ["graph", "lims"]
    with pytest.raises(BadEntry, match="graphdb"):
        dev.sources.get("graph")


def test_fields_of_a_newer_client_stay_when_an_older_client_updates(dev: EdgeSession) -> None:
    dev.sources.add(lims())
    dev.sources.http.stream(
        "PATCH",
        "/lims",
        headers={"Content-Type": "application/merge-patch+json"},
        body=json.dumps({"definition": {"role": "analyst"}}).encode(),
    ).close()
    connection = dev.sources.get("lims")
    connection.title = "Renamed"
    dev.sources.update(connection)
    assert dev.sources.http.get("/lims")["definition"]["role"] == "analyst"


def test_an_invalid_definition_is_refused(dev: EdgeSession) -> None:
    definition = {"name": "lims", "title": "LIMS", "kind": "sql", "definition": {"db_kind": "paper"}, "secret": {}}
    dev.sources.http.post("", json=definition)
    with pytest.raises(BadEntry, match="paper"):
        dev.sources.get("lims")
    with pytest.raises(BadEntry, match="bucket"):
        S3Connection.from_dict({"name": "x", "title": "X"})


def test_secret_fields_are_marked_and_not_shown(dev: EdgeSession, edge_server: EdgeServer) -> None:
    dev.sources.add(lims())
    connection = dev.sources.get("lims")
    content = connection.to_dict()
    assert content["secret"] == {"password": PASSWORD}
    assert json.loads(json.dumps(content))["secret"] == {"password": PASSWORD}
    for text in (repr(connection), str(content), repr(connection.to_dict()["secret"]), repr(dev.sources)):
        assert PASSWORD not in text
    assert isinstance(connection, SQLConnection)
    assert PASSWORD not in repr(connection.engine)
    again = SQLConnection.from_dict(content)
    assert again.to_dict() == content
    assert pickle.loads(pickle.dumps(connection)).to_dict() == content


def test_credentials_are_sealed_in_the_database(dev: EdgeSession, edge_server: EdgeServer, tmp_path: Path) -> None:
    dev.sources.add(lims())
    dev.sources.get("lims")
    kept = b"".join(path.read_bytes() for path in edge_server.data.rglob("*") if path.is_file())
    assert b"db.example.com" in kept
    assert PASSWORD.encode() not in kept


def test_a_kind_of_a_third_party_in_under_40_lines(
    dev: EdgeSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "connectors.md").read_text()
    source = page.partition("```python\n# lab_redis.py\n")[2].partition("```")[0]
    assert 10 < len(source.splitlines()) < 40
    metadata = tmp_path / "lab_redis-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-redis\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[edge.connectors]\nredis = lab_redis:RedisConnection\n")
    (tmp_path / "lab_redis.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.rescan()
    connections._registry.cache_clear()
    try:
        added = class_of("redis")("cache", "Cache", "127.0.0.1", 1, PASSWORD)  # type: ignore[call-arg]
        dev.sources.add(added)
        connection = dev.sources.get("cache")
        assert connection.to_dict() == added.to_dict()
        assert PASSWORD not in repr(connection)
        assert connection.test(60) is ConnectionStatus.NO_CONNECTION
        with socket.create_server(("127.0.0.1", 0)) as listener:
            for answer, status in ((b"+OK\r\n", "VALID_CONNECTION"), (b"-WRONGPASS no\r\n", "BAD_CREDENTIALS")):
                import threading

                def serve(answer: bytes = answer) -> None:
                    with listener.accept()[0] as peer:
                        peer.recv(1000)
                        peer.sendall(answer)

                thread = threading.Thread(target=serve)
                thread.start()
                connection.port = listener.getsockname()[1]  # type: ignore[attr-defined]
                assert connection.test(60).value == status
                thread.join()
    finally:
        monkeypatch.undo()
        registry.rescan()
        connections._registry.cache_clear()


def test_the_kinds_that_come_with_it() -> None:
    assert kinds() == ["openapi", "s3", "sql"]


def test_a_test_ends_in_time_whatever_the_connection_does() -> None:
    class Hangs(Connection):
        kind = "hangs"

        def check(self, timeout: float) -> None:
            time.sleep(600)

    started = time.monotonic()
    assert Hangs("x", "X").test(0.2) is ConnectionStatus.NO_CONNECTION
    assert time.monotonic() - started < 120
    with pytest.raises(BadEntry):
        Hangs("x", "X").test(0)


@pytest.mark.slow
def test_a_port_that_swallows_packets_is_no_connection() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        port = listener.getsockname()[1]
        for connection in (
            S3Connection("a", "A", "bucket", f"http://127.0.0.1:{port}", "key", "secret"),
            lims(host="127.0.0.1", port=port),
            lims(host="127.0.0.1", port=port, db_kind="mariadb"),
            OpenAPIConnection("c", "C", f"http://127.0.0.1:{port}/openapi.json"),
        ):
            started = time.monotonic()
            assert connection.test(1) is ConnectionStatus.NO_CONNECTION
            assert time.monotonic() - started < 120


@pytest.fixture
def run(dev: EdgeSession) -> Callable[..., Result]:
    """Calls `edge sources` as a developer."""

    def call(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(command, arguments, obj=lambda: contextlib.nullcontext(dev), **options)

    return call


def test_what_show_prints_is_what_add_takes(dev: EdgeSession, run: Callable[..., Result], tmp_path: Path) -> None:
    dev.sources.add(SQLConnection("semi", "Semi", db_kind="sqlite", db_name="semi.sqlite3"))
    shown = run("show", "semi", "--json").stdout
    dev.sources.remove("semi")
    assert run("add", input=shown).exit_code == 0
    assert dev.sources.get("semi").to_dict() | {"uid": None} == json.loads(shown) | {
        "uid": None,
        "secret": {"password": None},
    }

    dev.sources.add(lims())
    shown = run("show", "lims", "--json").stdout
    changed = {**json.loads(shown), "host": "db2.example.com"}
    assert run("add", "--update", input=json.dumps(changed)).exit_code == 0
    kept = dev.sources.get("lims", kind=SQLConnection)
    assert (kept.host, kept.password) == ("db2.example.com", PASSWORD)

    refused = run("add", input=json.dumps({**changed, "name": "lims-2"}))
    assert 'write them as in "secret": {"password": "..."}' in str(refused.exception)
    assert dev.sources.list() == ["lims", "semi"]
    assert run("add", input=json.dumps({**changed, "name": "lims-2", "password": "new"})).exit_code == 0
    assert isinstance(run("add", input=json.dumps({**changed, "secret": "password"})).exception, BadEntry)


def test_an_update_keeps_the_credentials_that_it_does_not_give(dev: EdgeSession, run: Callable[..., Result]) -> None:
    dev.sources.add(lims())
    content = {name: value for name, value in lims().to_dict().items() if name not in ("secret", "uid")}
    for more, password in (
        ({}, PASSWORD),
        ({"secret": {}}, PASSWORD),
        ({"password": "beside"}, "beside"),
        ({"secret": {"password": "new"}}, "new"),
        ({"secret": {"password": None}}, None),
    ):
        assert run("add", "--update", input=json.dumps({**content, **more})).exit_code == 0
        assert dev.sources.get("lims", kind=SQLConnection).password == password


def test_a_test_that_fails_says_why(dev: EdgeSession, run: Callable[..., Result], tmp_path: Path) -> None:
    table = tmp_path / "semi.csv"
    table.write_text("plate;value\n" * 200)
    dev.sources.add(SQLConnection("semi", "Semi", db_kind="sqlite", db_name=str(table)))
    failed = run("test", "semi", "--timeout", "60")
    assert (failed.exit_code, failed.stdout) == (1, "NO_CONNECTION\n")
    assert "the file is not an SQLite database; correct db_name" in failed.stderr
    assert "not an SQLite database" in json.loads(run("test", "semi", "--json").stdout)["reason"]
    semi = dev.sources.get("semi", kind=SQLConnection)
    assert semi.reason is None
    assert semi.test(60) is ConnectionStatus.NO_CONNECTION
    assert "not an SQLite database" in str(semi.reason)
    (tmp_path / "empty.sqlite3").touch()
    semi.db_name = str(tmp_path / "empty.sqlite3")
    assert semi.test(60) is ConnectionStatus.VALID_CONNECTION
    assert semi.reason is None


@pytest.mark.parametrize(
    "connection_at",
    [
        lambda url: OpenAPIConnection("pets", "Pets", f"{url}/openapi.json"),
        lambda url: S3Connection("plates", "Plates", "plates", url, "key", PASSWORD),
    ],
    ids=["openapi", "s3"],
)
def test_an_address_where_nothing_listens_is_named(connection_at: Callable[[str], Connection]) -> None:
    host = f"127.0.0.1:{free_port()}"
    connection = connection_at(f"http://{host}")
    assert connection.test(60) is ConnectionStatus.NO_CONNECTION
    assert f"nothing listens at {host}" in str(connection.reason)


def test_the_reason_of_a_failed_test_holds_no_text_of_another_library() -> None:
    class Leaks(Connection):
        kind = "leaks"

        def check(self, timeout: float) -> None:
            raise RuntimeError(f"no connection with {PASSWORD}")

    leaks = Leaks("x", "X")
    assert leaks.test(60) is ConnectionStatus.NO_CONNECTION
    assert leaks.reason == "x: the test failed (RuntimeError); check the connector"


def test_the_command(dev: EdgeSession, run: Callable[..., Result], tmp_path: Path) -> None:
    assert run("list").stdout == ""
    assert "There are no connectors" in run("list").stderr
    path = tmp_path / "runs.sqlite3"
    path.touch()
    content = {"kind": "sql", "name": "lims", "title": "LIMS", "db_kind": "sqlite", "db_name": str(path)}
    added = run("add", "--json", input=json.dumps({**content, "password": PASSWORD}))
    assert added.exit_code == 0, added.output
    assert json.loads(added.stdout)["uid"] == dev.sources.get("lims").uid
    assert run("list").stdout == "lims\tsql\tLIMS\n"
    assert [entry["name"] for entry in json.loads(run("list", "--json").stdout)] == ["lims"]
    shown = run("show", "lims")
    assert str(path) in shown.stdout
    assert PASSWORD not in shown.stdout
    assert json.loads(run("show", "lims", "--json").stdout)["secret"] == ["password"]
    assert run("test", "lims", "--timeout", "60").stdout == "VALID_CONNECTION\n"
    path.unlink()
    gone = run("test", "lims", "--timeout", "60", "--json")
    assert (gone.exit_code, json.loads(gone.stdout)["status"]) == (1, "NO_CONNECTION")
    (tmp_path / "c.json").write_text(json.dumps({**content, "title": "New"}))
    assert run("add", "--update", "--file", str(tmp_path / "c.json")).exit_code == 0
    assert dev.sources.get("lims").title == "New"
    assert run("add", input="{").exit_code == 1
    assert run("remove", "lims", "--json").exit_code == 0
    assert run("remove", "lims").exit_code == 1
    assert dev.sources.list() == []
