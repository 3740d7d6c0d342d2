"""Run by Alembic; the connection comes from `edge_server.migrate`."""

from __future__ import annotations

from alembic import context

from edge_server.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
context.run_migrations()
