"""Connectors, their credentials sealed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Moment = sa.DateTime(timezone=True)
ByteOrdered = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "connectors",
        sa.Column("id", RowId, nullable=False),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("organization_id", RowId, nullable=False),
        sa.Column("name", ByteOrdered, nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(50), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("modified_at", Moment, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_connectors"),
        sa.UniqueConstraint("uid", name="uq_connectors_uid"),
        sa.UniqueConstraint("organization_id", "name", name="uq_connectors_organization_id_name"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_connectors_organization_id", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    op.drop_table("connectors")
