"""Quotas, content that is gone, and folders that are being deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

Moment = sa.DateTime(timezone=True)

TO_COLLECT = sa.text("removed_at IS NOT NULL AND collected_at IS NULL")
REMOVED = sa.text("removed_at IS NOT NULL")
ROOT = sa.text("parent_id IS NULL AND removed_at IS NULL")
ROOT_BEFORE = sa.text("parent_id IS NULL")


def upgrade() -> None:
    op.add_column("organizations", sa.Column("quota_bytes", sa.BigInteger()))
    op.add_column("organizations", sa.Column("used_bytes", sa.BigInteger(), nullable=False, server_default="0"))
    organizations = sa.table("organizations", *map(sa.column, ("id", "used_bytes")))
    versions = sa.table("versions", *map(sa.column, ("organization_id", "size", "removed_at")))
    used = sa.select(sa.func.coalesce(sa.func.sum(versions.c.size), 0)).where(
        versions.c.organization_id == organizations.c.id, versions.c.removed_at.is_(None)
    )
    op.execute(organizations.update().values(used_bytes=used.scalar_subquery()))

    op.add_column("versions", sa.Column("collected_at", Moment))
    op.create_index(
        "ix_versions_to_collect", "versions", ["removed_at"], sqlite_where=TO_COLLECT, postgresql_where=TO_COLLECT
    )

    op.add_column("nodes", sa.Column("removed_at", Moment))
    op.create_index("ix_nodes_removed", "nodes", ["removed_at"], sqlite_where=REMOVED, postgresql_where=REMOVED)
    _index_roots(ROOT)


def downgrade() -> None:
    op.drop_index("ix_nodes_removed", "nodes")
    _index_roots(ROOT_BEFORE)
    op.drop_column("nodes", "removed_at")
    op.drop_index("ix_versions_to_collect", "versions")
    op.drop_column("versions", "collected_at")
    op.drop_column("organizations", "used_bytes")
    op.drop_column("organizations", "quota_bytes")


def _index_roots(which: sa.TextClause) -> None:
    op.drop_index("uq_nodes_root", "nodes")
    op.create_index(
        "uq_nodes_root", "nodes", ["organization_id"], unique=True, sqlite_where=which, postgresql_where=which
    )
