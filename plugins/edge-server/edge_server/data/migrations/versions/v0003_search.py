"""The names that search finds, with those there are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ByteOrdered = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")
Trigram = sa.String(3).with_variant(sa.String(3, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "search_names",
        sa.Column("id", RowId, nullable=False),
        sa.Column("organization_id", RowId, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_search_names"),
        sa.UniqueConstraint("uid", name="uq_search_names_uid"),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_search_names_organization_id"),
    )
    op.create_index("ix_search_names_organization_id", "search_names", ["organization_id"])
    op.create_table(
        "search_words",
        sa.Column("id", RowId, nullable=False),
        sa.Column("organization_id", RowId, nullable=False),
        sa.Column("word", ByteOrdered, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_search_words"),
        sa.UniqueConstraint("organization_id", "word", name="uq_search_words_organization_id_word"),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_search_words_organization_id"),
    )
    op.create_table(
        "search_trigrams",
        sa.Column("organization_id", RowId, nullable=False),
        sa.Column("trigram", Trigram, nullable=False),
        sa.Column("word_id", RowId, nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "trigram", "word_id", name="pk_search_trigrams"),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_search_trigrams_organization_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "search_places",
        sa.Column("word_id", RowId, nullable=False),
        sa.Column("name_id", RowId, nullable=False),
        sa.PrimaryKeyConstraint("word_id", "name_id", name="pk_search_places"),
        sa.ForeignKeyConstraint(["word_id"], ["search_words.id"], name="fk_search_places_word_id"),
        sqlite_with_rowid=False,
    )
    _index_names()


def _index_names() -> None:
    from edge_server.search import index

    connection = op.get_bind()
    nodes = sa.table("nodes", *map(sa.column, ("id", "uid", "organization_id", "parent_id", "name", "version_id")))
    wanted = sa.select(nodes).where(nodes.c.parent_id.is_not(None)).order_by(nodes.c.id).limit(1000)
    after = 0
    while rows := connection.execute(wanted.where(nodes.c.id > after)).all():
        for row in rows:
            kind = "folder" if row.version_id is None else "file"
            index.add(connection, row.organization_id, kind, row.uid, row.name)
        after = rows[-1].id


def downgrade() -> None:
    for table in ("search_places", "search_trigrams", "search_words", "search_names"):
        op.drop_table(table)
