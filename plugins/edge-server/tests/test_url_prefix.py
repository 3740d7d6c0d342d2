"""A server whose addresses begin with a path, as behind a proxy that hands on a part of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import flask
import pytest
from click.testing import CliRunner

from edge_core.session import EdgeSession
from edge_server.base.problems import CannotStart
from edge_server.run import data_folder, openapi, process, start
from edge_server.run.command import server
from edge_server.testing.local_server import EdgeServer
from edge_server.web import url_prefix

from .pairs import single_host_only
from .stores import FOLDER, kind
from .test_idempotency import new_key, post, same
from .test_running import children_of, wait_for
from .wire import Api, client, close_all, refused, session

PREFIX = "/services/api"


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeServer]:
    """A running server with a prefix, and two processes, by its settings."""
    own = EdgeServer(tmp_path_factory.mktemp("prefixed") / "data")
    own.data.mkdir(mode=0o700)
    (own.data / "server.toml").write_text(f'[server]\nurl_prefix = "{PREFIX}/"\nworkers = 2\n')
    own.start("--access-log")
    yield own
    close_all()
    own.close()


@pytest.fixture
def own(prefixed: EdgeServer) -> Api:
    return client(prefixed, prefixed.create_token("admin"), "default")


def test_a_client_does_everything_below_it(prefixed: EdgeServer, tmp_path: Path) -> None:
    access = data_folder.local_access(prefixed.data)
    assert urlsplit(access.url).path == PREFIX
    large = bytes(range(256)) * 40_000  # more than a part
    (tmp_path / "source").write_bytes(large)
    with EdgeSession(access.token, access.url, access.organization) as edge:
        edge.files.upload("large", tmp_path / "source")
        edge.files.upload("small", b"small")
        edge.files.download("large", tmp_path / "large")
        assert (tmp_path / "large").read_bytes() == large
        url = edge.files.open("small").download_url()
        assert url.startswith(f"{access.url}/v1/")
        assert session().get(url, timeout=60).content == b"small"


def test_what_is_signed_or_kept_or_elsewhere_holds_below_it(own: Api) -> None:
    own.put("file", b"content")
    url = own.files("GET", "/download-url", params={"path": "file"}).json()["url"]
    assert own.signed("GET", url).content == b"content"
    key = new_key()
    first = post(own, "/folders", key, {"path": "folder"})
    assert first.status_code == 201
    same(post(own, "/folders", key, {"path": "folder"}), first)
    upload = own.start("sent", 5)
    own.part(upload["id"], 1, b"bytes")
    assert own.complete_by_digest(upload["id"], [b"bytes"]).status_code == 200
    large = bytes(9 << 20)
    assert own.upload("elsewhere", large).status_code == 200
    elsewhere = own.get("elsewhere")
    assert elsewhere.status_code == 307
    where = urljoin(elsewhere.url, elsewhere.headers["Location"])
    assert where.startswith(f"{own.url}/v1/") == (kind() == FOLDER)
    assert session().get(where, timeout=60).content == large


@pytest.mark.parametrize("path", ["/v1/users/me", "/healthz", f"{PREFIX}v1/users/me", "/services/v1/users/me", PREFIX])
def test_elsewhere_there_is_nothing(own: Api, path: str) -> None:
    root = own.url.removesuffix(PREFIX)
    for method in ("GET", "POST"):
        answer = session().request(method, f"{root}{path}", timeout=60, data=b"x" * (method == "POST"))
        assert refused(answer, 404, "unknown_route")["detail"].startswith(
            f"the addresses of this server begin with {PREFIX};"
        )


@single_host_only("its log")
def test_a_line_of_the_access_log_has_all_of_the_address(own: Api, prefixed: EdgeServer) -> None:
    own.call("GET", "/v1/meta")
    log = prefixed.data / "logs" / "access.log"
    wait_for(lambda: f'"GET {PREFIX}/v1/meta"' in log.read_text())  # written after the answer


def test_the_settings_say_how_many_processes_answer(prefixed: EdgeServer) -> None:
    wait_for(lambda: len(children_of(prefixed.pid)) == 2)  # the first answers before the other is there


def test_the_description_names_it() -> None:
    assert openapi.document(url_prefix=PREFIX)["servers"] == [{"url": PREFIX}]
    assert "servers" not in openapi.document()


@pytest.mark.parametrize(
    ("text", "prefix"), [("", ""), ("/", ""), ("/api", "/api"), ("/a/b/", "/a/b"), ("/a-b.c_d~e", "/a-b.c_d~e")]
)
def test_a_prefix_is_a_path_without_a_slash_at_its_end(text: str, prefix: str) -> None:
    assert url_prefix.parse(text) == prefix


@pytest.mark.parametrize("text", ["api", "/a//b", "/a b", "/../a", "/.", "http://host/api", "/a?b", "/é", "/a%20b"])
def test_what_is_no_prefix_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='^write a path such as "/services/api"'):
        url_prefix.parse(text)
    (tmp_path / "server.toml").write_text(f'[server]\nurl_prefix = "{text}"\n')
    with pytest.raises(CannotStart, match=r'server\.url_prefix: write a path such as "/services/api"'):
        start.prepare(tmp_path)
    shown = CliRunner().invoke(server, ["run", "--data", str(tmp_path / "data"), "--url-prefix", text])
    assert (shown.exit_code, "--url-prefix: write a path" in shown.output) == (2, True)
    shown = CliRunner().invoke(openapi.main, ["--url-prefix", text, str(tmp_path / "openapi.json")])
    assert (shown.exit_code, "write a path" in shown.output) == (2, True)


@pytest.mark.parametrize("workers", ["0", "65", '"two"', "1.5", "true"])
def test_what_is_no_number_of_processes_is_refused(workers: str, tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text(f"[server]\nworkers = {workers}\n")
    with pytest.raises(CannotStart, match=r"server\.workers: "):
        start.prepare(tmp_path)


def test_a_system_with_a_single_process_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.os, "name", "nt")
    process.require_able(1)
    with pytest.raises(CannotStart, match="in one process on this system, not in 2; leave out workers"):
        process.require_able(2)


def test_without_a_prefix_nothing_is_taken_off() -> None:
    app = flask.Flask("test")
    inner = app.wsgi_app
    url_prefix.install(app, "")
    assert app.wsgi_app == inner
    assert url_prefix.of(app) == ""
