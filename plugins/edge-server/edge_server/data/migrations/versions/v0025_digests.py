"""Content in parts has a digest over those of its parts, which are kept.

What was stored before keeps its SHA-256 as its digest, so that no row is written.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.execute("ALTER TABLE versions RENAME COLUMN sha256 TO digest")
    op.add_column("versions", sa.Column("part_size", sa.BigInteger()))
    op.create_table(
        "part_digests",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("organization_id", RowId, nullable=False),
        sa.Column("digests", sa.LargeBinary(), nullable=False),
        sa.Column("uploader_sha256", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("key", name="pk_part_digests"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_part_digests_organization_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_part_digests_organization_id", "part_digests", ["organization_id"])


def downgrade() -> None:
    # An older server knows only the SHA-256 of all of the content. Where its uploader stated none, the digest stays,
    # and that server takes the content for damaged.
    op.execute(
        """UPDATE versions SET digest = (
            SELECT uploader_sha256 FROM part_digests WHERE part_digests."key" = versions."key"
        ) WHERE "key" IN (SELECT "key" FROM part_digests WHERE uploader_sha256 IS NOT NULL)"""
    )
    op.drop_table("part_digests")
    op.drop_column("versions", "part_size")
    op.execute("ALTER TABLE versions RENAME COLUMN digest TO sha256")
