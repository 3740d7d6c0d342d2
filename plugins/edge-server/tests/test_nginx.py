"""Behind nginx: as the guide sets it up, and with nothing but `proxy_pass`."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import requests
import trustme

from edge_core.errors import BadEntry, ConnectionFailed, ServerError
from edge_core.session import EdgeSession
from edge_server.testing.local_server import EdgeServer
from tests.object_stores import free_port
from tests.waiting import wait_for

from . import nginx
from .stores import folder_only
from .wire import close_all

pytestmark = pytest.mark.slow

PREFIX = "/services/api"

SIZE = int(os.environ.get("EDGE_PROXIED_BYTES", "50000000"))
"""Bytes that travel through nginx in each direction: more than nginx takes, or buffers, by default."""

LONGEST_PATH = "/".join(["é" * 127] * 40)
"""One whose address is far longer than nginx takes by default."""


class Proxied(NamedTuple):
    """A server behind nginx as the guide says."""

    server: EdgeServer
    edge: EdgeSession
    url: str
    folder: Path
    ca: Path


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp("proxied")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    nginx.issue(ca, folder)
    settings = re.findall(r"^```toml\n(.*?)^```", nginx.GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[0]
    with _behind(folder, settings) as (server, url):
        edge = EdgeSession(server.create_token("admin"), url, "default", ca_bundle=str(folder / "ca.pem"))
        with edge:
            yield Proxied(server, edge, url, folder, folder / "ca.pem")


@contextlib.contextmanager
def _behind(folder: Path, settings: str) -> Iterator[tuple[EdgeServer, str]]:
    """A server with such settings behind the guide's nginx, and the address of that."""
    server = EdgeServer(folder / "data")
    server.data.mkdir(mode=0o700)
    (server.data / "server.toml").write_text(settings)
    own, port = folder / "nginx", free_port()
    own.mkdir()
    server.start("--access-log")
    try:
        with nginx.running(own, port, nginx.block_of_guide(server.url, port, folder, own)):
            yield server, f"https://127.0.0.1:{port}{PREFIX}"
    finally:
        close_all()
        server.close()


def _write(path: Path, size: int) -> str:
    """Fill a file with bytes that do not repeat, and return their SHA-256."""
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for at in range(0, size, 1 << 20):
            block = os.urandom(min(1 << 20, size - at))
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@folder_only("large files that pass through nginx, and not beside it to the store")
def test_large_files_pass_both_ways_and_are_not_written_to_its_disk(proxied: Proxied, tmp_path: Path) -> None:
    written = _write(tmp_path / "source", SIZE)
    proxied.edge.files.upload("large", tmp_path / "source")
    proxied.edge.files.download("large", tmp_path / "copy")
    assert _sha256(tmp_path / "copy") == written
    link = proxied.edge.files.open("large", open_with="file").download_url()
    assert link.startswith(f"{proxied.url}/v1/content/")
    digest = hashlib.sha256()
    with requests.get(link, stream=True, timeout=60, verify=proxied.ca) as answer:
        for block in answer.iter_content(1 << 20):
            digest.update(block)
    assert digest.hexdigest() == written
    # It removes such a file at once, and never the folders that it has made for it.
    assert [path for name in ("body", "proxy") for path in (proxied.folder / "nginx" / name).rglob("*")] == []


def test_a_long_path_and_odd_names_pass(proxied: Proxied) -> None:
    for path in (LONGEST_PATH, "a b/c%2Fd/é+&=?#;'\"/\\x"):
        folder, _, _ = path.rpartition("/")
        proxied.edge.files.make_folder(folder, exist_ok=True)
        proxied.edge.files.upload(path, b"content")
        with proxied.edge.files.open(path, open_with="file") as file:
            assert file.read() == b"content"
        assert proxied.edge.files.stat(path).size == 7


def test_a_request_id_passes_and_stands_in_its_log(proxied: Proxied) -> None:
    answer = requests.get(f"{proxied.url}/healthz", headers={"X-Request-ID": "asked-7"}, timeout=60, verify=proxied.ca)
    assert answer.status_code == 200
    assert answer.headers["X-Request-ID"] == "asked-7"
    # nginx writes the line after it has answered.
    wait_for(lambda: "asked-7" in (proxied.folder / "nginx" / "edge.log").read_text())


@folder_only("large files that pass through nginx, and not beside it to the store")
def test_what_it_logs_has_no_signature_and_no_token(proxied: Proxied) -> None:
    proxied.edge.files.upload("logged", bytes(9 << 20))
    link = proxied.edge.files.open("logged", open_with="file").download_url()
    assert requests.get(link, timeout=60, verify=proxied.ca).status_code == 200
    assert requests.get(link, timeout=60, verify=proxied.ca, headers={"X": "x" * 200_000}).status_code == 400

    def logs() -> str:
        return "".join(path.read_text() for path in (proxied.folder / "nginx").glob("*.log"))

    wait_for(lambda: "/v1/parts/" in logs() and "/v1/content/" in logs() and '" 400 ' in logs())
    assert [word for word in ("signature=", "signer=", proxied.edge.config.api_token) if word in logs()] == []


def test_a_server_that_is_away_is_a_sentence(proxied: Proxied, tmp_path: Path) -> None:
    port = free_port()
    nginx_folder = tmp_path / "nginx"
    nginx_folder.mkdir()
    nobody = f"http://127.0.0.1:{free_port()}"
    with (
        nginx.running(nginx_folder, port, nginx.block_of_guide(nobody, port, proxied.folder, nginx_folder)),
        EdgeSession("x", f"https://127.0.0.1:{port}{PREFIX}", "default", ca_bundle=proxied.ca, retries=0) as edge,
        pytest.raises(ServerError, match="a proxy in front of the server gets no proper answer from it"),
    ):
        edge.whoami()


def test_a_certificate_that_expires_under_the_server_is_a_sentence(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    nginx.issue(ca, tmp_path, not_after=dt.datetime.now(dt.UTC) - dt.timedelta(days=1))
    port, own = free_port(), tmp_path / "nginx"
    own.mkdir()
    block = nginx.block_of_guide(f"http://127.0.0.1:{free_port()}", port, tmp_path, own)
    with (
        nginx.running(own, port, block),
        EdgeSession("x", f"https://127.0.0.1:{port}{PREFIX}", "default", ca_bundle=tmp_path / "ca.pem") as edge,
        pytest.raises(ConnectionFailed) as failed,
    ):
        edge.whoami()
    sentence = r"the certificate of 127\.0\.0\.1:\d+ has expired; tell the server's operator"
    assert re.fullmatch(sentence, str(failed.value))


# --- with nothing but proxy_pass ------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(edge_server: EdgeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeSession]:
    organization = edge_server.create_organization()
    token = edge_server.create_token(edge_server.create_user(organization=organization))
    with (
        nginx.plain(tmp_path_factory.mktemp("plain"), edge_server.url) as url,
        EdgeSession(token, url, organization, retries=0) as edge,
    ):
        yield edge


@folder_only("large files that pass through nginx, and not beside it to the store")
@pytest.mark.parametrize("size", [(1 << 20) + 1, 9 << 20])
def test_a_body_that_it_refuses_names_the_line_to_add(plain: EdgeSession, size: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(size))
    for source in (bytes(size), tmp_path / "file"):
        with pytest.raises(BadEntry, match=r"`client_max_body_size 0;`") as refused:
            plain.files.upload("refused", source)
        assert str(refused.value).count("\n") == 0
    plain.files.upload("small", bytes(1 << 19))


def test_an_address_that_it_refuses_names_the_line_to_add(plain: EdgeSession) -> None:
    with pytest.raises(BadEntry, match=r"`large_client_header_buffers 4 128k;`"):
        plain.files.stat(LONGEST_PATH)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/away", "the server is not available"),
        ("/reading", "a proxy in front of the server gave up waiting for it"),
        ("", "a proxy in front of the server gets no proper answer from it"),
    ],
)
def test_what_it_answers_for_a_server_that_does_not_is_a_sentence(path: str, sentence: str, tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        nginx.plain(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}") as url,
        EdgeSession("x", f"{url}{path}", "default", retries=0) as edge,
    ):
        if not path:
            silent.close()
        with pytest.raises(ServerError, match=sentence) as failed:
            edge.whoami()
    assert str(failed.value).count("\n") == 0
