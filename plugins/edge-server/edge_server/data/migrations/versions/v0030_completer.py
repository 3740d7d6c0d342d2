"""Who completes an upload, so that whoever was overtaken changes nothing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None
additive = True


def upgrade() -> None:
    op.add_column("uploads", sa.Column("completer", sa.String(36)))


def downgrade() -> None:
    op.drop_column("uploads", "completer")
