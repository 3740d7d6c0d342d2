"""What all hosts of a server agree on: which keys they have, and which code can use the tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None
additive = True


def upgrade() -> None:
    op.create_table(
        "site_values",
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("site_values")
