"""Signed addresses: what they open, and that nothing else does."""

from __future__ import annotations

import datetime as dt
import http.server
import os
import threading
from collections.abc import Iterator
from urllib.parse import parse_qs, parse_qsl, urlencode, urljoin

import pytest
import requests
import sqlalchemy as sa

from edge_server.base import clock
from edge_server.data.database import SERVER
from edge_server.files.models import Version
from edge_server.files.sending import disposition
from edge_server.keys.signing import Signer, read_key
from edge_server.testing.local_server import EdgeServer

from .engines import on_each_engine
from .stores import folder_only
from .wire import Api, close_all, refused, session

edge_server = on_each_engine


def address(api: Api, path: str, **more: object) -> str:
    answer = api.files("GET", "/download-url", params={"path": path, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()["url"]


def changed(url: str, **values: str | None) -> str:
    path, _, query = url.partition("?")
    merged = {**dict(parse_qsl(query)), **values}
    return f"{path}?{urlencode({name: value for name, value in merged.items() if value is not None})}"


def test_an_address_gives_the_content_without_a_token(api: Api) -> None:
    api.put("in/report.csv", b"0123456789")
    url = address(api, "in/report.csv")
    assert not url.startswith(("/", "http"))
    whole = api.signed("GET", url)
    assert whole.status_code == 200
    assert whole.content == b"0123456789"
    assert whole.headers["Content-Disposition"].startswith("attachment; ")
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert whole.headers["ETag"]
    part = api.signed("GET", url, headers={"Range": "bytes=2-3"})
    assert (part.status_code, part.content) == (206, b"23")
    head = api.signed("HEAD", url)
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "10", b"")


def test_an_address_lives_as_long_as_requested(api: Api) -> None:
    api.put("a")
    answer = api.files("GET", "/download-url", params={"path": "a", "expires_in": 60}).json()
    left = dt.datetime.fromisoformat(answer["expires_at"]) - clock.now()
    assert dt.timedelta(seconds=55) < left <= dt.timedelta(seconds=60)
    refused(api.files("GET", "/download-url", params={"path": "a", "expires_in": 0}), 422, "bad_entry")
    refused(api.files("GET", "/download-url", params={"path": "a", "expires_in": 700_000}), 422, "bad_entry")


@pytest.mark.parametrize(
    "values",
    [
        {"expires": "9999999999"},
        {"expires": None},
        {"expires": "soon"},
        {"filename": "run.exe"},
        {"filename": None},
        {"signature": "x" * 43},
        {"signature": ""},
        {"signature": "\N{SNOWMAN}"},
        {"signature": None},
        {"more": "1"},
        {"md5": "1"},
    ],
)
def test_a_changed_address_opens_nothing(api: Api, values: dict[str, str | None]) -> None:
    api.put("a", b"secret")
    refused(api.signed("GET", changed(address(api, "a"), **values)), 403, "bad_signature")


def test_an_address_opens_only_what_it_is_for(api: Api) -> None:
    api.put("a", b"a")
    api.put("b", b"b")
    a, b = address(api, "a"), address(api, "b")
    mixed = a.partition("?")[0] + "?" + b.partition("?")[2]
    refused(api.signed("GET", mixed), 403, "bad_signature")
    refused(api.signed("GET", f"{a}&expires=1"), 403, "bad_signature")
    refused(api.signed("PUT", a), 405, "method_not_allowed")
    upload = api.start("c", 1)["id"]
    first, second = api.address(upload, 1), api.address(upload, 2)
    refused(
        api.signed("PUT", first.partition("?")[0] + "?" + second.partition("?")[2], data=b"x"), 403, "bad_signature"
    )
    refused(api.signed("PUT", first.partition("?")[0] + "?" + a.partition("?")[2], data=b"x"), 403, "bad_signature")


@folder_only("addresses of parts that are the server's own")
def test_an_address_of_a_part_is_for_its_digest_alone(api: Api) -> None:
    bound = api.address(api.start("c", 1)["id"], 1, sha256="0" * 64)
    refused(api.signed("PUT", changed(bound, sha256=None), data=b"x"), 403, "bad_signature")
    refused(api.signed("PUT", changed(bound, sha256="1" * 64), data=b"x"), 403, "bad_signature")


def test_a_signature_is_for_a_single_method(api: Api, edge_server: EdgeServer) -> None:
    api.put("a", b"a")
    url = address(api, "a")
    path, _, query = url.partition("?")
    values = {name: value[0] for name, value in parse_qs(query).items() if name not in ("signature", "expires")}
    signer = Signer(read_key(edge_server.data))
    later = clock.now() + dt.timedelta(minutes=1)
    assert api.signed("GET", signer.address("GET", path, later, values)).status_code == 200
    refused(api.signed("GET", signer.address("PUT", path, later, values)), 403, "bad_signature")


def test_an_expired_address_says_so(api: Api, edge_server: EdgeServer) -> None:
    api.put("a", b"a")
    path = address(api, "a").partition("?")[0]
    signer = Signer(read_key(edge_server.data))
    refused(api.signed("GET", signer.address("GET", path, clock.now(), {"filename": "a"})), 403, "expired")


def test_deleted_content_can_be_read_for_another_24_hours(api: Api, edge_server: EdgeServer) -> None:
    version = api.put("a", b"old").json()["version"]
    url = address(api, "a", expires_in=7 * 86_400)
    api.files("DELETE", "/entry", params={"path": "a"})
    assert api.signed("GET", url).content == b"old"
    assert api.get("a", version=version).content == b"old"
    for hours, status in ((23.9, 200), (24, 404)):
        removed_at = clock.now() - dt.timedelta(hours=hours)
        with edge_server.database.write(SERVER) as session:
            session.execute(sa.update(Version).where(Version.uid == version).values(removed_at=removed_at))
        assert api.signed("GET", url).status_code == status
        assert api.get("a", version=version).status_code == status


@pytest.mark.parametrize(
    "name",
    ['a"b', "a\\b", "Ünïcode €.csv", "x; filename=evil.exe", "%0d%0aSet-Cookie: a=b", "日本.txt", "'", "a%b", "​"],
)
def test_odd_names_are_saved_as_they_are_and_add_no_header(api: Api, name: str) -> None:
    api.put(name, b"x")
    answer = api.signed("GET", address(api, name))
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    header = answer.headers["Content-Disposition"]
    assert header == disposition(name)
    from werkzeug.http import parse_options_header

    kind, options = parse_options_header(header)
    assert kind == "attachment"
    assert options["filename"] == name


def test_the_key_is_for_its_owner_alone(edge_server: EdgeServer) -> None:
    assert (edge_server.data / "signing.key").stat().st_mode & 0o777 == 0o600


PREFIX = "/services/api"


@pytest.fixture
def behind_a_prefix(api: Api) -> Iterator[Api]:
    """A member of a fresh organization through a proxy that strips a prefix from the path and says nothing of it."""
    over = session()

    class Proxy(http.server.BaseHTTPRequestHandler):
        def _forward(self) -> None:
            if not self.path.startswith(f"{PREFIX}/"):
                self.send_error(404, "outside of the prefix")
                return
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            url = f"{inner}{self.path.removeprefix(PREFIX)}"
            answer = over.request(
                self.command, url, headers=headers, data=content or None, allow_redirects=False, timeout=60
            )
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name.lower() not in ("connection", "server", "date"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_PUT = do_POST = do_DELETE = _forward

        def log_message(self, *_: object) -> None:
            pass

    inner = api.url
    proxy = http.server.HTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.02,))
    thread.start()
    api.url = f"http://127.0.0.1:{proxy.server_port}{PREFIX}"
    yield api
    close_all()
    proxy.shutdown()
    thread.join()
    proxy.server_close()


def test_addresses_hold_behind_a_prefix(behind_a_prefix: Api) -> None:
    api = behind_a_prefix
    large = os.urandom((1 << 20) + 1)
    assert api.put("a/small", b"small").status_code == 201
    assert api.upload("a/b/large", large).status_code == 200  # its parts by addresses from a JSON answer
    assert api.get("a/small").content == b"small"
    assert api.signed("GET", address(api, "a/b/large")).content == large
    outside: requests.Response = api.http.get(f"{api.url.replace(PREFIX, '')}/{address(api, 'a/small')}", timeout=60)
    assert outside.status_code == 404


@folder_only("large content, which the server itself sends")
def test_redirects_hold_behind_a_prefix(behind_a_prefix: Api) -> None:
    api = behind_a_prefix
    large = os.urandom((1 << 20) + 1)
    assert api.upload("a/b/large", large).status_code == 200
    answer = api.get("a/b/large")
    assert answer.status_code == 307
    assert not answer.headers["Location"].startswith(("/", "http"))
    target = urljoin(answer.url, answer.headers["Location"])
    assert target.startswith(f"{api.url}/v1/content/")
    assert api.http.get(target, timeout=60).content == large
    part = api.files("GET", "/content", params={"path": "a/b/large"}, headers={"Range": "bytes=5-9"})
    assert part.content == large[5:10]
    beside = urljoin(part.url, part.headers["Content-Location"])
    assert beside.startswith(f"{api.url}/v1/content/")
    assert api.http.get(beside, timeout=60).content == large
