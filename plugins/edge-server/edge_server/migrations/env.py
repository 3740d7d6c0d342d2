"""Run by Alembic; the connection comes from `edge_server.migrate`."""

from __future__ import annotations

from alembic import context

from edge_server.models import Base

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    target_metadata=attributes.get("metadata", Base.metadata),
    version_table=attributes.get("version_table", "alembic_version"),
    render_as_batch=True,
)
context.run_migrations()
