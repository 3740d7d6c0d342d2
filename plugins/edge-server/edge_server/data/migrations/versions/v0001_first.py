"""Organizations, users, tokens, files and uploads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Moment = sa.DateTime(timezone=True)
ByteOrdered = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "organizations",
        sa.Column("id", RowId, nullable=False),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organizations"),
        sa.UniqueConstraint("uid", name="uq_organizations_uid"),
        sa.UniqueConstraint("name", name="uq_organizations_name"),
    )
    op.create_table(
        "users",
        sa.Column("id", RowId, nullable=False),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("user_name", sa.String(100), nullable=False),
        sa.Column("first_name", sa.String(200)),
        sa.Column("last_name", sa.String(200)),
        sa.Column("email", sa.String(320)),
        sa.Column("server_admin", sa.Boolean(), nullable=False),
        sa.Column("license_name", sa.String(100)),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("uid", name="uq_users_uid"),
        sa.UniqueConstraint("user_name", name="uq_users_user_name"),
    )
    op.create_table(
        "memberships",
        sa.Column("id", RowId, nullable=False),
        sa.Column("user_id", RowId, nullable=False),
        sa.Column("organization_id", RowId, nullable=False),
        sa.Column("developer", sa.Boolean(), nullable=False),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_memberships"),
        sa.UniqueConstraint("user_id", "organization_id", name="uq_memberships_user_id_organization_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_memberships_user_id"),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_memberships_organization_id"),
    )
    op.create_index("ix_memberships_organization_id", "memberships", ["organization_id"])
    op.create_table(
        "tokens",
        sa.Column("id", RowId, nullable=False),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("user_id", RowId, nullable=False),
        sa.Column("note", sa.String(200)),
        sa.Column("prefix", sa.String(20), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("expires_at", Moment),
        sa.Column("removed_at", Moment),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("uid", name="uq_tokens_uid"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_tokens_user_id"),
    )
    op.create_index("ix_tokens_user_id", "tokens", ["user_id"])
    op.create_table(
        "versions",
        sa.Column("id", RowId, nullable=False),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("organization_id", RowId, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("removed_at", Moment),
        sa.Column("created_by", RowId, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.UniqueConstraint("uid", name="uq_versions_uid"),
        sa.UniqueConstraint("key", name="uq_versions_key"),
        sa.CheckConstraint("size >= 0", name=op.f("ck_versions_size")),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_versions_organization_id"),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name="fk_versions_created_by"),
    )
    op.create_index("ix_versions_organization_id", "versions", ["organization_id"])
    op.create_index("ix_versions_removed_at", "versions", ["removed_at"])
    op.create_table(
        "nodes",
        sa.Column("id", RowId, nullable=False),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("organization_id", RowId, nullable=False),
        sa.Column("parent_id", RowId),
        sa.Column("name", ByteOrdered, nullable=False),
        sa.Column("version_id", RowId),
        sa.Column("modified_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_nodes"),
        sa.UniqueConstraint("uid", name="uq_nodes_uid"),
        sa.UniqueConstraint("version_id", name="uq_nodes_version_id"),
        sa.UniqueConstraint("organization_id", "parent_id", "name", name="uq_nodes_organization_id_parent_id_name"),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_nodes_organization_id"),
        sa.ForeignKeyConstraint(["parent_id"], ["nodes.id"], name="fk_nodes_parent_id"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_nodes_version_id"),
    )
    op.create_index("ix_nodes_parent_id", "nodes", ["parent_id"])
    op.create_index(
        "uq_nodes_root",
        "nodes",
        ["organization_id"],
        unique=True,
        sqlite_where=sa.text("parent_id IS NULL"),
        postgresql_where=sa.text("parent_id IS NULL"),
    )
    op.create_table(
        "uploads",
        sa.Column("id", RowId, nullable=False),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("organization_id", RowId, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger()),
        sa.Column("part_size", sa.BigInteger(), nullable=False),
        sa.Column("overwrite", sa.Boolean(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        sa.Column("created_by", RowId, nullable=False),
        sa.Column("version_id", RowId),
        sa.Column("node_uid", sa.String(36)),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
        sa.UniqueConstraint("uid", name="uq_uploads_uid"),
        sa.UniqueConstraint("key", name="uq_uploads_key"),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_uploads_organization_id"),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name="fk_uploads_created_by"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_uploads_version_id"),
    )
    op.create_index("ix_uploads_organization_id", "uploads", ["organization_id"])
    op.create_index("ix_uploads_expires_at", "uploads", ["expires_at"])
    op.create_table(
        "upload_parts",
        sa.Column("upload_id", RowId, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("upload_id", "n", name="pk_upload_parts"),
        sa.ForeignKeyConstraint(["upload_id"], ["uploads.id"], name="fk_upload_parts_upload_id", ondelete="CASCADE"),
    )


def downgrade() -> None:
    for table in (
        "upload_parts",
        "uploads",
        "nodes",
        "versions",
        "tokens",
        "memberships",
        "users",
        "organizations",
    ):
        op.drop_table(table)
