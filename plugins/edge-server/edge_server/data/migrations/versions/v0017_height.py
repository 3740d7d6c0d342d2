"""Folders know how many levels are below them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

AT_ONCE = 1000


def upgrade() -> None:
    op.add_column("nodes", sa.Column("height", sa.Integer(), nullable=False, server_default="0"))
    nodes = sa.table("nodes", *map(sa.column, ("id", "parent_id", "version_id", "height")))
    connection = op.get_bind()
    folders = sa.select(nodes.c.id, nodes.c.parent_id).where(nodes.c.version_id.is_(None))
    parents = {row.id: row.parent_id for row in connection.execute(folders)}
    filled = sa.select(nodes.c.parent_id).where(nodes.c.version_id.is_not(None)).distinct()
    heights = dict.fromkeys(parents, 0) | {row.parent_id: 1 for row in connection.execute(filled)}
    for folder in parents:
        # Up to where a longer way has been already.
        height, above = heights[folder] + 1, parents[folder]
        while above is not None and heights[above] < height:
            heights[above] = height
            height, above = height + 1, parents[above]
    known = [{"folder": folder, "levels": height} for folder, height in heights.items() if height]
    update = nodes.update().where(nodes.c.id == sa.bindparam("folder")).values(height=sa.bindparam("levels"))
    for at in range(0, len(known), AT_ONCE):
        connection.execute(update, known[at : at + AT_ONCE])


def downgrade() -> None:
    op.drop_column("nodes", "height")
