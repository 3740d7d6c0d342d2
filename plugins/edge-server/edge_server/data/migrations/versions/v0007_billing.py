"""Usage by day, the months that are closed, and up to when stored content has been measured."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "billing_usage",
        sa.Column("id", RowId, nullable=False),
        sa.Column("user_organization_id", RowId),
        sa.Column("org_name", sa.String(100), nullable=False),
        sa.Column("billing_date", sa.Date(), nullable=False),
        sa.Column("usage_type", sa.String(50), nullable=False),
        sa.Column("classification", sa.String(20), nullable=False),
        sa.Column("cost_allocation_tag", sa.String(200), nullable=False),
        sa.Column("amount", sa.String(60), nullable=False),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.Column("computed_cost", sa.String(60)),
        sa.Column("currency", sa.String(3)),
        sa.PrimaryKeyConstraint("id", name="pk_billing_usage"),
        sa.UniqueConstraint(
            "user_organization_id", "billing_date", "usage_type", "cost_allocation_tag", name="uq_billing_usage_day"
        ),
        sa.ForeignKeyConstraint(
            ["user_organization_id"], ["organizations.id"], name="fk_billing_usage_user_organization_id"
        ),
    )
    op.create_index("ix_billing_usage_billing_date", "billing_usage", ["billing_date"])
    op.create_table(
        "billing_months",
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("closed_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("month", name="pk_billing_months"),
    )
    op.create_table(
        "billing_readings",
        sa.Column("organization_id", RowId, nullable=False),
        sa.Column("measured_until", Moment, nullable=False),
        sa.PrimaryKeyConstraint("organization_id", name="pk_billing_readings"),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_billing_readings_organization_id"),
    )


def downgrade() -> None:
    op.drop_table("billing_readings")
    op.drop_table("billing_months")
    op.drop_table("billing_usage")
