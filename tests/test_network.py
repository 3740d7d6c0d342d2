"""Between the session and the server: proxies, TLS, private CAs and redirects, all of them real."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import random
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from edge_core.errors import BadResponse, ConnectionFailed, EdgeError
from edge_core.session import EdgeSession
from tests.programs import program

SMALL = b"sample,volume\nA,1.5\n"
LARGE = random.Random(7).randbytes(3 << 20)

PASSWORD = "s3cret-pr0xy-pw"


@pytest.fixture(autouse=True)
def no_proxy_and_no_bundle(own_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


class Listener:
    """Takes connections, and leaves each to a function in a thread of its own."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._closed = False
        self.port = int(self._socket.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            if self._closed:
                connection.close()
                return
            self._open.add(connection)
            thread = threading.Thread(target=self._run, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self._serve(connection)

    def close(self) -> None:
        self._closed = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._socket.close()


Listen = Callable[[Callable[[socket.socket], None]], int]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Listen at a free port, which is returned."""
    listeners: list[Listener] = []

    def start(serve: Callable[[socket.socket], None]) -> int:
        listeners.append(Listener(serve))
        return listeners[-1].port

    yield start
    for listener in listeners:
        listener.close()


def relay(client: socket.socket, server: socket.socket) -> None:
    """Pass bytes both ways until one side ends."""

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(1 << 16):
                target.sendall(block)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    back = threading.Thread(target=pump, args=(server, client), daemon=True)
    back.start()
    pump(client, server)
    back.join(5)


def tls(certificate: trustme.LeafCert, serve: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    """`serve`, behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    def behind(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            serve(wrapped)

    return behind


def to(url: str) -> Callable[[socket.socket], None]:
    """Relay to the server at an address."""
    host, _, port = url.removeprefix("http://").partition(":")

    def serve(connection: socket.socket) -> None:
        with socket.create_connection((host, int(port))) as server:
            relay(connection, server)

    return serve


def saying(answer: bytes, heard: list[bytes] | None = None) -> Callable[[socket.socket], None]:
    """Answer each request (of which all comes at once) alike, and close."""

    def serve(connection: socket.socket) -> None:
        request = connection.recv(1 << 16)
        if heard is not None:
            heard.append(request)
        connection.sendall(answer)

    return serve


def redirect(status: int, target: str) -> bytes:
    return (
        f"HTTP/1.1 {status} Redirect\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    )


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def secure_url(edge_session: EdgeSession, ca: trustme.CA, listen: Listen) -> str:
    """The server's address behind TLS, with a certificate of the private CA."""
    port = listen(tls(ca.issue_cert("127.0.0.1", BEHIND), to(edge_session.config.service_url)))
    return f"https://127.0.0.1:{port}"


Through = Callable[..., EdgeSession]


@pytest.fixture
def through(edge_session: EdgeSession) -> Iterator[Through]:
    """A session like `edge_session`, of another service URL or with other options."""
    settings = edge_session.config
    with contextlib.ExitStack() as stack:

        def make(url: str = settings.service_url, **options: Any) -> EdgeSession:
            session = EdgeSession(settings.api_token, url, settings.organization, **{"timeout": (5, 20), **options})
            return stack.enter_context(session)

        yield make


def use_everything(edge: EdgeSession, folder: Path) -> None:
    """API calls, and large content by signed addresses, both ways."""
    assert edge.whoami().user_name
    edge.files.upload("small.csv", SMALL)
    edge.files.upload("large.bin", LARGE)
    assert edge.files.list() == ["large.bin", "small.csv"]
    assert edge.files.open("small.csv", open_with="file").read() == SMALL
    assert edge.files.download("large.bin", folder / "large.bin").read_bytes() == LARGE
    assert edge.files.open("large.bin").download_url().startswith(edge.config.service_url + "/")


# Proxies

BEHIND = "edge.invalid"
"""A name of this machine that only the proxies know."""

NAMES = f"""
from proxy.http.proxy import HttpProxyBasePlugin

class Names(HttpProxyBasePlugin):
    def resolve_dns(self, host, port):
        return ("127.0.0.1" if host == "{BEHIND}" else None), None
"""


class Proxy:
    """proxy.py in a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        (folder / "proxy_names.py").write_text(NAMES)
        port_file = folder / "port"
        command = [
            *(sys.executable, "-W", "ignore", "-m", "proxy", "--hostname", "127.0.0.1", "--port", "0"),
            *("--port-file", str(port_file), "--num-workers", "1", "--num-acceptors", "1"),
            *("--data-dir", str(folder / "data"), "--timeout", "30", "--plugins", "proxy_names.Names", *options),
        ]
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        with (folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + 60
        while not self._listens(port_file):
            assert self._process.poll() is None, (folder / "output").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self.port = int(port_file.read_text().split()[0])

    def _listens(self, port_file: Path) -> bool:
        with contextlib.suppress(OSError, ValueError, IndexError):
            socket.create_connection(("127.0.0.1", int(port_file.read_text().split()[0])), timeout=1).close()
            return True
        return False

    def url(self, user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self.port}"

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="module")
def open_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    proxy = Proxy(tmp_path_factory.mktemp("proxy"))
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def guarded_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """It wants a user name and a password."""
    proxy = Proxy(tmp_path_factory.mktemp("guarded-proxy"), "--basic-auth", f"ada:{PASSWORD}")
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def nosy_proxy(tmp_path_factory: pytest.TempPathFactory, ca: trustme.CA, bundle: Path) -> Iterator[tuple[Proxy, Path]]:
    """It breaks up TLS, as some companies' proxies do; with the CA it signs by."""
    openssl = program("openssl", "apt-get install openssl")
    folder = tmp_path_factory.mktemp("nosy-proxy")
    own = trustme.CA(organization_name="The company")
    own.private_key_pem.write_to_path(folder / "ca.key")
    own.cert_pem.write_to_path(folder / "ca.pem")
    subprocess.run([openssl, "genrsa", "-out", str(folder / "leaf.key"), "2048"], check=True, capture_output=True)
    options = [
        *("--ca-key-file", str(folder / "ca.key"), "--ca-cert-file", str(folder / "ca.pem")),
        *("--ca-signing-key-file", str(folder / "leaf.key"), "--ca-cert-dir", str(folder / "certificates")),
        *("--ca-file", str(bundle)),
    ]
    proxy = Proxy(folder, *options)
    yield proxy, folder / "ca.pem"
    proxy.close()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def put(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return put


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the API token travels in clear")
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_everything_goes_through_the_proxy_of_the_environment(
    open_proxy: Proxy,
    edge_session: EdgeSession,
    through: Through,
    environment: Any,
    secure_url: str,
    bundle: Path,
    tmp_path: Path,
    secure: bool,
) -> None:
    environment(HTTP_PROXY=open_proxy.url(), HTTPS_PROXY=open_proxy.url())
    url = (secure_url if secure else edge_session.config.service_url).replace("127.0.0.1", BEHIND)
    with through(url, ca_bundle=bundle) as edge:
        use_everything(edge, tmp_path)


def test_no_proxy_is_honoured(through: Through, environment: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as dead:
        environment(HTTP_PROXY=f"http://127.0.0.1:{dead.getsockname()[1]}", NO_PROXY="example.com,127.0.0.1")
        with through(timeout=(60, 60)) as edge:
            use_everything(edge, tmp_path)
        dead.setblocking(False)
        with pytest.raises(BlockingIOError):
            dead.accept()


@pytest.mark.slow
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_proxy_takes_its_user_name_and_password_from_its_address(
    guarded_proxy: Proxy,
    through: Through,
    environment: Any,
    secure_url: str,
    bundle: Path,
    secure: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    address = guarded_proxy.url(f"ada:{PASSWORD}@")
    environment(HTTP_PROXY=address, HTTPS_PROXY=address)
    with through(secure_url, ca_bundle=bundle) if secure else through() as edge:
        assert edge.whoami().user_name
    assert "127.0.0.1" in caplog.text
    assert PASSWORD not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("user", ["", f"ada:{PASSWORD}-wrong@", f"{PASSWORD}@"], ids=["none", "wrong", "no password"])
def test_a_proxy_that_refuses_us_is_a_sentence(
    guarded_proxy: Proxy,
    through: Through,
    environment: Any,
    secure_url: str,
    bundle: Path,
    secure: bool,
    user: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    address = guarded_proxy.url(user)
    environment(HTTP_PROXY=address, HTTPS_PROXY=address)
    edge = through(secure_url, ca_bundle=bundle) if secure else through()
    advice = (
        "the proxy on the way to 127.0.0.1 wants another user name or password; write them into HTTP_PROXY "
        "and HTTPS_PROXY, as in http://USER:PASSWORD@proxy.example.com:3128"
    )
    calls: list[Callable[[], Any]] = [
        edge.whoami,
        lambda: edge.files.make_folder("a"),
        lambda: edge.files.upload("a", SMALL),
        lambda: edge.http.core.signed("GET", "v1/content/k?signature=s"),
    ]
    for call in calls:
        with pytest.raises(ConnectionFailed) as raised:
            call()
        assert str(raised.value) == advice
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "401 Unauthorized"])
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_each_proxys_way_to_refuse_us_is_understood_and_tried_once(
    listen: Listen, through: Through, environment: Any, secure_url: str, bundle: Path, secure: bool, status: str
) -> None:
    heard: list[bytes] = []
    answer = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: 9\r\nConnection: close\r\n\r\n<h1>No.</"
    address = f"http://ada:{PASSWORD}@127.0.0.1:{listen(saying(answer.encode(), heard))}"
    environment(HTTP_PROXY=address, HTTPS_PROXY=address)
    edge = through(secure_url, ca_bundle=bundle) if secure else through()
    with pytest.raises(ConnectionFailed, match="the proxy .* wants another user name or password"):
        edge.whoami()
    assert len(heard) == 1, "a wrong password that is sent again and again locks accounts"


@pytest.mark.parametrize(
    "address",
    [
        f"http://ada:{PASSWORD}@127.0.0.1:9",
        f"http://ada:{PASSWORD}@nowhere.invalid:3128",
        f"http://ada:{PASSWORD} x@127.0.0.1:9",
        f"http://ada:{PASSWORD}@127.0.0.1:port",
        f"http://ada:{PASSWORD}@",
        f"socks5://ada:{PASSWORD}@127.0.0.1:9",
        f"https://ada:{PASSWORD}@127.0.0.1:9",
        f"ada:{PASSWORD}@127.0.0.1:9",
    ],
    ids=["nobody", "unknown", "space", "port", "no host", "socks", "https", "no scheme"],
)
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_proxy_that_cannot_be_used_is_reported_without_its_password(
    address: str,
    through: Through,
    environment: Any,
    secure_url: str,
    bundle: Path,
    secure: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    environment(HTTP_PROXY=address, HTTPS_PROXY=address)
    edge = through(secure_url, ca_bundle=bundle, retries=0) if secure else through(retries=0)
    with pytest.raises(EdgeError, match=r"(?i)proxy") as raised:
        edge.whoami()
    shown = f"{raised.value!r} {raised.value.__dict__} {raised.value.__context__!r} {caplog.text}"
    assert PASSWORD not in shown


@pytest.mark.slow
def test_a_proxy_that_breaks_up_tls_works_with_its_ca_only(
    nosy_proxy: tuple[Proxy, Path], through: Through, environment: Any, secure_url: str, bundle: Path, tmp_path: Path
) -> None:
    proxy, own = nosy_proxy
    environment(HTTPS_PROXY=proxy.url())
    secure_url = secure_url.replace("127.0.0.1", BEHIND)
    for ca_bundle in (None, bundle):
        with pytest.raises(ConnectionFailed, match=f"certificate of {BEHIND}:.* is not trusted"):
            through(secure_url, ca_bundle=ca_bundle).whoami()
    with through(secure_url, ca_bundle=own) as edge:
        use_everything(edge, tmp_path)


# Certificates


@pytest.mark.parametrize("way", ["argument", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "a folder"])
def test_a_private_ca_is_trusted_where_it_is_named(
    secure_url: str, bundle: Path, through: Through, environment: Any, tmp_path: Path, way: str
) -> None:
    options: dict[str, Any] = {}
    if way == "argument":
        options["ca_bundle"] = bundle
    elif way == "a folder":
        named = tmp_path / "certificates"
        named.mkdir()
        openssl = program("openssl", "apt-get install openssl")
        shutil.copy(bundle, named / "ca.pem")
        subprocess.run([openssl, "rehash", str(named)], check=True, capture_output=True)
        options["ca_bundle"] = named
    else:
        environment(**{way: str(bundle)})
    (tmp_path / "down").mkdir()
    use_everything(through(secure_url, **options), tmp_path / "down")


def test_the_argument_goes_before_the_environment(
    secure_url: str, bundle: Path, through: Through, environment: Any, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    environment(REQUESTS_CA_BUNDLE=str(other))
    assert through(secure_url, ca_bundle=bundle).whoami().user_name
    with pytest.raises(ConnectionFailed, match="is not trusted"):
        through(secure_url).whoami()


@pytest.mark.parametrize("kind", ["unknown CA", "another host", "expired", "not yet valid", "self-signed"])
def test_a_bad_certificate_is_refused_and_reported(
    edge_session: EdgeSession, ca: trustme.CA, bundle: Path, listen: Listen, through: Through, kind: str
) -> None:
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    certificate, message = {
        "unknown CA": lambda: (trustme.CA().issue_cert("127.0.0.1"), r"is not trusted; .*ca_bundle="),
        "self-signed": lambda: (trustme.CA().issue_cert("127.0.0.1"), r"is not trusted; .*ca_bundle="),
        "another host": lambda: (ca.issue_cert("elsewhere.example"), r"is for another host; .*service URL"),
        "expired": lambda: (ca.issue_cert("127.0.0.1", not_before=now - 9 * day, not_after=now - day), "has expired"),
        "not yet valid": lambda: (ca.issue_cert("127.0.0.1", not_before=now + day), "is not valid yet; .*clock"),
    }[kind]()
    heard: list[bytes] = []
    port = listen(tls(certificate, saying(b"", heard)))
    ca_bundle = None if kind == "self-signed" else bundle
    edge = through(f"https://127.0.0.1:{port}", ca_bundle=ca_bundle)
    calls: list[Callable[[], Any]] = [
        edge.whoami,
        lambda: edge.files.upload("a", SMALL),
        lambda: edge.http.core.signed("GET", "v1/content/k?signature=s"),
        lambda: edge.http.core.signed("PUT", "v1/parts/k?signature=s", body=b"x"),
    ]
    for call in calls:
        with pytest.raises(ConnectionFailed, match=f"the certificate of 127.0.0.1:{port} {message}"):
            call()
    assert heard == []


def test_old_tls_is_refused(ca: trustme.CA, bundle: Path, listen: Listen, through: Through) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    def serve(connection: socket.socket) -> None:
        context.wrap_socket(connection, server_side=True).close()

    with pytest.raises(ConnectionFailed, match="does not speak TLS as expected"):
        through(f"https://127.0.0.1:{listen(serve)}", ca_bundle=bundle).whoami()


# Redirects


@pytest.fixture
def elsewhere(listen: Listen) -> tuple[str, list[bytes]]:
    """Another origin, and all that it hears."""
    heard: list[bytes] = []
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    return f"http://127.0.0.1:{listen(saying(answer, heard))}", heard


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nothing_reaches_another_origin_by_a_redirect(
    listen: Listen, through: Through, elsewhere: tuple[str, list[bytes]], status: int
) -> None:
    other, heard = elsewhere
    edge = through(f"http://127.0.0.1:{listen(saying(redirect(status, other + '/v1/x?key=value')))}")
    calls: list[Callable[[], Any]] = [
        edge.whoami,
        edge.files.list,
        lambda: edge.files.make_folder("a"),
        lambda: edge.files.upload("a", SMALL),
        lambda: edge.files.delete("a"),
        lambda: edge.http.core.get("/v1/x", params={"path": "private"}),
        lambda: edge.http.core.signed("GET", "v1/content/k?signature=private"),
        lambda: edge.http.core.signed("PUT", "v1/parts/k?signature=private", body=b"private"),
    ]
    for call in calls:
        with pytest.raises(BadResponse, match="redirects to") as raised:
            call()
        assert "private" not in str(raised.value)
        assert "value" not in str(raised.value)
    assert heard == []


@pytest.mark.parametrize("signed", [False, True])
def test_a_redirect_from_https_to_http_is_refused(
    ca: trustme.CA,
    bundle: Path,
    listen: Listen,
    through: Through,
    elsewhere: tuple[str, list[bytes]],
    signed: bool,
) -> None:
    other, heard = elsewhere
    port = listen(tls(ca.issue_cert("127.0.0.1"), saying(redirect(302, other))))
    edge = through(f"https://127.0.0.1:{port}", ca_bundle=bundle)
    with pytest.raises(BadResponse, match="redirects to http://"):
        edge.http.core.signed("GET", "v1/content/k?signature=s") if signed else edge.whoami()
    assert heard == []


STAT = (
    b'{"name": "a.bin", "kind": "file", "uid": "u", "modified_at": "2026-01-01T00:00:00Z", '
    b'"size": 2000000, "sha256": "' + b"0" * 64 + b'", "version": "v"}'
)


def content_redirect(target: str) -> Callable[[socket.socket], None]:
    """Knows one large file, whose content is at `target`."""

    def serve(connection: socket.socket) -> None:
        request = connection.recv(1 << 16)
        if b"/content?" in request.partition(b"\r\n")[0]:
            connection.sendall(redirect(307, target))
        else:
            head = (
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            )
            connection.sendall(head % len(STAT) + STAT)

    return serve


def test_the_token_does_not_follow_content_to_another_origin(
    listen: Listen, through: Through, elsewhere: tuple[str, list[bytes]], tmp_path: Path, edge_session: EdgeSession
) -> None:
    other, heard = elsewhere
    edge = through(f"http://127.0.0.1:{listen(content_redirect(other + '/bucket/k?signature=s'))}")
    with pytest.raises(EdgeError):
        edge.files.download("a.bin", tmp_path / "a.bin")
    assert list(tmp_path.iterdir()) == []
    assert heard
    for request in heard:
        assert request.startswith(b"GET /bucket/k?signature=s HTTP/1.1\r\n")
        for private in (edge_session.config.api_token, "Authorization", "Cookie", "Referer", edge_session.organization):
            assert private.lower().encode() not in request.lower()


def test_content_behind_https_is_not_fetched_by_http(
    ca: trustme.CA,
    bundle: Path,
    listen: Listen,
    through: Through,
    elsewhere: tuple[str, list[bytes]],
    tmp_path: Path,
) -> None:
    other, heard = elsewhere
    port = listen(tls(ca.issue_cert("127.0.0.1"), content_redirect(other + "/bucket/k?signature=s")))
    edge = through(f"https://127.0.0.1:{port}", ca_bundle=bundle)
    with pytest.raises(BadResponse, match="in clear"):
        edge.files.download("a.bin", tmp_path / "a.bin")
    with pytest.raises(BadResponse, match="in clear"):
        edge.http.core.signed("PUT", f"{other}/bucket/k?signature=s", body=b"x")
    assert heard == []
    assert os.listdir(tmp_path) == []
