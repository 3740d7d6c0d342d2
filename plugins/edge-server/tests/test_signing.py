"""What a signature covers, and for how long: without a server."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from edge_server.base import clock
from edge_server.base.problems import Refusal
from edge_server.keys.signing import Signer, read_key

KEY = b"0123456789abcdef0123456789abcdef"
EXPIRES_AT = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
ADDRESS = (
    "v1/content/a%20b?filename=50%25+%26+more.csv&as=x&expires=1893499200"
    "&signature=iiGeyLjoiR-SZj8tbtNrww1jh-WDuu7zZhHqU6n2xVQ"
)
"""What every server with this key gives for this content: a link in somebody's mail goes on working."""


@pytest.fixture(autouse=True)
def _a_second_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    set_time(monkeypatch, EXPIRES_AT - dt.timedelta(seconds=1))


def set_time(monkeypatch: pytest.MonkeyPatch, moment: dt.datetime) -> None:
    monkeypatch.setattr(clock, "now", lambda: moment)


def parts(address: str) -> tuple[str, dict[str, list[str]]]:
    path, _, query = address.partition("?")
    return path.replace("%20", " "), parse_qs(query, keep_blank_values=True)


def test_an_address_stays_what_it_is() -> None:
    query = {"filename": "50% & more.csv", "as": "x"}
    address = Signer(KEY).address("GET", "v1/content/a b", EXPIRES_AT + dt.timedelta(microseconds=999_999), query)
    signed = b'["2", "GET", "v1/content/a b", [["as", "x"], ["expires", "1893499200"], ["filename", "50% & more.csv"]]]'
    expected = base64.urlsafe_b64encode(hmac.digest(KEY, signed, "sha256")).decode().rstrip("=")
    assert ADDRESS.endswith(f"&signature={expected}")
    assert address == ADDRESS
    assert query == {"filename": "50% & more.csv", "as": "x"}, "what the caller gave is left as it was"


def test_what_was_signed_is_read_from_the_address() -> None:
    path, query = parts(ADDRESS)
    signed = Signer(KEY).check("GET", path, query)
    assert signed == {"filename": "50% & more.csv", "as": "x", "expires": "1893499200"}


@pytest.mark.parametrize(
    ("method", "path", "changed"),
    [
        ("PUT", "v1/content/a b", {}),
        ("get", "v1/content/a b", {}),
        ("GET", "v1/content/a", {}),
        ("GET", "v1/content/a b/", {}),
        ("GET", "v1/content/a b", {"filename": ["more.csv"]}),
        ("GET", "v1/content/a b", {"filename": ["50% & more.csv", "50% & more.csv"]}),
        ("GET", "v1/content/a b", {"filename": []}),
        ("GET", "v1/content/a b", {"filename": None}),
        ("GET", "v1/content/a b", {"expires": ["1893499201"]}),
        ("GET", "v1/content/a b", {"expires": None}),
        ("GET", "v1/content/a b", {"expires": ["1893499200", "1893499201"]}),
        ("GET", "v1/content/a b", {"more": ["1"]}),
        ("GET", "v1/content/a b", {"more": ["1", "2"]}),
        ("GET", "v1/content/a b", {"signature": None}),
        ("GET", "v1/content/a b", {"signature": [""]}),
        ("GET", "v1/content/a b", {"signature": [ADDRESS[-43:-1]]}),
        ("GET", "v1/content/a b", {"signature": ["\N{SNOWMAN}"]}),
        ("GET", "v1/content/a b", {"signature": [ADDRESS[-43:], ADDRESS[-43:]]}),
        ("GET", "v1/content/a b", {"signature": [f"{ADDRESS[-43:]}="]}),
    ],
)
def test_what_was_not_signed_is_refused(method: str, path: str, changed: dict[str, list[str] | None]) -> None:
    query = {name: values for name, values in {**parts(ADDRESS)[1], **changed}.items() if values is not None}
    with pytest.raises(Refusal) as refusal:
        Signer(KEY).check(method, path, query)
    assert (refusal.value.status, refusal.value.code) == (403, "bad_signature")
    assert refusal.value.detail == "this address is not as it was signed; ask for a new one and use it unchanged"


def test_another_key_signs_nothing_here() -> None:
    path, query = parts(ADDRESS)
    with pytest.raises(Refusal, match="not as it was signed"):
        Signer(KEY[:-1]).check("GET", path, query)


@pytest.mark.parametrize("late", [0, 0.001, 1, 86_400])
def test_an_address_ends_at_its_second(late: float, monkeypatch: pytest.MonkeyPatch) -> None:
    path, query = parts(ADDRESS)
    set_time(monkeypatch, EXPIRES_AT - dt.timedelta(milliseconds=1))
    assert Signer(KEY).check("GET", path, query)
    set_time(monkeypatch, EXPIRES_AT + dt.timedelta(seconds=late))
    with pytest.raises(Refusal) as refusal:
        Signer(KEY).check("GET", path, query)
    assert (refusal.value.status, refusal.value.code) == (403, "expired")
    assert refusal.value.detail == "this address has expired; ask for a new one"


def test_a_digest_needs_the_key_and_is_no_signature() -> None:
    text = b'["GET", "v1/content/a b", []]'
    digest = Signer(KEY).digest(text)
    assert digest == hmac.new(KEY, b"digest\n" + text, hashlib.sha256).hexdigest()
    assert digest != Signer(KEY[:-1]).digest(text)
    assert digest != hmac.new(KEY, text, hashlib.sha256).hexdigest()


def test_the_key_is_256_random_bits_that_stay_and_for_its_owner_alone(tmp_path: Path) -> None:
    key = read_key(tmp_path)
    assert len(key) == 32
    assert read_key(tmp_path) == key
    (file,) = (path for path in tmp_path.iterdir() if path.suffix != ".lock")
    assert (file.name, file.stat().st_mode & 0o777, file.read_bytes()) == ("signing.key", 0o600, key)
    other = tmp_path / "other"
    other.mkdir()
    assert read_key(other) != key
