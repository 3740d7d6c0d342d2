"""Versions are found by when they came or went, and closed organizations are measured after they are closed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

REMOVED = sa.text("removed_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("billing_readings", sa.Column("closed_at", sa.DateTime(timezone=True)))
    op.create_index("ix_versions_created", "versions", ["organization_id", "created_at"])
    op.create_index(
        "ix_versions_removed",
        "versions",
        ["organization_id", "removed_at"],
        sqlite_where=REMOVED,
        postgresql_where=REMOVED,
    )
    op.drop_index("ix_versions_organization_id", "versions")
    op.drop_index("ix_versions_removed_at", "versions")


def downgrade() -> None:
    op.create_index("ix_versions_removed_at", "versions", ["removed_at"])
    op.create_index("ix_versions_organization_id", "versions", ["organization_id"])
    op.drop_index("ix_versions_removed", "versions")
    op.drop_index("ix_versions_created", "versions")
    op.drop_column("billing_readings", "closed_at")
