"""How many machines a hub has ready for a placeholder."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None
additive = True


def upgrade() -> None:
    op.add_column("app_placeholders", sa.Column("ready", sa.Integer()))
    op.add_column("app_placeholders", sa.Column("reported_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    with op.batch_alter_table("app_placeholders") as table:
        table.drop_column("reported_at")
        table.drop_column("ready")
