"""From when to when applications run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None
additive = True

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ByteOrdered = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")
Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "app_runs",
        sa.Column("id", RowId, nullable=False),
        sa.Column("organization_id", RowId, nullable=False),
        sa.Column("user_id", RowId, nullable=False),
        sa.Column("server_name", sa.String(100), nullable=False),
        sa.Column("app_id", ByteOrdered, nullable=False),
        sa.Column("version", ByteOrdered, nullable=False),
        sa.Column("profile_id", sa.String(100), nullable=False),
        sa.Column("started_at", Moment, nullable=False),
        sa.Column("counted_until", Moment, nullable=False),
        sa.Column("ended_at", Moment),
        sa.PrimaryKeyConstraint("id", name="pk_app_runs"),
        sa.UniqueConstraint("user_id", "server_name", "started_at", name="uq_app_runs_user_id_server_name_started_at"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_app_runs_organization_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_app_runs_user_id", ondelete="CASCADE"),
    )
    op.create_index("ix_app_runs_organization_id", "app_runs", ["organization_id"])
    op.create_index("ix_app_runs_ended_at", "app_runs", ["ended_at"])


def downgrade() -> None:
    op.drop_table("app_runs")
