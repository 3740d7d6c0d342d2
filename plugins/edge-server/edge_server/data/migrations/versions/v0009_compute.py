"""App profiles and placeholders."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ByteOrdered = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")
Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "app_profiles",
        sa.Column("id", RowId, nullable=False),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("organization_id", RowId, nullable=False),
        sa.Column("profile_id", ByteOrdered, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("instance_name", sa.String(100), nullable=False),
        sa.Column("cpu", sa.Float(), nullable=False),
        sa.Column("gpu", sa.Integer(), nullable=False),
        sa.Column("memory", sa.Float(), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("disable", sa.Boolean(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_app_profiles"),
        sa.UniqueConstraint("uid", name="uq_app_profiles_uid"),
        sa.UniqueConstraint("organization_id", "profile_id", name="uq_app_profiles_organization_id_profile_id"),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_app_profiles_organization_id"),
    )
    op.create_index("ix_app_profiles_status", "app_profiles", ["status"])
    op.create_table(
        "app_placeholders",
        sa.Column("id", RowId, nullable=False),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("organization_id", RowId, nullable=False),
        sa.Column("name", ByteOrdered, nullable=False),
        sa.Column("profile_id", ByteOrdered, nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("disable", sa.Boolean(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_app_placeholders"),
        sa.UniqueConstraint("uid", name="uq_app_placeholders_uid"),
        sa.UniqueConstraint("organization_id", "name", name="uq_app_placeholders_organization_id_name"),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_app_placeholders_organization_id"),
    )


def downgrade() -> None:
    op.drop_table("app_placeholders")
    op.drop_table("app_profiles")
