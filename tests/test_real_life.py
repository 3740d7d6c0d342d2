"""A session as programs use it: from many threads, across forks, for long, and behind a path prefix."""

from __future__ import annotations

import concurrent.futures
import contextlib
import copy
import gc
import hashlib
import http.client
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from edge_core.errors import EdgeError, NotFound
from edge_core.session import EdgeSession
from edge_testing.chaos import ChaosProxy, Cut

SMALL = b"sample,volume\nA,1.5\n"
LARGE = random.Random(7).randbytes(3 << 20)
THREADS = 32

needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="reads /proc")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def in_a_child(work: Callable[[], bool], seconds: float = 60) -> None:
    """Fork, and see that `work` is true in the child, in time."""
    child = os.fork()
    if child == 0:
        code = 2
        with contextlib.suppress(BaseException):
            code = 0 if work() else 1
        os._exit(code)
    deadline = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail("the child hangs")
        time.sleep(0.01)


# Threads


@pytest.mark.slow
def test_32_threads_share_a_session(edge_session: EdgeSession) -> None:
    user = edge_session.whoami().user_name
    together = threading.Barrier(THREADS)

    def work(number: int) -> None:
        content = SMALL * (number + 1)
        together.wait()
        for turn in range(3):
            name = f"{number}/{turn}.bin"
            assert edge_session.whoami().user_name == user
            edge_session.files.upload(name, content)
            with edge_session.files.open(name, open_with="file") as file:
                assert file.read() == content

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(work, number) for number in range(THREADS)]:
            done.result()
    assert sorted(edge_session.files.list(), key=int) == [str(number) for number in range(THREADS)]


def test_threads_share_an_open_file(edge_session: EdgeSession) -> None:
    edge_session.files.upload("large.bin", LARGE)
    with edge_session.files.open("large.bin") as file:
        lock = threading.Lock()

        def piece(start: int) -> bool:
            with lock:
                file.seek(start)
                read = bytes(file.read(1000))
            return read == LARGE[start : start + 1000]

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert all(pool.map(piece, random.Random(1).sample(range(len(LARGE) - 1000), 40)))


def test_the_first_calls_of_all_threads_share_a_client(edge_session: EdgeSession) -> None:
    together = threading.Barrier(THREADS)

    def work() -> tuple[int, int]:
        together.wait()
        return id(edge_session.http), id(edge_session.files)

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        assert len({done.result() for done in [pool.submit(work) for _ in range(THREADS)]}) == 1


def test_closing_while_threads_call_gives_them_answers_or_our_errors(edge_session: EdgeSession) -> None:
    started = threading.Barrier(9)
    other = copy.copy(edge_session)
    other.whoami()

    def work() -> str:
        started.wait()
        for _ in range(10_000):
            try:
                other.whoami()
            except EdgeError as error:
                return str(error)
        return "never closed"

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(work) for _ in range(8)]
        started.wait()
        time.sleep(0.1)
        other.close()
        answers = {call.result(60) for call in calls}
    assert "never closed" not in answers
    with pytest.raises(EdgeError, match="this session is closed"):
        other.whoami()


# Closing


def test_what_was_opened_before_says_that_the_session_is_closed(edge_session: EdgeSession, tmp_path: Path) -> None:
    edge_session.files.upload("a.bin", LARGE)
    files = edge_session.files
    file = files.open("a.bin")
    assert file.read(10) == LARGE[:10]
    edge_session.close()
    edge_session.close()
    file.seek(2 << 20)
    calls: list[Callable[[], Any]] = [
        edge_session.whoami,
        files.list,
        lambda: files.make_folder("b"),
        lambda: files.upload("b", SMALL),
        lambda: files.upload("b", LARGE),
        lambda: files.download("a.bin", tmp_path / "a.bin"),
        lambda: file.read(10),
        lambda: edge_session.http,
    ]
    for call in calls:
        with pytest.raises(EdgeError, match="this session is closed; make a new EdgeSession"):
            call()
    file.close()
    assert list(tmp_path.iterdir()) == []


# Processes


@pytest.mark.slow
@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_session_is_forked_while_threads_use_it(edge_session: EdgeSession) -> None:
    stop = threading.Event()
    user = edge_session.whoami().user_name

    def work(number: int) -> int:
        turns = 0
        while not stop.is_set():
            assert edge_session.whoami().user_name == user
            edge_session.files.upload(f"parent-{number}", SMALL)
            turns += 1
        return turns

    def child(number: int) -> bool:
        content = SMALL * number
        edge_session.files.upload(f"child-{number}", content)
        with edge_session.files.open(f"child-{number}", open_with="file") as file:
            return bool(file.read() == content) and edge_session.whoami().user_name == user

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(work, number) for number in range(4)]
        try:
            for number in range(1, 9):
                in_a_child(lambda number=number: child(number))  # type: ignore[misc]
        finally:
            stop.set()
        assert all(call.result() > 0 for call in calls)
    names = edge_session.files.list()
    assert [name for name in names if name.startswith("child")] == [f"child-{number}" for number in range(1, 9)]


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_waits_for_no_lock_of_a_thread_that_is_not_there(edge_session: EdgeSession) -> None:
    """A thread of the parent may hold any of the session's locks in the moment of the fork."""
    user = edge_session.whoami().user_name
    client = edge_session.http
    for lock in (client._lock, client._budget._lock, edge_session._lock):
        with lock:
            in_a_child(lambda: copy.copy(edge_session).whoami().user_name == user)
            in_a_child(lambda: edge_session.whoami().user_name == user and bool(edge_session.files.list() == []))


@needs_fork
def test_a_child_that_closes_the_session_leaves_the_parents_alone(edge_session: EdgeSession) -> None:
    user = edge_session.whoami().user_name

    def child() -> bool:
        edge_session.whoami()
        edge_session.close()
        return True

    in_a_child(child)
    assert edge_session.whoami().user_name == user


def test_a_session_in_use_is_pickled(edge_session: EdgeSession) -> None:
    edge_session.files.upload("a.bin", SMALL)
    arrived = pickle.loads(pickle.dumps(edge_session))
    with arrived:
        assert arrived.files.open("a.bin", open_with="file").read() == SMALL
    assert edge_session.whoami().user_name


@pytest.mark.slow
def test_a_session_travels_to_another_process(edge_session: EdgeSession) -> None:
    edge_session.files.upload("a.bin", SMALL)
    program = "import pickle, sys; print(pickle.load(sys.stdin.buffer).files.list())"
    ran = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(edge_session), capture_output=True, timeout=60, check=True
    )
    assert ran.stdout.decode().strip() == "['a.bin']"


# For long

KEEPING = """
import select, socket

ME = b'{"user_name": "ada", "organizations": []}'
OK = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(ME), ME)
NO = b"HTTP/1.1 404 Not Found\\r\\nContent-Type: application/problem+json\\r\\nContent-Length: 45\\r\\n\\r\\n"
NO += b'{"code": "not_found", "detail": "Not in here"}'[:45]
listener = socket.create_server(("127.0.0.1", 0), backlog=128)
print(listener.getsockname()[1], flush=True)
connections = 0
open_ones = {listener: b""}
while True:
    for one in select.select(list(open_ones), [], [])[0]:
        if one is listener:
            open_ones[listener.accept()[0]] = b""
            connections += 1
            continue
        block = one.recv(65536)
        open_ones[one] += block
        if not block:
            del open_ones[one]
            one.close()
        elif b"\\r\\n\\r\\n" in open_ones[one]:
            line = open_ones[one].partition(b"\\r\\n")[0]
            open_ones[one] = b""
            if b"/connections" in line:
                body = b"[%d, %d]" % (connections, len(open_ones) - 1)
                one.sendall(OK.partition(b"\\r\\n\\r\\n")[0].replace(b"%d" % len(ME), b"%d" % len(body)))
                one.sendall(b"\\r\\n\\r\\n" + body)
            elif b"/missing" in line:
                one.sendall(NO)
            elif b"/broken" in line:
                one.sendall(OK[:-5])
                del open_ones[one]
                one.close()
            elif b"/closing" in line:
                one.sendall(OK)
                del open_ones[one]
                one.close()
            else:
                one.sendall(OK)
"""


@pytest.fixture
def keeping() -> Iterator[str]:
    """The address of a fast server that keeps connections open and counts them."""
    process = subprocess.Popen([sys.executable, "-c", KEEPING], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def resident() -> int:
    """Bytes of memory this process has."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.slow
@needs_proc
def test_10_000_calls_grow_nothing(keeping: str) -> None:
    with EdgeSession("edg_secret", keeping, "default") as edge:
        for _ in range(500):
            edge.whoami()
        memory, files = resident(), descriptors()
        for _ in range(10_000):
            assert edge.whoami().user_name == "ada"
        assert resident() - memory < 2 << 20
        assert descriptors() <= files
        assert edge.http.core.get("/connections") == [1, 1]


@pytest.mark.slow
@needs_proc
def test_calls_that_fail_grow_nothing(keeping: str) -> None:
    with (
        EdgeSession("edg_secret", keeping, "default") as edge,
        EdgeSession("edg_secret", keeping, "default", retries=0) as once,
    ):

        def turn() -> None:
            for path in ("/missing", "/broken"):
                with pytest.raises(EdgeError):
                    once.http.core.get(path)
            assert edge.http.core.get("/closing")["user_name"] == "ada"
            time.sleep(0.005)
            edge.http.core.stream("GET", "/v1/x").close()  # not read

        for _ in range(100):
            turn()
        memory, files = resident(), descriptors()
        for _ in range(500):
            turn()
        assert resident() - memory < 2 << 20
        assert descriptors() <= files + 2
        _, open_ones = edge.http.core.get("/connections")
        assert open_ones <= 3


@pytest.mark.slow
@needs_proc
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_1_000_sessions_leave_nothing(keeping: str) -> None:
    def open_session(closed: bool) -> None:
        session = EdgeSession("edg_secret", keeping, "default")
        session.whoami()
        if closed:
            session.close()

    for _ in range(50):
        open_session(True)
    gc.collect()
    memory, files = resident(), descriptors()
    for number in range(1000):
        open_session(bool(number % 2))
    gc.collect()
    assert descriptors() <= files
    assert resident() - memory < 5 << 20


@pytest.mark.slow
def test_many_threads_open_no_more_connections_than_there_are_of_them(keeping: str) -> None:
    with EdgeSession("edg_secret", keeping, "default") as edge:
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            assert set(pool.map(lambda _: edge.whoami().user_name, range(1000))) == {"ada"}
        opened, _ = edge.http.core.get("/connections")
        assert opened <= THREADS


def test_connections_the_server_has_closed_meanwhile_are_replaced(edge_session: EdgeSession, tmp_path: Path) -> None:
    settings = edge_session.config
    with ChaosProxy(settings.service_url) as proxy:
        opened: list[Any] = []
        proxy.inject(Cut(1 << 30))  # the whole answer passes, and then the connection is closed
        with EdgeSession(settings.api_token, proxy.url, settings.organization, retries=0) as edge:
            calls: list[Callable[[], Any]] = [
                edge.whoami,
                lambda: edge.files.make_folder("a"),
                lambda: edge.files.upload("small", SMALL),
                lambda: edge.files.move("small", "a/small"),
                lambda: edge.files.list(),
                lambda: opened.append(edge.files.open("a/small", open_with="file")),
                lambda: opened[0].read(),
                lambda: edge.files.delete("a", recursive=True),
            ]
            for call in calls:
                call()
                deadline = time.monotonic() + 60
                while proxy._connections:  # what it has closed is seen by the client at once
                    assert time.monotonic() < deadline
                    time.sleep(0.001)
            assert edge.files.list() == []
        assert proxy.connections == proxy.requests


# Where the server is


@pytest.mark.slow
def test_ipv6(tmp_path: Path) -> None:
    from edge_server.testing.local_server import EdgeServer

    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("needs IPv6")
    server = EdgeServer(tmp_path / "data")
    try:
        server.start("--host", "::1")
        assert server.url.startswith("http://[::1]:")
        organization = server.create_organization()
        token = server.create_token(server.create_user(organization=organization, roles=("developer",)))
        with EdgeSession(token, server.url, organization) as edge:
            use_everything(edge, tmp_path)
    finally:
        server.close()


class Prefixed(BaseHTTPRequestHandler):
    """Hands on what lies below a prefix, without it; knows nothing else."""

    protocol_version = "HTTP/1.1"
    prefix: ClassVar[str]
    server_url: ClassVar[str]
    passed: ClassVar[list[str]]

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        if not self.path.startswith(self.prefix + "/"):
            self.rfile.read(length)
            self.send_error(404)
            return
        self.passed.append(self.path)
        connection = http.client.HTTPConnection(self.server_url.removeprefix("http://"), timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        connection.request(self.command, self.path.removeprefix(self.prefix), self._body(length), headers)
        answer = connection.getresponse()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() != "connection":
                self.send_header(name, value)
        self.end_headers()
        while block := answer.read(1 << 16):
            self.wfile.write(block)
        connection.close()

    do_PUT = do_POST = do_DELETE = do_PATCH = do_GET

    def _body(self, length: int) -> bytes | None:
        return self.rfile.read(length) if length else None

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def prefixed(edge_server: Any) -> Iterator[type[Prefixed]]:
    """The server behind ``/services/api`` of another address."""
    handler = type("Own", (Prefixed,), {"prefix": "/services/api", "server_url": edge_server.url, "passed": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as front:
        front.daemon_threads = True
        handler.url = f"http://127.0.0.1:{front.server_address[1]}/services/api"
        threading.Thread(target=front.serve_forever, args=(0.01,), daemon=True).start()
        yield handler
        front.shutdown()


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_server_behind_a_path_prefix(prefixed: Any, edge_session: EdgeSession, tmp_path: Path, slash: str) -> None:
    settings = edge_session.config
    with EdgeSession(settings.api_token, prefixed.url + slash, settings.organization) as edge:
        use_everything(edge, tmp_path)
        address = edge.files.open("large.bin").download_url()
    assert address.startswith(f"{prefixed.url}/v1/content/")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=60) as answer:
        assert hashlib.sha256(answer.read()).digest() == hashlib.sha256(LARGE).digest()
    for path in ("/services/api/v1/users/me", "/services/api/v1/parts/", "/services/api/v1/content/"):
        assert any(passed.startswith(path) for passed in prefixed.passed)
    with (
        EdgeSession(settings.api_token, prefixed.url.removesuffix("/api"), settings.organization) as edge,
        pytest.raises(EdgeError, match="service URL"),
    ):
        edge.whoami()


def use_everything(edge: EdgeSession, folder: Path) -> None:
    """API calls, and large content by signed addresses, both ways."""
    assert edge.whoami().user_name
    edge.files.upload("runs/small.csv", SMALL)
    edge.files.upload("large.bin", LARGE)
    assert edge.files.list() == ["large.bin", "runs"]
    assert edge.files.open("runs").open("small.csv", open_with="file").read() == SMALL
    assert edge.files.download("large.bin", folder / "large.bin").read_bytes() == LARGE
    with pytest.raises(NotFound):
        edge.files.open("missing")
