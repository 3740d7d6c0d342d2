"""What is costly or could be guessed at is limited; what people and programs ordinarily do never meets a limit."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import http.client
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import limits
import pytest
import requests
from marshmallow import validate

from edge_core.errors import ServerError
from edge_core.session import EdgeSession
from edge_files import sending
from edge_files.wire import MAX_PARTS, SignParts
from edge_server.base import configuration
from edge_server.base.problems import CannotStart, Refusal
from edge_server.identity import token_values
from edge_server.testing.local_server import EdgeServer
from edge_server.testing.simulation import SimulatedTime
from edge_server.web import rates
from edge_server.web.client_address import ProxySettings, TrustedProxies
from edge_server.web.rates import FAILURES, LIMITS, SEARCH, SIGNING, Rates, RateSettings

from .pairs import single_host_only
from .test_running import wait_for
from .wire import Api, client, refused, session

START = dt.datetime(2031, 1, 31, 12, tzinfo=dt.UTC)
DOCUMENTATION = Path(__file__).parents[3] / "docs" / "administration.md"

in_its_process = single_host_only("each counts what it is asked for by itself")

FEW = """
[limits]
search = "3 per 10 seconds"
signing = "40 per 10 seconds"
inviting = "3 per 10 seconds"
failures = "3 per 10 seconds"

[network]
trusted_proxies = ["127.0.0.1"]
"""


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EdgeServer, SimulatedTime]]:
    """A server whose time stands still unless a test lets it pass: no count depends on how fast the machine is."""
    folder = tmp_path_factory.mktemp("rates")
    time = SimulatedTime(folder / "time")
    time.set(START)
    own = EdgeServer(folder / "data", time=time)
    own.data.mkdir()
    (own.data / configuration.FILE_NAME).write_text(FEW)
    own.start("--access-log")
    yield own, time
    own.close()


@pytest.fixture
def time(own_server: tuple[EdgeServer, SimulatedTime]) -> SimulatedTime:
    """Its time, later than all that was counted before."""
    time = own_server[1]
    pass_by(time, 60)
    return time


@pytest.fixture
def server(own_server: tuple[EdgeServer, SimulatedTime], time: SimulatedTime) -> EdgeServer:
    return own_server[0]


def pass_by(time: SimulatedTime, seconds: float) -> None:
    time.set(time.now() + dt.timedelta(seconds=seconds))


@pytest.fixture
def api(server: EdgeServer) -> Api:
    """An admin of an organization on that server."""
    organization = server.create_organization()
    user = server.create_user(organization=organization, roles=["admin"])
    return client(server, server.create_token(user), organization)


def later(answer: requests.Response, seconds: int = 10) -> None:
    refused(answer, 429, "too_many_requests")
    assert answer.headers["Retry-After"] == str(seconds)
    assert str(seconds) in answer.json()["detail"]


def whoami(server: EdgeServer, token: str, address: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": address}
    return session().get(f"{server.url}/v1/users/me", headers=headers, timeout=60)


def accept(server: EdgeServer, code: str, address: str) -> requests.Response:
    headers = {"X-Forwarded-For": address}
    return session().post(f"{server.url}/v1/invitations/accept", json={"code": code}, headers=headers, timeout=60)


# --- the attacks ----------------------------------------------------------------------------------


@in_its_process
def test_who_guesses_tokens_is_refused_by_address_and_no_valid_token_is(
    server: EdgeServer, api: Api, time: SimulatedTime
) -> None:
    lines = server.log.count("address 198.51.100.7 is refused for now")
    guesses = ["edg_guess", "x", token_values.new_token(), *(token_values.new_token() for _ in range(30))]
    answers = [whoami(server, guess, "198.51.100.7") for guess in guesses]
    for answer in answers[:3]:
        refused(answer, 401, "unauthenticated")
    for answer in answers[3:]:
        later(answer)
    assert whoami(server, api.token or "", "198.51.100.7").status_code == 200
    refused(whoami(server, token_values.new_token(), "198.51.100.8"), 401, "unauthenticated")
    pass_by(time, 4)
    later(whoami(server, guesses[0], "198.51.100.7"), 6)
    pass_by(time, 6)
    refused(whoami(server, guesses[0], "198.51.100.7"), 401, "unauthenticated")
    # One line in a window, and no guess in it.
    assert (
        server.log.count("address 198.51.100.7 is refused for now: more than 3 in 10 seconds (failures)") == lines + 1
    )
    assert "198.51.100.8" not in server.log
    assert not any(guess in server.log for guess in guesses if len(guess) > 8)


@in_its_process
def test_who_guesses_invitations_is_refused_by_address_and_nobody_who_was_invited(
    server: EdgeServer, api: Api, time: SimulatedTime
) -> None:
    invited = api.call("POST", f"/v1/orgs/{api.organization}/invitations", json={"user_name": "grace"})
    guesses = [token_values.new_token(token_values.INVITATION_PREFIX) for _ in range(30)]
    answers = [accept(server, guess, "198.51.100.7") for guess in guesses]
    for answer in answers[:3]:
        refused(answer, 404, "not_found")
    for answer in answers[3:]:
        later(answer)
    assert accept(server, invited.json()["code"], "198.51.100.7").status_code == 200


@in_its_process
def test_who_guesses_signatures_is_refused_by_address_and_no_valid_signature_is(server: EdgeServer, api: Api) -> None:
    assert api.put("a.txt", b"content").status_code == 201
    address = api.files("GET", "/download-url", params={"path": "a.txt"}).json()["url"]
    wrong = f"{address}x"
    answers = [api.signed("GET", wrong, headers={"X-Forwarded-For": "198.51.100.7"}) for _ in range(6)]
    for answer in answers[:3]:
        refused(answer, 403, "bad_signature")
    for answer in answers[3:]:
        later(answer)
    assert api.signed("GET", address, headers={"X-Forwarded-For": "198.51.100.7"}).content == b"content"


@in_its_process
def test_searches_are_limited_by_user_whatever_their_token_and_address(
    server: EdgeServer, api: Api, time: SimulatedTime
) -> None:
    name = api.call("GET", "/v1/users/me").json()["user_name"]

    def search(token: str | None, address: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": address}
        return api.call("GET", f"/v1/orgs/{api.organization}/search", params={"query": "a"}, headers=headers)

    tokens = [server.create_token(name) for _ in range(6)]
    answers = [search(token, f"198.51.100.{n}") for n, token in enumerate(tokens)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429, 429]
    later(answers[3])
    colleague = server.create_user(organization=api.organization)
    assert search(server.create_token(colleague), "198.51.100.1").status_code == 200
    pass_by(time, 10)
    assert search(api.token, "198.51.100.1").status_code == 200


@in_its_process
def test_invitations_are_limited_by_user(server: EdgeServer, api: Api) -> None:
    def invite(name: str) -> requests.Response:
        return api.call("POST", f"/v1/orgs/{api.organization}/invitations", json={"user_name": name})

    answers = [invite(f"guest-{n}") for n in range(5)]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 429, 429]
    later(answers[4])


@in_its_process
def test_signatures_are_limited_by_user_and_counted_by_the_address_that_is_signed(
    server: EdgeServer, api: Api, time: SimulatedTime
) -> None:
    upload = api.start("big.bin", size=None)

    def sign(*numbers: int) -> requests.Response:
        return api.files("POST", f"/uploads/{upload['id']}/sign", json={"parts": [{"n": n} for n in numbers]})

    assert len(sign(*range(1, 40)).json()["parts"]) == 39
    later(sign(40, 41))
    later(sign(40))
    pass_by(time, 10)
    assert sign(40, 41).status_code == 200


# --- what a client makes of it --------------------------------------------------------------------


@in_its_process
def test_the_client_waits_for_the_end_of_a_limit_and_goes_on(
    server: EdgeServer, api: Api, time: SimulatedTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        pass_by(time, seconds)

    monkeypatch.setattr("edge_core.http.client.time.sleep", sleep)
    with EdgeSession(api.token, server.url, api.organization) as edge:
        edge.files.upload("a.txt", b"content")
        for _ in range(8):
            assert [result.name for result in edge.search("a.txt")] == ["a.txt"]
        assert waits == [10.0, 10.0]
        # And where nothing ends, it says so.
        monkeypatch.setattr("edge_core.http.client.time.sleep", waits.append)
        with pytest.raises(ServerError, match="wait 10 seconds and try again"):
            for _ in range(4):
                list(edge.search("a.txt"))
    assert len(waits) == 4


# --- what everybody does --------------------------------------------------------------------------


def test_the_largest_file_needs_a_part_of_what_may_be_signed() -> None:
    """A file of 5 TiB has 10,000 parts; though all of them were signed at once, two more could be."""
    amount = limits.parse(SIGNING.default).amount
    assert amount >= 2 * MAX_PARTS
    # As our own client goes about it, that is one request for each 16 parts, and no other limit counts those.
    assert MAX_PARTS / sending.SIGNED_AHEAD == 625
    # The most that one request may sign is a small part of it: it is never refused for its own size.
    (length,) = [rule for rule in SignParts.schema().fields["parts"].validators if isinstance(rule, validate.Length)]
    assert length.max is not None
    assert amount >= 10 * length.max


@pytest.mark.slow
def test_a_busy_job_meets_no_limit(edge_server: EdgeServer, edge_session: EdgeSession, tmp_path: Path) -> None:
    """A build job, as fast as it can: files in parts by many threads, small files, links, a search for each."""
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(40 << 20))

    def work(n: int) -> None:
        edge_session.files.upload(f"job/large-{n}.bin", large)
        for m in range(5):
            edge_session.files.upload(f"job/{n}-{m}.txt", b"content")
            with edge_session.files.open(f"job/{n}-{m}.txt", open_with="file") as file:
                assert file.download_url()
                assert file.read() == b"content"
        assert list(edge_session.search(f"large-{n}.bin"))

    before = edge_server.log.count("is refused for now")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert edge_server.log.count("is refused for now") == before


# --- where a request comes from -------------------------------------------------------------------

PROXIES = ProxySettings().load({"trusted_proxies": ["127.0.0.1", "10.1.0.0/16", "fd00::/8", "::1"]})["trusted_proxies"]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        ("198.51.100.7", "", "198.51.100.7"),
        # Not a proxy of ours: what it sends is its own invention.
        ("198.51.100.7", "203.0.113.9", "198.51.100.7"),
        ("198.51.100.7", "127.0.0.1", "198.51.100.7"),
        ("10.2.0.1", "203.0.113.9", "10.2.0.1"),
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        # A client wrote the first ones itself; the proxy appends.
        ("127.0.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "6.6.6.6,127.0.0.1,203.0.113.9", "203.0.113.9"),
        # A proxy before a proxy.
        ("127.0.0.1", "203.0.113.9, 10.1.2.3", "203.0.113.9"),
        ("127.0.0.1", "6.6.6.6, 203.0.113.9, 10.1.2.3, 10.1.2.4", "203.0.113.9"),
        ("127.0.0.1", "10.1.2.3, 10.1.2.4", "10.1.2.3"),
        # None at all, and what is no address: the last one that somebody of ours answers for.
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "unknown", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.9, unknown", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.9, _hidden, 10.1.2.3", "10.1.2.3"),
        ("127.0.0.1", ",,,", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.9,", "127.0.0.1"),
        ("127.0.0.1", "٢٠٣.0.113.9", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.999", "127.0.0.1"),
        ("127.0.0.1", "9" * 8000, "127.0.0.1"),
        # With ports, as some proxies write.
        ("127.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("127.0.0.1", '"[2001:db8::17]:4711"', "2001:db8::/64"),
        ("127.0.0.1", "[2001:db8::17]", "2001:db8::/64"),
        # IPv6: whoever has an address has all of its network of 64 bits.
        ("2001:db8::1", "203.0.113.9", "2001:db8::/64"),
        ("2001:db8::ffff:2", "", "2001:db8::/64"),
        ("2001:db8:0:1::2", "", "2001:db8:0:1::/64"),
        ("::1", "2001:db8:5::17", "2001:db8:5::/64"),
        ("fd12::1", "203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "203.0.113.9", "fe80::/64"),
        # IPv4 on a socket of IPv6.
        ("::ffff:198.51.100.7", "203.0.113.9", "198.51.100.7"),
        ("::ffff:127.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        # A server without an address of its peer.
        (None, "203.0.113.9", "unknown"),
        ("", "", "unknown"),
    ],
)
def test_only_a_trusted_proxy_says_where_a_request_comes_from(
    peer: str | None, forwarded_for: str, address: str
) -> None:
    assert TrustedProxies(PROXIES).client(peer, forwarded_for) == address


def test_without_a_setting_no_proxy_is_trusted() -> None:
    networks = ProxySettings().load({})["trusted_proxies"]
    assert TrustedProxies(networks).client("127.0.0.1", "203.0.113.9") == "127.0.0.1"


@in_its_process
def test_a_header_cannot_be_smuggled_past_the_server(server: EdgeServer) -> None:
    """Two headers are one list, and a name with underscores is no header of a proxy's."""
    guess = token_values.new_token()
    lines = [
        ("X-Forwarded-For", "6.6.6.{n}"),
        ("X-Forwarded-For", "198.51.100.7"),
        ("X_Forwarded_For", "6.6.6.{n}"),
        ("Authorization", f"Bearer {guess}"),
    ]
    statuses = []
    for n in range(5):
        connection = http.client.HTTPConnection(server.url.partition("//")[2], timeout=60)
        connection.putrequest("GET", "/v1/users/me")
        for name, value in lines:
            connection.putheader(name, value.format(n=n))
        connection.endheaders()
        statuses.append(connection.getresponse().status)
        connection.close()
    assert statuses == [401, 401, 401, 429, 429]
    assert "address 198.51.100.7 is refused" in server.log


def test_the_access_log_has_the_address_that_counts(server: EdgeServer) -> None:
    headers = {"X-Forwarded-For": "6.6.6.6, 198.51.100.77"}
    assert session().get(f"{server.url}/v1/meta", headers=headers).status_code == 200
    log = server.data / "logs" / "access.log"
    wait_for(lambda: any(line.startswith("198.51.100.77 [") for line in log.read_text().splitlines()))
    assert "6.6.6.6" not in log.read_text()


# --- what an operator can set ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[network]\ntrusted_proxies = '10.0.0.1'", "network.trusted_proxies: write a list"),
        ("[network]\ntrusted_proxies = ['nginx']", "this is no address or network"),
        ("[network]\ntrusted_proxies = ['10.0.0.1/8']", "no bit set behind the prefix"),
        ("[network]\ntrusted_proxies = [10]", "this is no address or network"),
        ("[network]\nproxies = []", "there is no setting network.proxies"),
        ("[limits]\nsearch = 5", "limits.search: this is no rate"),
        ("[limits]\nsearch = 'often'", "limits.search: this is no rate"),
        ("[limits]\nsearch = '0 per minute'", "limits.search: this is no rate"),
        ("[limits]\nuploads = '5/minute'", "there is no setting limits.uploads"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_a_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / configuration.FILE_NAME).write_text(text)
    settings = configuration.Configuration(tmp_path / configuration.FILE_NAME)
    with pytest.raises(CannotStart, match=re.escape(sentence)):
        _ = settings.section("network", ProxySettings()), settings.section("limits", RateSettings())


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_the_documentation_has_the_numbers(limit: rates.Limit) -> None:
    row = next(line for line in DOCUMENTATION.read_text().splitlines() if line.startswith(f"| `{limit.name}` |"))
    assert f"| {limits.parse(limit.default).amount:,} " in row


# --- the counters ---------------------------------------------------------------------------------


def spent(counters: Rates, limit: rates.Limit, who: str) -> bool:
    try:
        counters.spend(limit, who)
    except Refusal:
        return False
    return True


def test_counters_of_many_addresses_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    counters = Rates()
    tracemalloc.start()
    try:
        for n in range(2 * rates.MOST_COUNTERS):
            counters.spend(FAILURES, f"address 2001:db8:{n >> 16:x}:{n & 0xFFFF:x}::/64")
        held = tracemalloc.get_traced_memory()[0]
        for n in range(3 * rates.MOST_COUNTERS):
            counters.spend(FAILURES, f"address 2001:db9:{n >> 16:x}:{n & 0xFFFF:x}::/64")
        assert tracemalloc.get_traced_memory()[0] < 1.1 * held
    finally:
        tracemalloc.stop()
    assert held < 8 << 20


def test_counters_that_end_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("edge_server.base.clock._monotonic", lambda: now[0])
    counters = Rates({"search": limits.parse("2 per 10 seconds")})
    assert [spent(counters, SEARCH, "user a") for _ in range(4)] == [True, True, False, False]
    now[0] = 9.9
    assert not spent(counters, SEARCH, "user a")
    assert spent(counters, SEARCH, "user b")
    now[0] = 10
    assert spent(counters, SEARCH, "user a")
    now[0] = 100
    assert spent(counters, SEARCH, "user c")
    (storage,) = [limiter.storage for limit, limiter in counters._limiters.items() if limit is SEARCH]
    assert len(vars(storage)["_counts"]) == 1


def test_threads_together_keep_to_the_limit() -> None:
    counters = Rates({"signing": limits.parse("500 per hour")})
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        allowed = list(pool.map(lambda _: spent(counters, SIGNING, "user a"), range(2000)))
    assert sum(allowed) == 500
