"""Run by Alembic for each history; what it works on comes from `edge_server.migrate`."""

from __future__ import annotations

from alembic import context

given = context.config.attributes
context.configure(
    connection=given["connection"],
    # Of another's history; without them it is the server's own.
    target_metadata=given.get("metadata"),
    version_table=given.get("version_table", "alembic_version"),
    render_as_batch=True,
)
context.run_migrations()
