"""Run by Alembic for each history; what it works on comes from `edge_server.data.migration`."""

from __future__ import annotations

from alembic import context

from edge_server.data.database import VERSION_TABLE
from edge_server.data.declarative import Base

given = context.config.attributes
context.configure(
    connection=given["connection"],
    # The server's own tables, unless it is told of a plugin's.
    target_metadata=given.get("metadata", Base.metadata),
    version_table=given.get("version_table", VERSION_TABLE),
    render_as_batch=True,
)
context.run_migrations()
