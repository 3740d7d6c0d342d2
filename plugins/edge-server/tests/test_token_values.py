"""How tokens look, and how one that is cut or mistyped is told apart."""

from __future__ import annotations

import math
import re
import string
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_server.identity import token_values

at_any_speed = settings(deadline=None, suppress_health_check=list(HealthCheck))

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
TOKEN = "edg_" + "0Az" * 11 + "1bvKFo"
"""A token as every server has made and taken them: those in people's hands go on working."""


def with_check(body: str) -> str:
    """`body` with its CRC-32 in base62, six digits."""
    value, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        value, digit = divmod(value, 62)
        digits = BASE62[digit] + digits
    return body + digits


def test_a_token_can_be_recognized_and_not_guessed() -> None:
    token = token_values.new_token()
    assert re.fullmatch(r"edg_[0-9A-Za-z]{39}", token)
    assert token_values.is_well_formed(token)
    assert token_values.RANDOM_CHARACTERS * math.log2(62) >= 190
    assert len({token_values.new_token() for _ in range(1000)}) == 1000


def test_a_token_is_33_characters_chosen_from_62_and_their_check(monkeypatch: pytest.MonkeyPatch) -> None:
    alphabets: list[str] = []

    def choice(alphabet: str) -> str:
        alphabets.append(alphabet)
        return "0Az"[(len(alphabets) - 1) % 3]

    monkeypatch.setattr(token_values.secrets, "choice", choice)
    assert token_values.new_token() == TOKEN == with_check("edg_" + "0Az" * 11)
    assert alphabets == [BASE62] * 33
    assert token_values.is_well_formed(TOKEN)


def test_neither_a_code_of_an_invitation_nor_a_token_is_the_other() -> None:
    code, token = token_values.new_token(token_values.INVITATION_PREFIX), token_values.new_token()
    assert re.fullmatch(r"edi_[0-9A-Za-z]{39}", code)
    assert token_values.is_well_formed(code, token_values.INVITATION_PREFIX)
    assert not token_values.is_well_formed(code)
    assert not token_values.is_well_formed(token, token_values.INVITATION_PREFIX)
    longer = token_values.new_token("edge_")
    assert token_values.is_well_formed(longer, "edge_"), "whatever its length, a prefix may be used"


def test_a_token_with_a_wrong_character_is_not_well_formed() -> None:
    token = token_values.new_token()
    for at in range(len(token)):
        wrong = token[:at] + ("a" if token[at] != "a" else "b") + token[at + 1 :]
        assert not token_values.is_well_formed(wrong)
        assert not token_values.is_well_formed(token[:at] + token[at + 1 :])


@pytest.mark.parametrize(
    "body",
    ["edg_" + "a" * 32, "edg_" + "a" * 34, "edx_" + "a" * 33, "EDG_" + "a" * 33, "edg_" + "a" * 32 + "-", "a" * 37],
)
def test_a_right_check_does_not_make_a_token_of_what_is_none(body: str) -> None:
    assert not token_values.is_well_formed(with_check(body))


@at_any_speed
@given(st.text())
def test_no_text_at_all_breaks_the_check(text: str) -> None:
    assert not token_values.is_well_formed(text)
    assert not token_values.is_well_formed(token_values.PREFIX + text)


def test_what_is_kept_is_the_sha_256_and_what_is_shown_are_8_characters() -> None:
    assert token_values.digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert token_values.public_prefix(TOKEN) == "edg_0Az0"
