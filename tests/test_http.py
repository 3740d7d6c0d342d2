"""The way of a request, against real sockets: right answers, and one typed sentence for each wrong one."""

from __future__ import annotations

import contextvars
import gzip
import itertools
import json
import os
import pickle
import re
import socket
import threading
import tracemalloc
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from urllib.parse import urljoin

import pytest
import requests.adapters

from edge_core import retries
from edge_core.errors import (
    AlreadyExists,
    ApiError,
    BadEntry,
    BadResponse,
    ChecksumError,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    EdgeError,
    Forbidden,
    NotFound,
    QuotaExceeded,
    ServerError,
    Unauthenticated,
)
from edge_core.hooks import hookimpl
from edge_core.session import EdgeSession
from edge_core.whoami import WhoAmI

ME = json.dumps({"user_name": "ada", "organizations": []}).encode()


class Handler(BaseHTTPRequestHandler):
    """Answers from a list of (status, headers, body), the last one for ever, and notes what came."""

    answers: ClassVar[list[tuple[int, dict[str, str], bytes]]]
    seen: ClassVar[list[tuple[str, str, dict[str, str], bytes]]]
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append((self.command, self.path, dict(self.headers), body))
        status, headers, content = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        if headers.get("Connection") == "close":
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = handle_any

    def log_message(self, *args: object) -> None:
        pass


class Fake:
    def __init__(self) -> None:
        self.handler = type("OwnHandler", (Handler,), {"answers": [], "seen": []})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, status: int, body: Any, kind: str = "application/json", **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.handler.answers.append((status, {"Content-Type": kind, **named}, content))

    @property
    def seen(self) -> list[tuple[str, str, dict[str, str], bytes]]:
        return self.handler.seen


@pytest.fixture
def fake() -> Any:
    fake = Fake()
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waits: list[float] = []
    monkeypatch.setattr("edge_core.http.client.time.sleep", waits.append)
    return waits


def session(url: str, **options: Any) -> EdgeSession:
    return EdgeSession("edg_secret", url, "default", **options)


def test_a_call_carries_token_request_id_and_user_agent(fake: Fake) -> None:
    fake.answer(200, ME)
    with session(fake.url + "/services/api/", user_agent="myapp/1.2") as edge:
        assert edge.whoami().user_name == "ada"
    (method, path, headers, _) = fake.seen[0]
    assert (method, path) == ("GET", "/services/api/v1/users/me")
    assert headers["Authorization"] == "Bearer edg_secret"
    assert len(headers["X-Request-ID"]) == 16
    assert re.fullmatch(r"myapp/1\.2 edge-core/[\d.]+ requests/[\d.]+", headers["User-Agent"])


def test_a_call_of_a_plugin_names_it_also_to_a_signed_address(fake: Fake) -> None:
    fake.answer(200, ME)
    plugin = session(fake.url).http.for_plugin("edge_core.whoami")
    plugin.get("/v1/users/me")
    plugin.signed("GET", "v1/content/k?signature=s").close()
    for _, _, headers, _ in fake.seen:
        assert re.fullmatch(r"edge-core/\S+ requests/\S+ edge-core/\S+", headers["User-Agent"])


def test_a_call_to_a_signed_address_has_the_callers_headers_and_body_and_no_further(fake: Fake) -> None:
    fake.answer(200, b"")
    session(fake.url).http.core.signed("PUT", "v1/parts/1?signature=s", headers={"Content-MD5": "x"}, body=b"part")
    ((method, _, headers, body),) = fake.seen
    assert (method, body) == ("PUT", b"part")
    assert (headers["Content-MD5"], headers["Content-Length"]) == ("x", "4")
    sent = set(headers) - {"Host", "Accept-Encoding"}  # by http.client
    assert sent == {"Content-MD5", "Content-Length", "User-Agent"}


def test_a_call_may_wait_longer_for_bytes_than_its_session(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    timeouts: list[Any] = []
    send = requests.adapters.HTTPAdapter.send

    def noting(*arguments: Any, **options: Any) -> Any:
        timeouts.append(options["timeout"])
        return send(*arguments, **options)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", noting)
    fake.answer(200, ME)
    client = session(fake.url, timeout=(1, 2)).http.core
    for timeout in (None, 7):
        client.fetch("GET", "/v1/x", timeout=timeout)
        client.fetch_signed("GET", "v1/x", timeout=timeout)
    assert timeouts == [(1, 2), (1, 2), (1, 7), (1, 7)]


def test_set_whoami_overwrites_with_none_what_is_left_out(fake: Fake) -> None:
    fake.answer(200, ME)
    session(fake.url).set_whoami(first_name="Ada")
    method, path, _, body = fake.seen[0]
    assert (method, path) == ("PUT", "/v1/users/me")
    assert json.loads(body) == {"first_name": "Ada", "last_name": None, "email": None}


def test_search_gives_results_of_all_pages(fake: Fake) -> None:
    row = {"name": "plate-7.csv", "kind": "file", "uid": "u1"}
    fake.answer(200, {"items": [row], "next": "c1"})
    fake.answer(200, {"items": [{**row, "uid": "u2"}], "next": None})
    results = session(fake.url).search("plate", kind="file")
    assert [result.uid for result in results] == ["u1", "u2"]
    assert fake.seen[0][1] == "/v1/orgs/default/search?query=plate&kind=file"
    assert "cursor=c1" in fake.seen[1][1]


def problem(status: int, code: str, detail: str = "The thing is so.") -> dict[str, Any]:
    return {"type": "about:blank", "title": "t", "status": status, "detail": detail, "code": code, "request_id": "r1"}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "bad_entry", BadEntry),
        (400, "checksum_mismatch", ChecksumError),
        (401, "unauthenticated", Unauthenticated),
        (403, "forbidden", Forbidden),
        (404, "not_found", NotFound),
        (409, "already_exists", AlreadyExists),
        (409, "not_empty", Conflict),
        (412, "conflict", Conflict),
        (413, "too_large", BadEntry),
        (422, "bad_entry", BadEntry),
        (429, "slow_down", ServerError),
        (500, "internal", ServerError),
        (507, "insufficient_storage", ServerError),
        (507, "quota_exceeded", QuotaExceeded),
    ],
)
def test_each_refusal_is_a_typed_error(fake: Fake, status: int, code: str, kind: type[EdgeError]) -> None:
    fake.answer(status, problem(status, code), "application/problem+json", X_Request_ID="r1")
    with pytest.raises(kind, match="The thing is so.") as raised:
        session(fake.url).whoami()
    if not isinstance(raised.value, ChecksumError):
        assert (raised.value.status, raised.value.code, raised.value.request_id) == (status, code, "r1")  # type: ignore[attr-defined]
        assert raised.value.url == f"{fake.url}/v1/users/me"  # type: ignore[attr-defined]


HTML = b"<html>Welcome</html>"


@pytest.mark.parametrize(
    ("status", "body", "kind", "error", "message"),
    [
        (200, HTML, "text/html", BadResponse, "services/api"),
        (200, b"{", "application/json", BadResponse, "JSON"),
        (200, b"[]", "application/json", BadResponse, "WhoAmI"),
        (200, b"", "application/json", BadResponse, "WhoAmI"),
        (200, b'{"user_name": 5}', "application/json", BadResponse, "user_name"),
        (404, HTML, "text/html", BadResponse, "service URL"),
        (401, HTML, "text/html", Unauthenticated, "EDGE_API_TOKEN"),
        (403, HTML, "text/html", Forbidden, "administrator"),
        (500, HTML, "text/html", ServerError, "try again later"),
        (408, HTML, "text/html", ApiError, "did not get the whole request in time"),
        (413, HTML, "text/html", BadEntry, "`client_max_body_size 0;`"),
        (413, b'{"message": "Request Too Long"}', "application/json", BadEntry, "`client_max_body_size 0;`"),
        (414, HTML, "text/html", BadEntry, "`large_client_header_buffers 4 128k;`"),
        (431, HTML, "text/html", BadEntry, "`large_client_header_buffers 4 128k;`"),
        (429, HTML, "text/html", ServerError, "asks to slow down"),
        (502, b"", "text/plain", ServerError, "a proxy in front of the server gets no proper answer"),
        (503, HTML, "text/html", ServerError, "not available"),
        (504, HTML, "text/html", ServerError, "gave up waiting"),
    ],
)
def test_what_is_not_an_edge_server_is_recognized(
    fake: Fake, status: int, body: bytes, kind: str, error: type[EdgeError], message: str
) -> None:
    fake.answer(status, body, kind)
    with pytest.raises(error, match=message):
        _ = session(fake.url).whoami().user_name


OF_A_HUB = {"X_JupyterHub_Version": "6.1.1"}
NO_ROUTE = b"<html><h1>404: Not Found</h1><p>No service is here</p><hr /><p>configurable-http-proxy</p></html>"


@pytest.mark.parametrize(
    ("status", "body", "kind", "headers"),
    [
        (302, b"", "text/html", {**OF_A_HUB, "Location": "/hub/v1/users/me"}),
        (403, HTML, "text/html", OF_A_HUB),
        (404, HTML, "text/html", OF_A_HUB),
        (404, b"<script>window.jhdata = {};</script>", "text/html", {}),
        (404, NO_ROUTE, "text/html", {}),
        (404, b"Not Found", "", {}),
    ],
)
def test_a_hub_that_starts_and_does_not_know_its_service_yet_is_called_again(
    fake: Fake, no_waiting: list[float], status: int, body: bytes, kind: str, headers: dict[str, str]
) -> None:
    fake.answer(status, body, kind, **headers)
    fake.answer(200, ME, **OF_A_HUB)
    edge = session(fake.url)
    assert edge.whoami().user_name == "ada"
    assert len(fake.seen) == 2
    assert len(no_waiting) == 1
    fake.handler.answers[:] = []
    fake.answer(status, body, kind, **headers)
    with pytest.raises(ConnectionFailed, match=f"a JupyterHub answers at {fake.url}/v1/users/me in the place of an"):
        session(fake.url, retries=0).whoami()
    with pytest.raises(ConnectionFailed, match=r"in the place of an Edge server, .* check the service URL if it lasts"):
        session(fake.url).http.core.patch("/v1/things/1", json={})


@pytest.mark.parametrize(
    ("status", "body", "kind", "headers", "error"),
    [
        (404, problem(404, "not_found"), "application/problem+json", OF_A_HUB, NotFound),
        (404, b"Not Found", "text/plain", {}, BadResponse),
        (404, b"Not found", "", {}, BadResponse),
        (500, NO_ROUTE, "text/html", {}, ServerError),
        (404, {"message": "configurable-http-proxy"}, "application/json", OF_A_HUB, BadResponse),
        (403, NO_ROUTE, "text/html", {}, Forbidden),
        (404, HTML, "text/html", {}, BadResponse),
    ],
)
def test_what_answers_is_taken_for_a_hub_by_its_header_or_the_page_of_its_proxy_alone(
    fake: Fake, status: int, body: Any, kind: str, headers: dict[str, str], error: type[EdgeError]
) -> None:
    fake.answer(status, body, kind, **headers)
    with pytest.raises(error):
        session(fake.url).whoami()
    assert len(fake.seen) == 1


def test_a_call_that_may_be_repeated_is_tried_again(fake: Fake, no_waiting: list[float]) -> None:
    fake.answer(503, b"", "text/plain")
    fake.answer(429, b"", "text/plain")
    fake.answer(200, ME)
    edge = session(fake.url)
    assert edge.whoami().user_name == "ada"
    assert len(fake.seen) == 3
    assert len(no_waiting) == 2
    assert len({headers["X-Request-ID"] for _, _, headers, _ in fake.seen}) == 1


def test_a_limit_is_waited_for_until_it_ends(fake: Fake, no_waiting: list[float]) -> None:
    fake.answer(429, problem(429, "too_many_requests"), "application/problem+json", Retry_After="10")
    fake.answer(200, ME)
    assert session(fake.url).whoami().user_name == "ada"
    assert no_waiting == [10.0]


def test_a_limit_that_does_not_end_is_not_waited_for_forever(fake: Fake, no_waiting: list[float]) -> None:
    fake.answer(429, problem(429, "too_many_requests"), "application/problem+json", Retry_After="3600")
    with pytest.raises(ServerError, match="The thing is so") as refused:
        _ = session(fake.url, retries=5).whoami().user_name
    assert refused.value.code == "too_many_requests"
    assert no_waiting == [retries.LONGEST] * 5


@pytest.mark.parametrize(("status", "code"), [(503, "storage_failed"), (409, "idempotency_in_progress")])
def test_a_server_that_says_when_to_come_again_has_half_a_minute(
    fake: Fake, no_waiting: list[float], status: int, code: str
) -> None:
    for _ in range(5):
        fake.answer(status, problem(status, code), "application/problem+json", Retry_After="5")
    fake.answer(200, ME)
    assert session(fake.url).whoami().user_name == "ada"
    assert no_waiting == [pytest.approx(5, abs=1)] * 5
    fake.handler.answers[:] = []
    fake.answer(status, problem(status, code), "application/problem+json", Retry_After="5")
    with pytest.raises(EdgeError):
        session(fake.url).whoami()
    assert retries.PATIENCE <= sum(no_waiting[5:]) < retries.PATIENCE + 7


@pytest.mark.parametrize(("seconds", "requests"), [(0.0, 4), (7.5, 3), (40.0, 2)], ids=["at once", "later", "late"])
def test_the_half_minute_is_of_the_call_with_its_waits(
    fake: Fake,
    no_waiting: list[float],
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    requests: int,
) -> None:
    """Each answer comes after so many seconds, and each wait is of 10."""
    ticks = itertools.count(0, seconds)
    clock = SimpleNamespace(sleep=no_waiting.append, monotonic=lambda: next(ticks))
    monkeypatch.setattr("edge_core.http.client.time", clock)
    monkeypatch.setattr(retries, "wait", lambda *_: 10.0)
    fake.answer(503, problem(503, "storage_failed"), "application/problem+json", Retry_After="10")
    with pytest.raises(ServerError):
        session(fake.url, retries=1).whoami()
    assert len(fake.seen) == requests


@pytest.mark.parametrize(
    ("status", "body", "kind", "headers"),
    [(503, b"", "text/plain", {}), (404, HTML, "text/html", OF_A_HUB)],
    ids=["503", "a hub"],
)
def test_a_store_that_answers_otherwise_is_tried_as_often_as_retries_says(
    fake: Fake, status: int, body: bytes, kind: str, headers: dict[str, str]
) -> None:
    fake.answer(status, body, kind, **headers)
    with pytest.raises(EdgeError):
        session("http://127.0.0.1:1").http.core.signed("GET", f"{fake.url}/bucket/key?signature=s")
    assert len(fake.seen) == 3


def test_a_store_at_which_nothing_listens_has_half_a_minute(fake: Fake, no_waiting: list[float]) -> None:
    with pytest.raises(ConnectionFailed, match="nothing listens"):
        session(fake.url).http.core.signed("GET", f"http://127.0.0.1:{free_port()}/bucket/key?signature=s")
    assert retries.PATIENCE <= sum(no_waiting) < retries.PATIENCE + retries.LONGEST
    no_waiting.clear()
    with pytest.raises(ConnectionFailed, match="nothing listens"):
        session(f"http://127.0.0.1:{free_port()}").whoami()
    assert len(no_waiting) == 2


def test_a_limit_is_waited_for_as_often_as_retries_says(fake: Fake, no_waiting: list[float]) -> None:
    fake.answer(429, problem(429, "too_many_requests"), "application/problem+json", Retry_After="1")
    with pytest.raises(ServerError):
        session(fake.url).whoami()
    assert len(no_waiting) == 2


def test_what_is_awaited_takes_nothing_from_the_budget(fake: Fake) -> None:
    fake.answer(503, problem(503, "storage_failed"), "application/problem+json", Retry_After="1")
    edge = session(fake.url)
    with pytest.raises(ServerError):
        edge.whoami()
    assert len(fake.seen) > 3
    assert edge.http._budget.left == retries.CAPACITY


def test_a_host_without_an_address_is_not_awaited_whatever_the_name_of_the_file(no_waiting: list[float]) -> None:
    with pytest.raises(ConnectionFailed, match="there is no host"):
        session("http://127.0.0.1:1").http.core.signed("GET", "http://store.invalid/connection%20refused?signature=s")
    assert len(no_waiting) == 2


def test_in_a_hurry_a_call_is_tried_once(fake: Fake, no_waiting: list[float]) -> None:
    fake.answer(503, problem(503, "storage_failed"), "application/problem+json", Retry_After="5")
    with retries.at_once(), pytest.raises(ServerError):
        session(fake.url).whoami()
    assert no_waiting == []
    with pytest.raises(ServerError):
        session(fake.url).whoami()
    assert no_waiting


def test_without_retries_no_server_has_a_second_chance(fake: Fake, no_waiting: list[float]) -> None:
    fake.answer(503, problem(503, "storage_failed"), "application/problem+json", Retry_After="5")
    with pytest.raises(ServerError):
        session(fake.url, retries=0).whoami()
    assert no_waiting == []


def test_the_threads_of_a_call_wait_where_the_server_asks_a_request_of_theirs_to(
    fake: Fake, no_waiting: list[float], chosen_waits: list[tuple[int, int | None, str | None]]
) -> None:
    waits: list[float | None] = []

    class Noted(retries.Gate):
        def close(self, seconds: float) -> None:
            waits.append(seconds)

        def wait(self) -> None:
            waits.append(None)

    def call(gate: retries.Gate) -> None:
        retries.gate.set(gate)
        session(fake.url, retries=4).whoami()

    fake.answer(503, b"", "text/plain", Retry_After="7")
    fake.answer(429, b"", "text/plain", Retry_After="8")
    fake.answer(409, problem(409, "idempotency_in_progress"), "application/problem+json", Retry_After="1")
    fake.answer(503, b"", "text/plain")
    fake.answer(200, ME)
    contextvars.copy_context().run(call, Noted())
    assert waits == [None, 1.5, None, 1.5, None, None, None]


def test_an_error_tells_when_to_ask_again(fake: Fake, no_waiting: list[float]) -> None:
    fake.answer(409, problem(409, "conflict"), "application/problem+json", Retry_After="3")
    with pytest.raises(Conflict) as refused:
        session(fake.url).whoami()
    assert refused.value.retry_after == 3
    assert pickle.loads(pickle.dumps(refused.value)).retry_after == 3


@pytest.fixture
def chosen_waits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int | None, str | None]]:
    """What each wait was chosen by; it is of 1.5 s."""
    chosen: list[tuple[int, int | None, str | None]] = []

    def wait(*reasons: Any) -> float:
        chosen.append(reasons)
        return 1.5

    monkeypatch.setattr(retries, "wait", wait)
    return chosen


def test_each_wait_is_chosen_by_the_attempt_its_status_and_what_the_server_asks_for(
    fake: Fake, no_waiting: list[float], chosen_waits: list[tuple[int, int | None, str | None]]
) -> None:
    fake.answer(503, b"", "text/plain", Retry_After="7")
    fake.answer(429, b"", "text/plain")
    fake.answer(409, problem(409, "idempotency_in_progress"), "application/problem+json", Retry_After="1")
    fake.answer(502, b"", "text/plain")
    with pytest.raises(ServerError):
        session(fake.url, retries=3).whoami()
    assert chosen_waits == [(1, 503, "7"), (2, 429, None), (3, 409, "1")]
    assert no_waiting == [1.5, 1.5, 1.5]
    assert len(fake.seen) == 4


def test_a_wait_for_a_server_that_gave_no_answer_knows_only_the_attempt(
    chosen_waits: list[tuple[int, int | None, str | None]],
) -> None:
    with pytest.raises(ConnectionFailed):
        session(f"http://127.0.0.1:{free_port()}").whoami()
    assert chosen_waits == [(1, None, None), (2, None, None)]


def test_a_post_is_tried_again_under_the_same_idempotency_key(fake: Fake) -> None:
    fake.answer(503, b"", "text/plain")
    fake.answer(409, problem(409, "idempotency_in_progress"), "application/problem+json", Retry_After="1")
    fake.answer(201, {"made": True})
    edge = session(fake.url)
    assert edge.http.core.post("/v1/things", json={"a": 1}) == {"made": True}
    (key,) = {headers["Idempotency-Key"] for _, _, headers, _ in fake.seen}
    assert re.fullmatch("[0-9a-f]{32}", key)
    assert {body for _, _, _, body in fake.seen} == {b'{"a": 1}'}
    edge.http.core.post("/v1/things", json={"a": 1})
    assert fake.seen[-1][2]["Idempotency-Key"] != fake.seen[0][2]["Idempotency-Key"]


def test_a_signed_post_is_sent_once(fake: Fake) -> None:
    fake.answer(503, b"", "text/plain")
    with pytest.raises(ServerError):
        session(fake.url).http.core.signed("POST", "v1/content/k?signature=s")
    assert len(fake.seen) == 1
    assert "Idempotency-Key" not in fake.seen[0][2]


@pytest.mark.parametrize("method", ["patch", "delete"])
def test_an_update_and_a_deletion_are_sent_again_under_their_key(fake: Fake, method: str) -> None:
    fake.answer(503, b"", "text/plain")
    fake.answer(204, b"")
    getattr(session(fake.url).http.core, method)("/v1/things/1")
    assert len({headers["Idempotency-Key"] for _, _, headers, _ in fake.seen}) == 1
    assert len(fake.seen) == 2


def test_a_conflict_is_not_tried_again(fake: Fake) -> None:
    fake.answer(409, problem(409, "not_empty"), "application/problem+json")
    with pytest.raises(Conflict):
        session(fake.url).http.core.post("/v1/things", json={})
    assert len(fake.seen) == 1


def test_a_body_that_breaks_off_is_requested_again(fake: Fake) -> None:
    fake.answer(200, ME[:-5], Content_Length=str(len(ME)), Connection="close")
    fake.answer(200, ME)
    assert session(fake.url).whoami().user_name == "ada"
    assert len(fake.seen) == 2


@pytest.mark.slow
def test_a_dead_server_costs_a_busy_client_about_a_request_a_call(fake: Fake) -> None:
    fake.answer(503, b"", "text/plain")
    edge = session(fake.url)
    for _ in range(1000):
        with pytest.raises(ServerError):
            edge.whoami()
    assert 1000 < len(fake.seen) <= 1000 + retries.CAPACITY // retries.COST
    fake.handler.answers[:] = []
    fake.answer(200, ME)
    for _ in range(retries.COST):
        edge.whoami()
    fake.handler.answers.insert(0, (503, {}, b""))
    assert edge.whoami().user_name == "ada", "what succeeds pays for retries again"


def test_a_record_is_updated_by_what_was_set_and_only_if_nobody_was_faster(fake: Fake) -> None:
    fake.answer(200, {**json.loads(ME), "newer": 1}, ETag='"v1"')
    fake.answer(200, {**json.loads(ME), "email": "ada@example.com"}, ETag='"v2"')
    fake.answer(412, problem(412, "conflict"), "application/problem+json")
    client = session(fake.url).http.core
    me = client.get_record(WhoAmI, "/v1/things/1")
    me.email = "ada@example.com"
    me = client.update_record(me, "/v1/things/1")
    method, _, headers, body = fake.seen[1]
    assert (method, headers["If-Match"], headers["Content-Type"]) == ("PATCH", '"v1"', "application/merge-patch+json")
    assert json.loads(body) == {"email": "ada@example.com"}
    with pytest.raises(Conflict):
        client.update_record(me, "/v1/things/1")
    assert fake.seen[2][2]["If-Match"] == '"v2"'
    with pytest.raises(Conflict):
        client.update_record(WhoAmI("ada"), "/v1/things/1")
    assert "If-Match" not in fake.seen[3][2]
    assert json.loads(fake.seen[3][3])["user_name"] == "ada"


def test_retries_can_be_turned_off(fake: Fake) -> None:
    fake.answer(503, b"", "text/plain")
    with pytest.raises(ServerError):
        session(fake.url, retries=0).whoami()
    assert len(fake.seen) == 1


def test_redirects_within_the_service_are_followed(fake: Fake) -> None:
    fake.answer(301, b"", Location="/v1/users/you")
    fake.answer(200, ME)
    assert session(fake.url).whoami().user_name == "ada"
    assert fake.seen[1][1] == "/v1/users/you"
    assert fake.seen[1][2]["Authorization"] == "Bearer edg_secret"


def test_a_redirect_to_nowhere_leads_to_the_same_address(fake: Fake) -> None:
    fake.answer(301, b"")
    fake.answer(200, ME)
    assert session(fake.url).whoami().user_name == "ada"
    assert [path for _, path, _, _ in fake.seen] == ["/v1/users/me"] * 2


@pytest.mark.parametrize(("method", "followed"), [("GET", True), ("HEAD", True), ("PUT", False), ("POST", False)])
def test_a_redirect_is_followed_by_what_only_reads(fake: Fake, method: str, followed: bool) -> None:
    fake.answer(301, b"", Location="/v1/you")
    fake.answer(200, b"")
    client = session(fake.url).http.core
    if followed:
        assert client.fetch(method, "/v1/me").status == 200
    else:
        with pytest.raises(BadResponse, match="redirects to"):
            client.fetch(method, "/v1/me")
    assert [path for _, path, _, _ in fake.seen] == ["/v1/me", "/v1/you"][: 1 + followed]


@pytest.mark.parametrize("target", ["http://127.0.0.1:1/", "//evil.example.com/v1", "https://127.0.0.1/"])
def test_the_token_follows_no_redirect_elsewhere(fake: Fake, target: str) -> None:
    fake.answer(302, b"", Location=target)
    with pytest.raises(BadResponse) as raised:
        session(fake.url).whoami()
    assert str(raised.value) == (
        f"{fake.url}/v1/users/me redirects to {urljoin(fake.url, target)}, where the token must not go; if that is the "
        "right address, make it the service URL"
    )
    assert len(fake.seen) == 1


def test_a_redirect_loop_ends(fake: Fake) -> None:
    fake.answer(302, b"", Location="/v1/users/me")
    with pytest.raises(BadResponse):
        session(fake.url).whoami()
    assert len(fake.seen) == 6, "the call and five redirects"


def test_a_netrc_file_changes_nothing(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login evil password evil\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    fake.answer(200, ME)
    session(fake.url).whoami()
    assert fake.seen[0][2]["Authorization"] == "Bearer edg_secret"


def test_a_signed_address_gets_no_token(fake: Fake) -> None:
    fake.answer(200, b"bytes", "application/octet-stream")
    edge = session(fake.url + "/api")
    assert edge.http.core.signed("GET", "v1/content/k?signature=s").read() == b"bytes"
    assert edge.http.core.signed("GET", f"{fake.url}/elsewhere?signature=s").read() == b"bytes"
    assert [path for _, path, _, _ in fake.seen] == ["/api/v1/content/k?signature=s", "/elsewhere?signature=s"]
    for _, _, headers, _ in fake.seen:
        assert "Authorization" not in headers
        assert "secret" not in str(headers)


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "ftp://a.example.com/"]
)
def test_a_signed_address_is_of_http(fake: Fake, url: str) -> None:
    edge = session(fake.url)
    for use in (edge.http.core.absolute, lambda url: edge.http.core.signed("GET", url)):
        with pytest.raises(BadResponse, match="not of HTTP"):
            use(url)
    assert fake.seen == []


def test_a_signed_address_has_tls_where_the_service_has_it(fake: Fake) -> None:
    absolute = session("https://edge.example.com/api").http.core.absolute
    assert absolute("v1/content/k?signature=s") == "https://edge.example.com/api/v1/content/k?signature=s"
    assert absolute("https://store.example.com/k") == "https://store.example.com/k"
    with pytest.raises(BadResponse) as raised:
        absolute("http://store.example.com/k?signature=s")
    assert str(raised.value) == (
        "https://edge.example.com/api gives an address without TLS (http://store.example.com/k), where content would "
        "travel in clear; tell the server's operator"
    )
    with pytest.raises(BadResponse) as raised:
        absolute("ftp://store.example.com/k")
    assert str(raised.value) == (
        "https://edge.example.com/api gives an address that is not of HTTP; tell the server's operator"
    )
    absolute = session(fake.url).http.core.absolute
    for url in ("http://store.example.com/k", "https://store.example.com/k"):
        assert absolute(url) == url


@pytest.mark.parametrize("status", [200, 400])
def test_an_answer_that_was_packed_unasked_is_not_unpacked(fake: Fake, status: int) -> None:
    fake.answer(status, gzip.compress(b" " * (10 << 20)), Content_Encoding="gzip")
    tracemalloc.start()
    with pytest.raises(BadResponse, match="in the encoding gzip, which was not asked for"):
        session(fake.url).whoami()
    assert tracemalloc.get_traced_memory()[1] < 5 << 20
    tracemalloc.stop()
    assert fake.seen[0][2].get("Accept-Encoding") == "identity"


@pytest.mark.parametrize("packing", ["", " ", "Identity"])
def test_an_answer_that_is_not_packed_may_say_so(fake: Fake, packing: str) -> None:
    fake.answer(200, ME, Content_Encoding=packing)
    assert session(fake.url).whoami().user_name == "ada"


@pytest.mark.parametrize("status", [200, 404])
def test_an_answer_without_end_is_not_read_to_it(fake: Fake, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_core.http.answers.LARGEST", 1 << 20)
    fake.answer(status, b'"' + b"x" * (2 << 20) + b'"')
    with pytest.raises(BadResponse, match="more than 1 MiB, so it is not an Edge server"):
        session(fake.url).whoami()


def test_an_answer_in_a_stream_is_as_limited_when_it_is_read_as_json(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_core.http.answers.LARGEST", 1 << 20)
    for _ in range(2):
        fake.answer(200, b'"' + b"x" * (2 << 20) + b'"')
    client = session(fake.url).http.core
    with client.stream("GET", "/v1/things") as answer, pytest.raises(BadResponse, match="more than 1 MiB"):
        answer.json()
    fake.answer(404, b'{"code": "not_found", "detail": "' + b"x" * (2 << 20) + b'"}', "application/problem+json")
    fake.handler.answers.pop(0)
    with pytest.raises(BadResponse, match="404 without saying why"):
        client.stream("GET", "/v1/things")


def test_a_refusal_is_read_no_further_than_a_reason_can_be_long(fake: Fake) -> None:
    fake.answer(404, b'{"code": "not_found", "detail": "' + b"x" * (2 << 20) + b'"}', "application/problem+json")
    with pytest.raises(BadResponse, match="more than 1 MiB"):
        session(fake.url).whoami()


def test_no_terminal_obeys_what_a_server_says(fake: Fake) -> None:
    detail = "\x1b[2Jgone\nTraceback \u202e"
    fake.answer(403, problem(403, "forbidden", detail), "application/problem+json", X_Request_ID="\x1b[2J")
    with pytest.raises(Forbidden) as raised:
        session(fake.url).whoami()
    assert str(raised.value) == r"\x1b[2Jgone\nTraceback \u202e [request \x1b[2J]"


def test_an_answer_nested_without_end_is_no_json_of_ours(fake: Fake) -> None:
    fake.answer(200, b"[" * 100_000)
    with pytest.raises(BadResponse, match="JSON"):
        session(fake.url).whoami()


def test_a_servers_sentence_is_taken_over_up_to_a_length(fake: Fake) -> None:
    fake.answer(404, problem(404, "not_found", "x" * 100_000), "application/problem+json")
    with pytest.raises(NotFound) as raised:
        session(fake.url).whoami()
    assert len(str(raised.value)) < 2100


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_nothing_listening_is_reported() -> None:
    with pytest.raises(ConnectionFailed, match="nothing listens at 127.0.0.1:"):
        session(f"http://127.0.0.1:{free_port()}").whoami()


def test_a_store_of_the_servers_that_is_gone_is_no_fault_of_the_service_url(fake: Fake) -> None:
    store = f"127.0.0.1:{free_port()}"
    core = session(fake.url, retries=0).http.core
    with pytest.raises(ConnectionFailed, match=f"nothing listens at {store}; have the .* operator check endpoint"):
        core.signed("GET", f"http://{store}/bucket/key?signature=private")
    with pytest.raises(ConnectionFailed, match="nothing listens at .*; check the service URL"):
        session(f"http://{store}", retries=0).http.core.signed("GET", "v1/content/k?signature=private")


@pytest.mark.parametrize(("status", "error"), [(403, Forbidden), (400, BadResponse)])
def test_a_store_of_the_servers_that_refuses_is_no_fault_of_the_token(
    fake: Fake, status: int, error: type[EdgeError]
) -> None:
    fake.answer(status, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", "application/xml")
    core = session("http://127.0.0.1:9", retries=0).http.core
    with pytest.raises(error, match=f"answered {status}.* operator check endpoint") as raised:
        core.signed("GET", f"{fake.url}/bucket/key?signature=private")
    assert "token" not in str(raised.value)
    assert "private" not in str(raised.value)


def test_a_failed_connection_carries_its_call(fake: Fake) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ConnectionFailed) as raised:
        session(url).search("plate")
    error = pickle.loads(pickle.dumps(raised.value))
    for failure in (raised.value, error):
        assert failure.method == "GET"
        assert failure.url == f"{url}/v1/orgs/default/search"
        assert re.fullmatch("[0-9a-f]{16}", failure.request_id or "")
        assert str(failure) == str(raised.value)


def test_a_body_that_breaks_off_while_it_is_read_carries_its_call(raw_server: Callable[[bytes], str]) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf"
    url = raw_server(cut)
    with pytest.raises(ConnectionFailed) as raised, session(url).http.core.stream("GET", "/v1/x") as answer:
        answer.read()
    assert (raised.value.method, raised.value.url) == ("GET", f"{url}/v1/x")
    assert raised.value.request_id


def test_a_call_that_is_sent_again_is_a_single_warning(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    fake.answer(503, b"busy", kind="text/plain")
    fake.answer(502, b"busy", kind="text/plain")
    fake.answer(200, {"items": [], "next": None})
    session(fake.url).search("a-private-query")
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    request_id = fake.seen[0][2]["X-Request-ID"]
    assert warning.getMessage() == (
        f"GET {fake.url}/v1/orgs/default/search failed and is sent again: 503 [request {request_id}]"
    )


def test_the_warning_of_a_connection_that_failed_says_why(caplog: pytest.LogCaptureFixture) -> None:
    edge = session(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ConnectionFailed):
        edge.http.core.signed("GET", "v1/content/k?signature=private").close()
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "nothing listens at 127.0.0.1:" in warning
    assert "private" not in warning


def test_a_call_that_is_answered_at_once_is_no_warning(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    fake.answer(200, ME)
    session(fake.url).whoami()
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_an_unknown_host_is_reported() -> None:
    with pytest.raises(ConnectionFailed, match="no host named nowhere.invalid"):
        session("https://nowhere.invalid").whoami()


def test_a_port_that_speaks_something_else_is_reported(raw_server: Callable[[bytes], str]) -> None:
    for greeting in (b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00\x01\x02\x03", b""):
        with pytest.raises(ConnectionFailed, match="check the service URL"):
            session(raw_server(greeting)).whoami()


def test_https_to_a_plain_port_is_reported(fake: Fake) -> None:
    with pytest.raises(ConnectionFailed, match="http:// or https://"):
        session(fake.url.replace("http:", "https:")).whoami()


def test_a_body_cut_short_is_reported(raw_server: Callable[[bytes], str]) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n" + ME
    with pytest.raises(ConnectionFailed, match="broke off before its end"):
        session(raw_server(cut)).whoami()


def test_a_server_that_stops_answering_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        edge = session(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=(60, 0.1), retries=0)
        with pytest.raises(ConnectionFailed, match="stopped answering"):
            edge.whoami()


def test_a_missing_ca_bundle_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such.pem")
    with pytest.raises(ConfigurationError, match="/no/such.pem"):
        session("https://127.0.0.1:1").whoami()


def test_a_name_that_is_not_unicode_is_a_bad_entry(fake: Fake) -> None:
    with pytest.raises(BadEntry, match="Unicode"):
        session(fake.url).http.core.get("/v1/x", params={"path": "\ud800"})


def test_a_closed_session_says_so_and_closes_twice(fake: Fake) -> None:
    fake.answer(200, ME)
    edge = session(fake.url)
    edge.whoami()
    client = edge.http.core
    edge.close()
    edge.close()
    for call in (edge.whoami, lambda: client.get("/v1/users/me")):
        with pytest.raises(EdgeError, match="this session is closed"):
            call()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_session_survives_a_fork(fake: Fake) -> None:
    fake.answer(200, ME)
    edge = session(fake.url)
    edge.whoami()
    child = os.fork()
    if child == 0:
        ok = edge.whoami().user_name == "ada"
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert edge.whoami().user_name == "ada"


def test_errors_show_neither_token_nor_query(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    fake.answer(404, problem(404, "not_found"), "application/problem+json")
    with pytest.raises(NotFound) as raised:
        session(fake.url).http.core.get("/v1/x", params={"path": "signature-like"})
    shown = f"{raised.value!r} {raised.value} {raised.value.__dict__} {caplog.text}"
    assert "edg_secret" not in shown
    assert "edg_secret" not in "".join(record.getMessage() for record in caplog.records if record.name == "edge")
    assert "signature-like" not in f"{raised.value!r} {raised.value.__dict__}"


class Clock:
    """Time that goes on by a quarter of a second each time that it is read."""

    def __init__(self) -> None:
        self._now = 100.0

    def monotonic(self) -> float:
        self._now += 0.25
        return self._now

    def sleep(self, seconds: float) -> None:
        pass


def test_each_attempt_is_a_line_of_the_log(
    fake: Fake, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_core.http.client.time", Clock())
    caplog.set_level("DEBUG", "edge")
    fake.answer(503, b"busy", "text/plain")
    fake.answer(200, ME)
    session(fake.url).http.core.put("/v1/things", json={"a": 1})
    with pytest.raises(ConnectionFailed) as raised:
        session(f"http://127.0.0.1:{(port := free_port())}", retries=0).http.core.signed(
            "GET", "v1/c?signature=private"
        )
    assert re.fullmatch("[0-9a-f]{16}", raised.value.request_id or "")
    lines = [record.getMessage() for record in caplog.records if record.name == "edge"]
    sent = f"[request {fake.seen[0][2]['X-Request-ID']}, token edg_secr***]"
    assert lines == [
        f"PUT {fake.url}/v1/things -> 503 in 250 ms, 8 bytes sent, 4 received {sent}",
        f"PUT {fake.url}/v1/things -> 200 in 250 ms, 8 bytes sent, {len(ME)} received {sent}",
        f"GET http://127.0.0.1:{port}/v1/c -> {raised.value} in 250 ms, 0 bytes sent, ? received "
        f"[request {raised.value.request_id}, token none]",
    ]


def test_hooks_hear_of_each_attempt_and_its_outcome(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    class Listener:
        @hookimpl
        def edge_response(self, request: Any, response: Any) -> None:
            heard.append((request, response))

    heard: list[tuple[Any, Any]] = []
    monkeypatch.setattr("edge_core.http.client.time", Clock())
    fake.answer(503, b"busy", "text/plain")
    fake.answer(200, ME)
    edge = session(fake.url)
    edge.hooks.register(Listener())
    edge.whoami()
    assert [response.status for _, response in heard] == [503, 200]
    assert [response.seconds for _, response in heard] == [0.25, 0.25]
    assert [response.error for _, response in heard] == [None, None]
    assert heard[1][1].headers["Content-Length"] == str(len(ME))
    assert {(request.method, request.url) for request, _ in heard} == {("GET", f"{fake.url}/v1/users/me")}
    heard.clear()
    gone = session(f"http://127.0.0.1:{free_port()}", retries=0)
    gone.hooks.register(Listener())
    with pytest.raises(ConnectionFailed) as raised:
        gone.whoami()
    ((_, response),) = heard
    assert (response.status, response.headers, response.seconds) == (None, {}, 0.25)
    assert response.error is raised.value


REFUSED_BY_PROXY = (
    "the proxy on the way to edge.localhost wants another user name or password; write them into HTTP_PROXY and "
    "HTTPS_PROXY, as in http://USER:PASSWORD@proxy.example.com:3128"
)


@pytest.mark.parametrize("status", [407, 401])
def test_a_proxy_that_refuses_its_password_is_called_once(
    fake: Fake,
    raw_server: Callable[[bytes], str],
    status: int,
    no_waiting: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake.answer(status, HTML, "text/html")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", fake.url)
    monkeypatch.setenv("HTTPS_PROXY", raw_server(b"HTTP/1.1 %d Refused\r\nContent-Length: 0\r\n\r\n" % status))
    for scheme in ("http", "https"):
        edge = EdgeSession("edg_secret", f"{scheme}://edge.localhost", "default")
        with pytest.raises(ConnectionFailed) as raised:
            edge.whoami()
        assert str(raised.value).startswith(REFUSED_BY_PROXY)
    assert len(fake.seen) == 1
    assert no_waiting == []
