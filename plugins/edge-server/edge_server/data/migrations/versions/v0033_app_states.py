"""What app proxies tell of the apps behind them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None
additive = True

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ByteOrdered = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")
Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "app_states",
        sa.Column("id", RowId, nullable=False),
        sa.Column("organization_id", RowId, nullable=False),
        sa.Column("user_id", RowId, nullable=False),
        sa.Column("server_name", sa.String(100), nullable=False),
        sa.Column("started_at", Moment, nullable=False),
        sa.Column("app_id", ByteOrdered, nullable=False),
        sa.Column("version", ByteOrdered, nullable=False),
        sa.Column("profile_id", sa.String(100)),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("exit_code", sa.Integer()),
        sa.Column("last_lines", sa.JSON(none_as_null=True)),
        sa.Column("noted_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_app_states"),
        sa.UniqueConstraint("user_id", "server_name", name="uq_app_states_user_id_server_name"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_app_states_organization_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_app_states_user_id", ondelete="CASCADE"),
    )
    op.create_index("ix_app_states_organization_id", "app_states", ["organization_id"])
    op.create_index("ix_app_states_noted_at", "app_states", ["noted_at"])


def downgrade() -> None:
    op.drop_table("app_states")
