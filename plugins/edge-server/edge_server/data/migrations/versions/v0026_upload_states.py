"""The database, instead of locks on files, says whether an upload is being completed and who writes a part of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("uploads", sa.Column("store_id", sa.Text(), nullable=False, server_default=""))
    op.execute("UPDATE uploads SET store_id = uid")
    op.add_column("uploads", sa.Column("completing_until", Moment))
    op.add_column("uploads", sa.Column("in_doubt", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("upload_space", sa.Column("writer", sa.String(36)))
    op.add_column("upload_space", sa.Column("writing_until", Moment))


def downgrade() -> None:
    for column in ("writing_until", "writer"):
        op.drop_column("upload_space", column)
    for column in ("in_doubt", "completing_until", "store_id"):
        op.drop_column("uploads", column)
