"""A hub that hangs, answers slowly or lies: what a real one cannot be made to do is done by a small server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edge_server.base import clock, configuration
from edge_server.base.configuration import Configuration
from edge_server.base.problems import CannotStart, Refusal
from edge_server.identity import hub_answers, kinds
from edge_server.identity.hub import TIMEOUT, Hub, HubUnavailable, Visitor
from edge_server.identity.hub_answers import KEPT, RENEWED, HubAnswers
from edge_server.identity.hub_identity import HubIdentity
from edge_server.testing.local_server import EdgeServer
from tests.waiting import wait_for

from .hubs import patient
from .wire import client, refused

USER = {
    "kind": "user",
    "name": "ada",
    "admin": False,
    "groups": ["lab"],
    "scopes": ["access:services!service=api"],
    "token_id": "a1",
}
CREATED = "2026-11-01T10:00:00.123456Z"
TOKEN = {
    "id": "a1",
    "scopes": USER["scopes"],
    "note": "",
    "created": CREATED,
    "expires_at": None,
    "last_activity": None,
}
GROUPS = {
    "items": [{"name": "lab", "users": ["ada"], "properties": {"edge_organization": "lab", "edge_roles": ["admin"]}}],
    "_pagination": {"next": None},
}


class OddHub:
    """Answers as a hub with one user and one token; or as a test says, by the last part of the path."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "user": USER,
            "ada": {"name": "ada", "admin": False, "created": CREATED, "groups": ["lab"]},
            "a1": TOKEN,
            "tokens": {"api_tokens": [TOKEN]},
            "groups": GROUPS,
        }
        self.calls: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.hold = threading.Event()
        self.hold.set()
        odd = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                odd.calls.append((self.command, self.path))
                odd.headers.append(dict(self.headers))
                odd.hold.wait(60)
                answer = odd.answers[self.path.partition("?")[0].rpartition("/")[2]]
                if callable(answer):
                    answer(self)
                    return
                content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Set-Cookie", "jupyterhub-session-id=of-ada; Path=/")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None: ...

        self._server = Server(("127.0.0.1", 0), Handler)
        self.api_url = f"http://127.0.0.1:{self._server.server_address[1]}/hub/api"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def odd() -> Iterator[OddHub]:
    hub = OddHub()
    yield hub
    hub.close()


def status(code: int, **headers: str) -> Callable[[Any], None]:
    """Answers with a status."""

    def answer(handler: Any) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"{}")

    return answer


def drip(handler: Any) -> None:
    """Answers a byte at a time, without an end."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.2)


def endless(handler: Any) -> None:
    """Answers with more than fits into memory."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 40))
    handler.end_headers()
    for _ in range(10_000):
        handler.wfile.write(bytes(1 << 20))


def cut(handler: Any) -> None:
    """Ends in the middle of an answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"kind": "user"')
    handler.close_connection = True


LIES: dict[str, Any] = {
    "no JSON": b"<html>hello</html>",
    "a list": [USER],
    "a text": "ada",
    "nothing": None,
    "no kind": {key: value for key, value in USER.items() if key != "kind"},
    "an unknown kind": {**USER, "kind": "robot"},
    "no name": {**USER, "name": None},
    "an empty name": {**USER, "name": ""},
    "a long name": {**USER, "name": "a" * 10_000},
    "a number for a name": {**USER, "name": 7},
    "text for admin": {**USER, "admin": "yes"},
    "a number for admin": {**USER, "admin": 2},
    "text for scopes": {**USER, "scopes": "access:services!service=api"},
    "numbers for scopes": {**USER, "scopes": [1]},
    "no scopes": {key: value for key, value in USER.items() if key != "scopes"},
    "text for groups": {**USER, "groups": "lab"},
    "an odd id": {**USER, "token_id": "../a1"},
    "deep nesting": b"[" * 100_000,
    "half a surrogate pair": b'{"kind": "user", "name": "\\ud800", "scopes": []}',
    "no UTF-8": b'{"kind": "user", "name": "\xff"}',
    "cut off": cut,
    "too long": endless,
    "a redirect": status(302, Location="http://127.0.0.1:9/"),
    "busy": status(429),
    "broken": status(500),
    "not there": status(404),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_that_is_none_of_a_hub_lets_nobody_in(odd: OddHub, lie: str) -> None:
    odd.answers["user"] = LIES[lie]
    hub = Hub(odd.api_url, "secret-of-the-service", "api")
    if lie == "half a surrogate pair":
        # A name that no user can have, which is refused when they are to come in.
        assert hub.visitor("token-of-ada") is not None
        return
    with pytest.raises(HubUnavailable) as raised:
        hub.visitor("token-of-ada")
    for text in (raised.value.why, raised.value.detail):
        assert "token-of-ada" not in text
        assert "secret-of-the-service" not in text


@pytest.mark.parametrize(
    ("place", "lie"),
    [
        ("ada", {"name": "eve", "admin": False, "created": CREATED, "groups": []}),
        ("ada", {"name": "ada", "admin": False, "created": None, "groups": []}),
        ("ada", {"name": "ada", "admin": False, "created": "yesterday", "groups": []}),
        ("ada", {"name": "ada", "admin": False, "groups": []}),
        ("ada", {"name": "ada", "created": CREATED, "groups": []}),
        ("ada", {"name": "ada", "admin": "yes", "created": CREATED, "groups": []}),
        ("groups", []),
        ("groups", {"items": [], "_pagination": {"next": {"offset": 0}}}),
        ("groups", {"items": [{"name": "lab", "users": "ada", "properties": {}}], "_pagination": {"next": None}}),
        ("groups", {"items": [{"name": "lab", "users": [], "properties": ["x"]}], "_pagination": {"next": None}}),
        ("a1", {**TOKEN, "expires_at": "never"}),
        ("a1", {**TOKEN, "id": 1}),
        ("tokens", {"api_tokens": {"a1": TOKEN}}),
        ("tokens", [TOKEN]),
    ],
)
def test_no_lie_about_a_user_a_group_or_a_token_is_believed(odd: OddHub, place: str, lie: Any) -> None:
    odd.answers[place] = lie
    hub = Hub(odd.api_url, "secret-of-the-service", "api")
    ask: dict[str, Callable[[], object]] = {
        "ada": lambda: hub.user("ada"),
        "groups": hub.groups,
        "a1": lambda: hub.token("ada", "a1"),
        "tokens": lambda: hub.tokens("ada"),
    }
    with pytest.raises(HubUnavailable):
        ask[place]()


def test_a_list_of_groups_that_goes_on_and_on_has_an_end(odd: OddHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def next_page(handler: Any) -> None:
        offset = int(handler.path.partition("offset=")[2].partition("&")[0])
        content = json.dumps({"items": [], "_pagination": {"next": {"offset": offset + 1}}}).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    odd.answers["groups"] = next_page
    monkeypatch.setattr("edge_server.identity.hub.MOST_PAGES", 20)
    with pytest.raises(HubUnavailable):
        Hub(odd.api_url, "secret", "api").groups()
    assert len(odd.calls) == 20


def test_cookies_of_an_answer_do_not_go_along_with_another_token(
    odd: OddHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login eve password eves\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    hub = Hub(odd.api_url, "secret", "api")
    assert (
        hub.visitor("first")
        == hub.visitor("second")
        == Visitor("user", "ada", False, frozenset({"lab"}), frozenset({"access:services!service=api"}), "a1", False)
    )
    assert [headers["Authorization"] for headers in odd.headers] == ["token first", "token second"]
    assert not any("Cookie" in headers for headers in odd.headers)


# --- answers that are kept


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the clock shows, to be set."""
    moment = [1000.0]
    monkeypatch.setattr(clock, "_monotonic", lambda: moment[0])
    return moment


class Lookups:
    """Looks a token up, and counts how often."""

    def __init__(self, refusal: Refusal | None = None) -> None:
        self.refusal = refusal
        self.count = 0
        self.hold = threading.Event()
        self.hold.set()

    def __call__(self) -> None:
        self.count += 1
        self.hold.wait(60)
        if self.refusal is not None:
            raise self.refusal


def idle(answers: HubAnswers) -> bool:
    return answers._running == 0


@pytest.mark.parametrize("is_good", [True, False])
def test_an_answer_counts_for_seconds_and_is_renewed_before(now: list[float], is_good: bool) -> None:
    answers = HubAnswers(lambda: 16)
    look_up = Lookups(None if is_good else kinds.unauthenticated("no"))

    def ask() -> bool:
        try:
            answers.require_good("digest", look_up)
        except Refusal as refusal:
            if refusal.status != 401:
                raise
            return False
        finally:
            wait_for(lambda: idle(answers))
        return True

    assert ask() is is_good
    now[0] += RENEWED - 0.1
    assert ask() is is_good
    assert look_up.count == 1
    now[0] += 0.2
    assert ask() is is_good  # by what is kept, while it is renewed
    assert look_up.count == 2
    look_up.refusal = kinds.unauthenticated("no") if is_good else None
    now[0] += RENEWED + 0.1
    ask()
    assert ask() is not is_good


def test_an_answer_is_kept_no_longer_than_it_may_be(now: list[float]) -> None:
    answers = HubAnswers(lambda: 16)
    look_up = Lookups()
    answers.require_good("digest", look_up)
    look_up.refusal = HubUnavailable("it is away")
    now[0] += KEPT - 0.1
    answers.require_good("digest", look_up)
    wait_for(lambda: idle(answers))
    now[0] += 0.2
    with pytest.raises(HubUnavailable):
        answers.require_good("digest", look_up)
    assert KEPT <= 10


def test_the_age_of_an_answer_counts_from_the_question(now: list[float]) -> None:
    answers = HubAnswers(lambda: 16)
    look_up = Lookups()

    def slow() -> None:
        now[0] += KEPT - 1
        look_up()

    answers.require_good("digest", slow)
    now[0] += 1.1
    answers.require_good("digest", look_up)
    assert look_up.count == 2


def test_a_quarter_of_the_threads_wait_and_the_others_are_refused_at_once() -> None:
    answers = HubAnswers(lambda: 16)
    look_up = Lookups()
    look_up.hold.clear()
    answers.run(lambda: None)  # the threads are there

    def attempt(n: int) -> str:
        began = time.monotonic()
        try:
            answers.require_good(f"digest-{n % 8}", look_up)
        except HubUnavailable as away:
            return "waited" if "within" in away.why else f"refused {time.monotonic() - began < TIMEOUT}"
        return "good"

    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(attempt, range(16)))
        assert outcomes.count("waited") == 4
        assert outcomes.count("refused True") + outcomes.count("refused False") == 12
        assert look_up.count <= 4
        look_up.hold.set()
    wait_for(lambda: idle(answers))
    answers.require_good("digest-9", look_up)


def test_many_who_come_at_once_stand_in_line_and_leave_threads_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class whose notebooks start together: more than may wait for the hub at once, which is well."""
    monkeypatch.setattr(hub_answers, "TIMEOUT", 300)
    monkeypatch.setattr(hub_answers, "STANDSTILL", 300)
    answers = HubAnswers(lambda: 16)
    look_up = Lookups()
    look_up.hold.clear()
    with ThreadPoolExecutor(13) as pool:
        coming = [pool.submit(answers.require_good, f"digest-{n}", look_up) for n in range(4)]
        wait_for(lambda: answers._waiting == 4)
        coming += [pool.submit(answers.require_good, f"digest-{n}", look_up) for n in range(4, 11)]
        coming.append(pool.submit(answers.run, look_up))
        wait_for(lambda: answers._line == 8)
        assert answers._running == 4
        with pytest.raises(HubUnavailable, match="answer just now"):
            answers.require_good("digest-12", look_up)
        with pytest.raises(HubUnavailable, match="answer just now"):
            answers.run(look_up)
        look_up.hold.set()
        for each in coming:
            each.result()
    assert look_up.count == 12
    assert answers._line == answers._waiting == 0


def test_nobody_stands_in_line_for_a_hub_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_answers, "TIMEOUT", 300)
    monkeypatch.setattr(hub_answers, "STANDSTILL", 0.05)
    answers = HubAnswers(lambda: 4)
    look_up = Lookups()
    look_up.hold.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(answers.require_good, "digest-0", look_up)
        wait_for(lambda: answers._waiting == 1)
        with pytest.raises(HubUnavailable):
            answers.require_good("digest-1", look_up)
        monkeypatch.setattr(hub_answers, "STANDSTILL", 300)
        began = time.monotonic()
        with pytest.raises(HubUnavailable):
            answers.require_good("digest-1", look_up)
        assert time.monotonic() - began < 150, "who comes after a standstill waits for its end"
        look_up.hold.set()
        first.result()
        look_up.hold.clear()
        wait_for(lambda: idle(answers))
        second = pool.submit(answers.require_good, "digest-2", look_up)
        wait_for(lambda: answers._waiting == 1)
        with ThreadPoolExecutor(1) as other:
            third = other.submit(answers.require_good, "digest-3", look_up)
            wait_for(lambda: answers._line == 1, "the hub answers again, and nobody waits for their turn")
            look_up.hold.set()
            second.result()
            third.result()


def test_those_who_wait_for_the_same_lookup_count_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_answers, "TIMEOUT", 300)
    monkeypatch.setattr(hub_answers, "STANDSTILL", 300)
    answers = HubAnswers(lambda: 8)
    look_up, other = Lookups(), Lookups()
    look_up.hold.clear()
    with ThreadPoolExecutor(3) as pool:
        coming = [pool.submit(answers.require_good, "digest", look_up) for _ in range(2)]
        wait_for(lambda: answers._waiting == 2)
        coming.append(pool.submit(answers.run, other))
        wait_for(lambda: answers._line == 1)
        assert other.count == 0
        look_up.hold.set()
        for each in coming:
            each.result()
    assert (look_up.count, other.count) == (1, 1)


def test_who_stood_in_line_for_a_lookup_that_fails_has_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_answers, "TIMEOUT", 300)
    monkeypatch.setattr(hub_answers, "STANDSTILL", 300)
    answers = HubAnswers(lambda: 4)
    failing, good = Lookups(HubUnavailable("it cannot be reached")), Lookups()
    failing.hold.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(answers.require_good, "digest", failing)
        wait_for(lambda: answers._waiting == 1)
        second = pool.submit(answers.require_good, "digest", good)
        wait_for(lambda: answers._line == 1)
        failing.hold.set()
        with pytest.raises(HubUnavailable):
            first.result()
        second.result()
    assert good.count == 1


def test_those_who_are_to_come_later_do_not_come_together() -> None:
    seconds = {int(HubUnavailable("it is away").headers["Retry-After"]) for _ in range(1000)}
    assert seconds == {1, 2, 3, 4}


def test_requests_with_the_same_token_ask_the_hub_once() -> None:
    answers = HubAnswers(lambda: 64)
    look_up = Lookups()
    look_up.hold.clear()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(answers.require_good, "digest", look_up) for _ in range(8)]
        wait_for(lambda: answers._waiting == 8)
        look_up.hold.set()
        for each in waiting:
            each.result()
    assert look_up.count == 1


def test_wrong_tokens_take_no_more_memory(now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_answers, "MOST_KEPT", 10)
    answers = HubAnswers(lambda: 16)
    for n in range(100):
        with pytest.raises(Refusal):
            answers.require_good(f"digest-{n}", Lookups(kinds.unauthenticated("no")))
    wait_for(lambda: idle(answers))
    assert len(answers._answers) == 10
    assert not answers._lookups


# --- a server at an odd hub


@pytest.fixture
def server(odd: OddHub, tmp_path: Path) -> Iterator[EdgeServer]:
    own = EdgeServer(tmp_path / "data")
    own.data.mkdir(mode=0o700)
    path = own.data / configuration.FILE_NAME
    path.touch(0o600)
    path.write_text(
        f'[identity]\nkind = "jupyterhub"\napi_url = "{odd.api_url}"\napi_token = "secret-of-the-service"\n'
    )
    own.start("--threads", "8")
    yield own
    odd.hold.set()
    own.close()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["hangs", "drips"])
def test_a_hub_that_hangs_holds_few_threads_and_none_for_long(odd: OddHub, server: EdgeServer, how: str) -> None:
    known = patient(client(server, "token-of-ada", "lab"))
    assert known.put("a.txt", b"hello").status_code == 201
    address = known.files("GET", "/download-url", params={"path": "a.txt"}).json()["url"]
    if how == "hangs":
        odd.hold.clear()
    else:
        odd.answers["user"] = drip
    attempts = 24

    def attempt(n: int) -> tuple[int, float]:
        began = time.monotonic()
        answer = client(server, f"another-token-{n}", "lab").call("GET", "/v1/users/me")
        refused(answer, 503, "identity_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        return n, time.monotonic() - began

    with ThreadPoolExecutor(attempts) as pool:
        waiting = pool.map(attempt, range(attempts))
        assert known.signed("GET", address).content == b"hello"
        assert known.call("GET", "/healthz").status_code == 200
        seconds = [took for _, took in waiting]
    print(f"the hub {how}: refused after {max(seconds):.1f} s at most; {sum(took > 1 for took in seconds)} waited")
    odd.hold.set()
    odd.answers["user"] = USER
    wait_for(lambda: known.get("a.txt").status_code == 200, "the hub answers, and nobody is let in")
    assert "secret-of-the-service" not in server.log
    assert "token-of-ada" not in server.log


@pytest.mark.slow
def test_a_hub_that_lists_no_group_takes_nothing_but_membership(odd: OddHub, server: EdgeServer) -> None:
    known = patient(client(server, "token-of-ada", "lab"))
    assert known.put("a.txt", b"hello").status_code == 201
    odd.answers["groups"] = {"items": [], "_pagination": {"next": None}}
    odd.answers["user"] = {**USER, "groups": []}
    wait_for(lambda: known.get("a.txt").status_code == 404, "who is in no group is still in")
    odd.answers["groups"], odd.answers["user"] = GROUPS, USER
    wait_for(lambda: known.get("a.txt").status_code == 200, "who is back is not in")


# --- settings


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ('kind = "ldap"', 'write "own" or "jupyterhub"'),
        ('kind = "jupyterhub"', "api_url is missing"),
        ('kind = "jupyterhub"\napi_url = "http://127.0.0.1:8081/hub/api"', "api_token is missing"),
        ('api_url = "http://127.0.0.1:8081/hub/api"', 'kind is "own"'),
        ('kind = "jupyterhub"\napi_url = "http://127.0.0.1:8081"\napi_token = "x"', "/hub/api"),
        ('kind = "jupyterhub"\napi_url = "127.0.0.1:8081/hub/api"\napi_token = "x"', "write the address of the hub"),
        ('kind = "jupyterhub"\napi_url = "http://u:p@h/hub/api"\napi_token = "x"', "write the address of the hub"),
        ('kind = "jupyterhub"\napi_url = "http://h/hub/api"\napi_token = "x"\nca = "none.pem"', "there is no file"),
    ],
)
def test_settings_that_cannot_be_keep_the_server_from_starting(tmp_path: Path, lines: str, sentence: str) -> None:
    path = tmp_path / "server.toml"
    path.touch(0o600)
    path.write_text(f"[identity]\n{lines}\n")
    with pytest.raises(CannotStart, match=sentence):
        kinds.identity_of(Configuration(path), lambda: 16, {})


def test_a_hub_that_starts_the_server_tells_it_all(tmp_path: Path) -> None:
    variables = {
        "JUPYTERHUB_SERVICE_NAME": "edge",
        "JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api",
        "JUPYTERHUB_API_TOKEN": "secret-of-the-service",
    }
    settings = Configuration(tmp_path / "server.toml", {"EDGE_SERVER_IDENTITY_KIND": "jupyterhub"})
    identity = kinds.identity_of(settings, lambda: 16, variables)
    assert isinstance(identity, HubIdentity)
    assert identity.hub.scope == "access:services!service=edge"
    # A server that a hub spawns for a user has a token as well, which is not a service's.
    del variables["JUPYTERHUB_SERVICE_NAME"]
    with pytest.raises(CannotStart, match="api_url is missing"):
        kinds.identity_of(settings, lambda: 16, variables)
