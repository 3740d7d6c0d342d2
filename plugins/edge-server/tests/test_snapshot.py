"""A request reads the database in one transaction, and holds no connection while a client is slow."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from edge_server.data import database
from edge_server.data.database import SERVER, Database
from edge_server.data.migration import own_history
from edge_server.files import tree
from edge_server.identity import directory
from edge_server.keys.signing import Signer
from edge_server.run import app
from edge_server.web.context import Context
from edge_server.web.engines import Engines

from .work import Watch, Work

FILES = "/v1/orgs/lab/files"


class Server:
    """A server in this process, asked by a member of the organization lab who also runs it."""

    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        self.app = app.build(engines)
        with engines.database.write(SERVER) as session:
            user = directory.create_user(session, "ada", server_admin=True)
            organization = directory.create_organization(session, [tree.plant], "lab")
            directory.add_member(session, user, organization, ["admin"])
            self.token = directory.create_token(session, user)

    def call(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return self.app.test_client().open(path, method=method, headers=headers, **options)

    def watched(self, method: str, path: str, **options: Any) -> tuple[TestResponse, list[Work]]:
        """The answer to a request, and its transactions."""
        with Watch(self.engines.database).watching() as done:
            answer = self.call(method, path, buffered=True, **options)
        return answer, done

    @property
    def connections(self) -> int:
        """How many connections to the database are in use."""
        pool: Any = self.engines.database.engine.pool
        count: int = pool.checkedout()
        return count


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with contextlib.closing(Database(folder / database.FILE_NAME)) as opened:
        own_history().upgrade(opened)
        engines = app.engines_at(folder, Signer(b""), database=opened)
        engines.store.create()
        server = Server(engines)
        assert server.call("PUT", f"{FILES}/content?path=a.txt", data=b"x" * 1000).status_code == 201
        yield server


class Observed(io.BytesIO):
    """A body that notes how many connections are in use while it is waited for."""

    def __init__(self, server: Server, content: bytes) -> None:
        super().__init__(content)
        self._server = server
        self.connections: set[int] = set()

    def read(self, size: int | None = -1) -> bytes:
        self.connections.add(self._server.connections)
        return super().read(size)

    def readinto(self, buffer: Any) -> int:
        self.connections.add(self._server.connections)
        return super().readinto(buffer)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/users/me",
        f"{FILES}/entries",
        f"{FILES}/entry?path=a.txt",
        f"{FILES}/content?path=a.txt",
        f"{FILES}/download-url?path=a.txt",
        "/v1/orgs/lab/search?query=txt",
        "/v1/users/me/tokens",
    ],
)
def test_a_request_that_reads_does_so_in_a_single_transaction(server: Server, path: str) -> None:
    answer, transactions = server.watched("GET", path)
    assert answer.status_code == 200
    assert [transaction.writes for transaction in transactions] == [False]


@pytest.mark.parametrize(("path", "statements"), [("/healthz", 1), ("/v1/users/me", 2), (f"{FILES}/entries", None)])
def test_who_asks_is_looked_up_in_a_single_statement(server: Server, path: str, statements: int | None) -> None:
    executed: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        executed.append(statement)

    sa.event.listen(server.engines.database.root, "before_cursor_execute", note)
    try:
        assert server.call("GET", path).status_code == 200
    finally:
        sa.event.remove(server.engines.database.root, "before_cursor_execute", note)
    executed = [statement for statement in executed if not statement.startswith("BEGIN")]
    if statements is not None:
        assert len(executed) == statements
    assert sum("tokens.digest" in statement for statement in executed) == (path != "/healthz")
    if "/orgs/" in path:
        assert sum("memberships" in statement for statement in executed) == 1


def test_a_signed_address_is_looked_up_in_a_single_transaction(server: Server) -> None:
    address = server.call("GET", f"{FILES}/download-url?path=a.txt").json
    assert address is not None
    answer, transactions = server.watched("GET", f"/{address['url']}")
    assert answer.status_code == 200
    assert [transaction.writes for transaction in transactions] == [False]


def test_what_is_read_first_has_ended_before_anything_is_written(server: Server) -> None:
    folder = {"path": "runs"}
    answer, transactions = server.watched("POST", f"{FILES}/folders", json=folder)
    assert answer.status_code == 201
    assert [transaction.writes for transaction in transactions] == [False, True]
    answer, transactions = server.watched("PUT", f"{FILES}/content?path=b.txt", data=b"x")
    assert answer.status_code == 201
    assert [transaction.writes for transaction in transactions] == [False, True]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{FILES}/entry?path=missing", 404),
        ("GET", f"{FILES}/entry?unknown=x", 422),
        ("GET", "/v1/orgs/other/files/entries", 404),
        ("PUT", "/v1/users/me", 415),
        ("POST", f"{FILES}/folders", 415),
    ],
)
def test_a_refused_request_lets_go_of_its_connection(server: Server, method: str, path: str, status: int) -> None:
    assert server.call(method, path).status_code == status
    assert server.connections == 0


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("PUT", f"{FILES}/content?path=slow.txt", b"x" * 1000),
        ("POST", f"{FILES}/folders", b'{"path": "slow"}'),
        ("PUT", "/v1/users/me", b'{"first_name": "Ada"}'),
    ],
)
def test_a_slow_upload_holds_no_connection(server: Server, method: str, path: str, content: bytes) -> None:
    body = Observed(server, content)
    answer = server.call(
        method,
        path,
        input_stream=body,
        headers={"Content-Length": str(len(content)), "Content-Type": "application/json"},
    )
    assert answer.status_code in (200, 201)
    assert body.connections == {0}


@pytest.mark.parametrize("path", [f"{FILES}/content?path=a.txt", "/v1/admin/billing/report", "/v1/users/me"])
def test_a_slow_download_holds_no_connection(server: Server, path: str) -> None:
    answer = server.call("GET", path)
    assert answer.status_code == 200
    assert server.connections == 0
    for _ in answer.iter_encoded():
        assert server.connections == 0
    answer.close()


def test_a_plugin_sees_what_was_written_before_its_block(server: Server) -> None:
    headers = {"Authorization": f"Bearer {server.token}"}
    plugin = Context("lims", server.engines)
    with server.app.test_request_context("/v1/users/me", headers=headers):
        server.app.preprocess_request()
        assert server.connections == 1
        with server.engines.database.root.begin() as connection:
            connection.execute(sa.text("UPDATE users SET first_name = 'Ada'"))
        with plugin.read() as session:
            assert session.connection().scalar(sa.text("SELECT first_name FROM users")) == "Ada"
            assert server.connections == 1
        assert flask.g.get("caller").user_name == "ada"
