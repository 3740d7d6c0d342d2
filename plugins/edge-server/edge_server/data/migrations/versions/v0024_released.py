"""Files in deleted folders that are being cleared away count as used no more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

REMOVED = sa.text("removed_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("organizations", sa.Column("released_bytes", sa.BigInteger(), nullable=False, server_default="0"))
    # What was deleted before and is not cleared away yet is released by housekeeping.
    op.add_column("nodes", sa.Column("released", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.drop_index("ix_nodes_removed", "nodes")
    op.create_index(
        "ix_nodes_removed",
        "nodes",
        ["organization_id", "released"],
        sqlite_where=REMOVED,
        postgresql_where=REMOVED,
    )


def downgrade() -> None:
    op.drop_index("ix_nodes_removed", "nodes")
    op.create_index("ix_nodes_removed", "nodes", ["removed_at"], sqlite_where=REMOVED, postgresql_where=REMOVED)
    op.drop_column("nodes", "released")
    organizations = sa.table("organizations", *map(sa.column, ("used_bytes", "released_bytes")))
    op.execute(organizations.update().values(used_bytes=organizations.c.used_bytes + organizations.c.released_bytes))
    op.drop_column("organizations", "released_bytes")
