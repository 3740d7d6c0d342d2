"""Applications, their versions, registry credentials and OAuth clients."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ByteOrdered = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")
Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "applications",
        sa.Column("id", RowId, nullable=False),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("organization_id", RowId, nullable=False),
        sa.Column("app_id", ByteOrdered, nullable=False),
        sa.Column("visible_auto_add", sa.Boolean(), nullable=False),
        sa.Column("visible_versions", sa.JSON(), nullable=False),
        sa.Column("idle_minutes", sa.Integer()),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("max_resources", sa.JSON(none_as_null=True)),
        sa.Column("max_global_resources", sa.JSON(none_as_null=True)),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_applications"),
        sa.UniqueConstraint("uid", name="uq_applications_uid"),
        sa.UniqueConstraint("organization_id", "app_id", name="uq_applications_organization_id_app_id"),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_applications_organization_id"),
    )
    op.create_table(
        "app_versions",
        sa.Column("id", RowId, nullable=False),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("application_id", RowId, nullable=False),
        sa.Column("version", ByteOrdered, nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("icon", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(50), nullable=False),
        sa.Column("framework", sa.String(50)),
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("recommended_profile", sa.String(100)),
        sa.Column("volume_mount_point", sa.Text()),
        sa.Column("suggested_volume_size", sa.Integer()),
        sa.Column("profiles", sa.JSON(none_as_null=True)),
        sa.Column("default_profile", sa.String(100)),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_app_versions"),
        sa.UniqueConstraint("uid", name="uq_app_versions_uid"),
        sa.UniqueConstraint("application_id", "version", name="uq_app_versions_application_id_version"),
        sa.ForeignKeyConstraint(
            ["application_id"], ["applications.id"], name="fk_app_versions_application_id", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "app_servers",
        sa.Column("id", RowId, nullable=False),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("application_id", RowId, nullable=False),
        sa.Column("domain", ByteOrdered, nullable=False),
        sa.Column("username", sa.String(200), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_app_servers"),
        sa.UniqueConstraint("uid", name="uq_app_servers_uid"),
        sa.UniqueConstraint("application_id", "domain", name="uq_app_servers_application_id_domain"),
        sa.ForeignKeyConstraint(
            ["application_id"], ["applications.id"], name="fk_app_servers_application_id", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "oauth_clients",
        sa.Column("id", RowId, nullable=False),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("application_id", RowId, nullable=False),
        sa.Column("client_id", ByteOrdered, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("redirect_uri", sa.Text(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_oauth_clients"),
        sa.UniqueConstraint("uid", name="uq_oauth_clients_uid"),
        sa.UniqueConstraint("application_id", name="uq_oauth_clients_application_id"),
        sa.UniqueConstraint("client_id", name="uq_oauth_clients_client_id"),
        sa.ForeignKeyConstraint(
            ["application_id"], ["applications.id"], name="fk_oauth_clients_application_id", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    op.drop_table("oauth_clients")
    op.drop_table("app_servers")
    op.drop_table("app_versions")
    op.drop_table("applications")
