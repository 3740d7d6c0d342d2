"""Secrets of users and organizations, sealed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Moment = sa.DateTime(timezone=True)
ByteOrdered = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "secrets",
        sa.Column("id", RowId, nullable=False),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("organization_id", RowId, nullable=False),
        sa.Column("user_id", RowId),
        sa.Column("name", ByteOrdered, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("modified_at", Moment, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_secrets"),
        sa.UniqueConstraint("uid", name="uq_secrets_uid"),
        sa.UniqueConstraint("organization_id", "user_id", "name", name="uq_secrets_organization_id_user_id_name"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_secrets_organization_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_secrets_user_id", ondelete="CASCADE"),
    )
    op.create_index("ix_secrets_user_id", "secrets", ["user_id"])
    op.create_index(
        "uq_secrets_organization_name",
        "secrets",
        ["organization_id", "name"],
        unique=True,
        sqlite_where=sa.text("user_id IS NULL"),
        postgresql_where=sa.text("user_id IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("secrets")
