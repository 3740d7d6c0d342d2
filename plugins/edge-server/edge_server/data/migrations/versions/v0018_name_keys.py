"""Names of users and organizations are unique without regard to case."""

from __future__ import annotations

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

NAMES = (("users", "user_name"), ("organizations", "name"))


def upgrade() -> None:
    connection = op.get_bind()
    for table, column in NAMES:
        op.add_column(table, sa.Column("name_key", sa.String(400)))
        rows = sa.table(table, sa.column("id"), sa.column(column), sa.column("name_key"))
        for row_id, name in connection.execute(sa.select(rows.c.id, rows.c[column])).all():
            key = unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
            connection.execute(rows.update().where(rows.c.id == row_id).values(name_key=key))
        op.create_index(f"ix_{table}_name_key", table, ["name_key"], unique=True)


def downgrade() -> None:
    for table, _ in NAMES:
        op.drop_index(f"ix_{table}_name_key", table)
        op.drop_column(table, "name_key")
