"""What the database keeps of tokens."""

from __future__ import annotations

import re

import sqlalchemy as sa

from edge_server.identity import token_values
from edge_server.identity.models import Token
from edge_server.testing.local_server import EdgeServer


def test_the_database_cannot_give_a_token_away(edge_server: EdgeServer) -> None:
    value = edge_server.create_token("admin", note="kept")
    with edge_server.database.read() as session:
        kept = session.scalars(sa.select(Token).where(Token.digest == token_values.digest(value))).one()
    assert kept.prefix == value[:8]
    assert re.fullmatch("[0-9a-f]{64}", kept.digest)
    stored = b"".join(path.read_bytes() for path in edge_server.data.glob("edge.sqlite3*"))
    assert value[8:].encode() not in stored
