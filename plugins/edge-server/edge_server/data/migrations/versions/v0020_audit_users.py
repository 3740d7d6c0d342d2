"""Audit lines keep whose they are when the user is renamed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("audit_lines", sa.Column("user_id", sa.BigInteger()))
    lines = sa.table("audit_lines", *map(sa.column, ("user_id", "user_name", "at")))
    users = sa.table("users", *map(sa.column, ("id", "user_name", "created_at")))
    # An older line of that name was of somebody who had it before.
    own = (users.c.user_name == lines.c.user_name) & (users.c.created_at <= lines.c.at)
    op.execute(lines.update().values(user_id=sa.select(users.c.id).where(own).scalar_subquery()))


def downgrade() -> None:
    op.drop_column("audit_lines", "user_id")
