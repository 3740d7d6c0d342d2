"""The names that search finds, with those there are."""

from __future__ import annotations

import unicodedata

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


# How names are cut into words and trigrams at this revision. What the search of today does may differ,
# and must not change what this revision makes.

_LETTERS = ("L", "Nd", "Nl", "Mc")
_VOWELS = {0, *range(10, 37), 84, 91, 103, 118, 129, 130, 132}


class _Folded(dict[int, str]):
    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        counts = category.startswith(_LETTERS) or (category == "Mn" and unicodedata.combining(character) in _VOWELS)
        folded = self[code] = character.lower()[0] if counts else " "
        return folded


_folded = _Folded()


def _trigrams(word: str) -> list[str]:
    padded = f"  {word} "
    return sorted({padded[at : at + 3] for at in range(len(padded) - 2)})


def _index_names() -> None:
    connection = op.get_bind()
    names = sa.table("search_names", *map(sa.column, ("id", "organization_id", "kind", "uid", "name")))
    words = sa.table("search_words", *map(sa.column, ("id", "organization_id", "word")))
    trigrams = sa.table("search_trigrams", *map(sa.column, ("organization_id", "trigram", "word_id")))
    places = sa.table("search_places", *map(sa.column, ("word_id", "name_id")))
    nodes = sa.table("nodes", *map(sa.column, ("id", "uid", "organization_id", "parent_id", "name", "version_id")))
    batch = sa.select(nodes).where(nodes.c.parent_id.is_not(None)).order_by(nodes.c.id).limit(1000)
    ids: dict[tuple[int, str], int] = {}
    after = 0
    while rows := connection.execute(batch.where(nodes.c.id > after)).all():
        for row in rows:
            name_id = connection.execute(
                sa.insert(names).returning(names.c.id),
                {
                    "organization_id": row.organization_id,
                    "kind": "folder" if row.version_id is None else "file",
                    "uid": row.uid,
                    "name": row.name,
                },
            ).scalar_one()
            for word in sorted(set(row.name.translate(_folded).split())):
                key = (row.organization_id, word)
                if key not in ids:
                    ids[key] = connection.execute(
                        sa.insert(words).returning(words.c.id), {"organization_id": key[0], "word": word}
                    ).scalar_one()
                    connection.execute(
                        sa.insert(trigrams),
                        [{"organization_id": key[0], "trigram": each, "word_id": ids[key]} for each in _trigrams(word)],
                    )
                connection.execute(sa.insert(places), {"word_id": ids[key], "name_id": name_id})
        after = rows[-1].id


def downgrade() -> None:
    for table in ("search_places", "search_trigrams", "search_words", "search_names"):
        op.drop_table(table)
