"""The entity tag of each part of an upload, by which a store that is no folder makes the parts an object."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("upload_parts", sa.Column("etag", sa.Text()))


def downgrade() -> None:
    op.drop_column("upload_parts", "etag")
