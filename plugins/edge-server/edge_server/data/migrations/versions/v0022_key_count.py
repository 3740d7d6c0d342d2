"""How many idempotency keys a user has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("key_count", sa.Integer(), nullable=False, server_default="0"))
    op.create_index("ix_idempotency_keys_user_id_expires_at", "idempotency_keys", ["user_id", "expires_at"])
    # A server counts them each time it starts.


def downgrade() -> None:
    op.drop_index("ix_idempotency_keys_user_id_expires_at", "idempotency_keys")
    op.drop_column("users", "key_count")
