"""The sealed secrets of OAuth clients of a hub."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None
additive = True


def upgrade() -> None:
    op.add_column("oauth_clients", sa.Column("sealed", sa.LargeBinary()))


def downgrade() -> None:
    op.drop_column("oauth_clients", "sealed")
