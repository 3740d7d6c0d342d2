"""Users, organizations and tokens that are a JupyterHub's."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None
additive = True


def upgrade() -> None:
    op.add_column("users", sa.Column("hub_created", sa.String(40)))
    op.add_column("organizations", sa.Column("hub", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("tokens", sa.Column("hub_id", sa.String(40)))


def downgrade() -> None:
    tokens = sa.table("tokens", sa.column("hub_id"))
    op.execute(tokens.delete().where(tokens.c.hub_id.is_not(None)))
    op.drop_column("tokens", "hub_id")
    op.drop_column("organizations", "hub")
    op.drop_column("users", "hub_created")
