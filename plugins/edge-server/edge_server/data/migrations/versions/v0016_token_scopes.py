"""Tokens can be limited and renewed, and invitations know whether a limited token made them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tokens", sa.Column("scopes", sa.JSON()))
    op.add_column("tokens", sa.Column("parent", sa.String(36)))
    op.add_column("tokens", sa.Column("lifetime", sa.Integer()))
    op.add_column("tokens", sa.Column("replaces", sa.String(36)))
    op.create_index("ix_tokens_parent", "tokens", ["parent"])
    op.create_index("ix_tokens_replaces", "tokens", ["replaces"], unique=True)
    op.add_column("invitations", sa.Column("limited", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    tokens = sa.table("tokens", sa.column("scopes", sa.JSON(none_as_null=True)))
    # Older code would take a limited token for one without limits.
    op.execute(tokens.delete().where(tokens.c.scopes.is_not(None)))
    op.drop_column("invitations", "limited")
    for column in ("replaces", "parent"):
        op.drop_index(f"ix_tokens_{column}", "tokens")
    for column in ("replaces", "lifetime", "parent", "scopes"):
        op.drop_column("tokens", column)
