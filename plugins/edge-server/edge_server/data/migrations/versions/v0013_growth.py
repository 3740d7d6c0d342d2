"""Folders are listed, and what refers to rows that go is found, by indexes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

FOLDERS = sa.text("+version_id IS NULL")


def upgrade() -> None:
    op.create_index(
        "ix_nodes_folders",
        "nodes",
        ["organization_id", "parent_id", "name"],
        sqlite_where=FOLDERS,
        postgresql_where=FOLDERS,
    )
    op.create_index("ix_uploads_version_id", "uploads", ["version_id"])
    op.create_index("ix_users_home_organization_id", "users", ["home_organization_id"])


def downgrade() -> None:
    op.drop_index("ix_users_home_organization_id", "users")
    op.drop_index("ix_uploads_version_id", "uploads")
    op.drop_index("ix_nodes_folders", "nodes")
