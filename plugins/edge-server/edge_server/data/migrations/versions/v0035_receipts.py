"""What requests to delete and to put leave once they are done."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None
additive = True

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "receipts",
        sa.Column("user_id", RowId, nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "key", name="pk_receipts"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_receipts_user_id", ondelete="CASCADE"),
    )
    op.create_index("ix_receipts_expires_at", "receipts", ["expires_at"])


def downgrade() -> None:
    op.drop_table("receipts")
