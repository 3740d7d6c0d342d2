"""What the database keeps of tokens."""

from __future__ import annotations

import re

import sqlalchemy as sa

from edge_server.identity import token_values
from edge_server.identity.models import Token
from edge_server.testing.local_server import EdgeServer

from .engines import bytes_in, on_each_engine

edge_server = on_each_engine


def test_the_database_cannot_give_a_token_away(edge_server: EdgeServer) -> None:
    value = edge_server.create_token("admin", note="kept")
    with edge_server.database.read() as session:
        kept = session.scalars(sa.select(Token).where(Token.digest == token_values.digest(value))).one()
    assert kept.prefix == value[:8]
    assert re.fullmatch("[0-9a-f]{64}", kept.digest)
    stored = bytes_in(edge_server.database)
    assert kept.digest.encode() in stored
    assert value[8:].encode() not in stored
