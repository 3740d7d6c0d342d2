"""How transactions on PostgreSQL end that have only read."""

from __future__ import annotations

from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine.interfaces import DBAPIConnection


class Dialect(PGDialect_psycopg):
    """SQLAlchemy's, but that nothing is rolled back where nothing was written.

    With a ROLLBACK psycopg forgets what it has had PostgreSQL prepare, so that each statement of the next request,
    also of one that writes, is parsed and planned anew.
    """

    supports_statement_cache = True

    def do_rollback(self, dbapi_connection: DBAPIConnection) -> None:
        """End the transaction; what it has written, if anything, is gone."""
        if dbapi_connection.read_only:
            dbapi_connection.commit()
        else:
            dbapi_connection.rollback()
