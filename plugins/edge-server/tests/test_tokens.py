"""How tokens look, and what is kept of them."""

from __future__ import annotations

import math
import re

import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from edge_server.identity import token_values
from edge_server.identity.models import Token
from edge_server.testing.local_server import EdgeServer


def test_a_token_can_be_recognized_and_not_guessed() -> None:
    token = token_values.new_token()
    assert re.fullmatch(r"edg_[0-9A-Za-z]{39}", token)
    assert token_values.is_well_formed(token)
    assert token_values.RANDOM_CHARACTERS * math.log2(62) >= 190
    assert len({token_values.new_token() for _ in range(1000)}) == 1000


def test_a_token_with_a_wrong_character_is_not_well_formed() -> None:
    token = token_values.new_token()
    for at in range(len(token)):
        wrong = token[:at] + ("a" if token[at] != "a" else "b") + token[at + 1 :]
        assert not token_values.is_well_formed(wrong)
        assert not token_values.is_well_formed(token[:at] + token[at + 1 :])


@given(st.text())
def test_no_text_at_all_breaks_the_check(text: str) -> None:
    assert not token_values.is_well_formed(text)
    assert not token_values.is_well_formed(token_values.PREFIX + text)


def test_the_database_cannot_give_a_token_away(edge_server: EdgeServer) -> None:
    value = edge_server.create_token("admin", note="kept")
    with edge_server.database.read() as session:
        kept = session.scalars(sa.select(Token).where(Token.digest == token_values.digest(value))).one()
    assert kept.prefix == value[:8]
    assert re.fullmatch("[0-9a-f]{64}", kept.digest)
    stored = b"".join(path.read_bytes() for path in edge_server.data.glob("edge.sqlite3*"))
    assert value[8:].encode() not in stored
