"""Signed addresses end with their signer, invitations find those they are for, and what was changed is audited."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("memberships", sa.Column("signing_uid", sa.String(36), nullable=False, server_default=""))
    memberships = sa.table("memberships", sa.column("id", sa.Integer()), sa.column("signing_uid", sa.String()))
    # Those made from now on have a random one.
    op.execute(memberships.update().values(signing_uid=sa.literal("m") + sa.cast(memberships.c.id, sa.String(20))))
    op.create_index("uq_memberships_signing_uid", "memberships", ["signing_uid"], unique=True)
    op.add_column("invitations", sa.Column("user_uid", sa.String(36)))
    op.create_index("ix_invitations_user_uid", "invitations", ["user_uid"])
    op.create_table(
        "audit_lines",
        sa.Column("id", RowId, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("organization_id", RowId),
        sa.Column("organization_name", sa.String(100)),
        sa.Column("user_name", sa.String(100), nullable=False),
        sa.Column("token_uid", sa.String(36)),
        sa.Column("action", sa.String(100), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("request_id", sa.String(100), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_lines"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_audit_lines_organization_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_audit_lines_organization_id_id", "audit_lines", ["organization_id", "id"])
    op.create_index("ix_audit_lines_at", "audit_lines", ["at"])


def downgrade() -> None:
    op.drop_table("audit_lines")
    op.drop_index("ix_invitations_user_uid", "invitations")
    op.drop_column("invitations", "user_uid")
    op.drop_index("uq_memberships_signing_uid", "memberships")
    op.drop_column("memberships", "signing_uid")
