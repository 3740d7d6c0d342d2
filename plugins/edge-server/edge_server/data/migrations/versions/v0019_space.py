"""What open uploads and deleted content hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OPEN = sa.text("version_id IS NULL")


def upgrade() -> None:
    op.add_column("organizations", sa.Column("deleted_bytes", sa.BigInteger(), nullable=False, server_default="0"))
    for name in ("reserved_bytes", "held_bytes", "replaced_bytes"):
        op.add_column("uploads", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("uploads", sa.Column("active_at", sa.DateTime(timezone=True)))
    op.create_index("ix_uploads_open", "uploads", ["organization_id", "id"], sqlite_where=OPEN, postgresql_where=OPEN)
    op.create_index("ix_uploads_open_by", "uploads", ["created_by"], sqlite_where=OPEN, postgresql_where=OPEN)
    op.create_table(
        "upload_space",
        sa.Column("upload_id", RowId, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("upload_id", "n", name="pk_upload_space"),
        sa.ForeignKeyConstraint(["upload_id"], ["uploads.id"], name="fk_upload_space_upload_id", ondelete="CASCADE"),
    )

    organizations = sa.table("organizations", *map(sa.column, ("id", "deleted_bytes")))
    versions = sa.table("versions", *map(sa.column, ("key", "organization_id", "size", "removed_at", "collected_at")))
    deleted = (
        sa.select(versions.c.key, versions.c.organization_id, sa.func.max(versions.c.size).label("size"))
        .where(versions.c.collected_at.is_(None))
        .group_by(versions.c.key, versions.c.organization_id)
        .having(sa.func.count() == sa.func.count(versions.c.removed_at))
        .cte("deleted")
    )
    total = sa.select(sa.func.coalesce(sa.func.sum(deleted.c.size), 0))
    total = total.where(deleted.c.organization_id == organizations.c.id)
    op.execute(organizations.update().values(deleted_bytes=total.scalar_subquery()))

    parts = sa.table("upload_parts", *map(sa.column, ("upload_id", "n", "size")))
    space = sa.table("upload_space", *map(sa.column, ("upload_id", "n", "size")))
    op.execute(space.insert().from_select(["upload_id", "n", "size"], sa.select(parts)))
    uploads = sa.table("uploads", *map(sa.column, ("id", "version_id", "reserved_bytes", "held_bytes")))
    held = sa.select(sa.func.coalesce(sa.func.sum(space.c.size), 0)).where(space.c.upload_id == uploads.c.id)
    op.execute(
        uploads.update()
        .where(uploads.c.version_id.is_(None))
        .values(reserved_bytes=held.scalar_subquery(), held_bytes=held.scalar_subquery())
    )


def downgrade() -> None:
    op.drop_table("upload_space")
    op.drop_index("ix_uploads_open_by", "uploads")
    op.drop_index("ix_uploads_open", "uploads")
    for name in ("active_at", "replaced_bytes", "held_bytes", "reserved_bytes"):
        op.drop_column("uploads", name)
    op.drop_column("organizations", "deleted_bytes")
