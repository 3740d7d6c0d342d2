"""Nothing secret shows, whoever writes the log."""

from __future__ import annotations

import logging

import pytest

from edge_core import redaction
from edge_core.session import EdgeSession

TOKEN = "edg_" + "Ab3" * 13
SIGNED = "https://store.example.com/k?X-Amz-Credential=AKIA&X-Amz-Signature=deadbeef&x=1"


def test_an_address_is_shown_without_query_and_password() -> None:
    assert redaction.bare(SIGNED) == "https://store.example.com/k"
    assert redaction.bare("http://me:pw@proxy.example.com:3128/a?b") == "http://proxy.example.com:3128/a"


def test_of_a_token_only_the_public_part_is_shown() -> None:
    assert redaction.public_part(TOKEN) == "edg_Ab3A***"
    assert redaction.public_part("a-hub-token-of-another-form") == "***"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"Bearer {TOKEN}", TOKEN),
        (f"GET {SIGNED} HTTP/1.1", "deadbeef"),
        ("GET /v1/content/k?expires=1&signature=c2lnbmVk HTTP/1.1", "c2lnbmVk"),
        ("via http://me:pw@proxy.example.com", "pw@"),
        ("/k?sig=abc&se=2026", "abc"),
        ("AWS4-HMAC-SHA256 Credential=AKIAX/2026/s3, SignedHeaders=host, Signature=deadbeef'", "deadbeef"),
        ("AWS4-HMAC-SHA256 Credential=AKIAX/2026/s3, SignedHeaders=host, Signature=deadbeef'", "AKIAX"),
        ("Signature:\ndeadbeef", "deadbeef"),
    ],
)
def test_a_text_of_somebody_elses_is_scrubbed(text: str, secret: str) -> None:
    assert secret not in redaction.scrub(text)
    assert redaction.HIDDEN in redaction.scrub(text)


def test_a_harmless_text_stays_as_it_is() -> None:
    for text in ("GET /v1/orgs/lab/files/entries?path=a&limit=5", "a plain sentence", "user@example.com"):
        assert redaction.scrub(text) == text


def test_debug_logging_helps_support_and_holds_no_secret(
    edge_session: EdgeSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    content = bytes(2 << 20)
    edge_session.files.upload("a.bin", content)
    with edge_session.files.open("a.bin", open_with="file") as file:
        assert file.read() == content
        link = file.download_url()
    token = edge_session.config.api_token
    assert token not in caplog.text
    assert "signature=" not in caplog.text
    assert link.partition("signature=")[2] not in caplog.text
    ours = [record.getMessage() for record in caplog.records if record.name == "edge"]
    assert any("POST" in line and "/uploads -> 201 in" in line for line in ours)
    assert all("[request " in line for line in ours)
    assert any(f"token {token[:8]}***" in line for line in ours)
    assert any("2097152 bytes sent" in line and "token none" in line for line in ours)
    theirs = [record for record in caplog.records if record.name == "urllib3.connectionpool"]
    assert theirs, "urllib3 logs at DEBUG as well"
