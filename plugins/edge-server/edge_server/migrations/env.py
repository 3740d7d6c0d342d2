"""Run by Alembic for each history; what it works on comes from `edge_server.migrate`."""

from __future__ import annotations

from alembic import context

given = context.config.attributes
context.configure(
    connection=given["connection"],
    target_metadata=given["metadata"],
    version_table=given["version_table"],
    render_as_batch=True,
)
context.run_migrations()
