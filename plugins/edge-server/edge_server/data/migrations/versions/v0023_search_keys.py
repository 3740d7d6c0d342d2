"""Names are found as a whole, and by single characters where nothing stands between words."""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

AT_ONCE = 5000

NAMES = sa.table("search_names", *map(sa.column, ("id", "organization_id", "name", "key")))
WORDS = sa.table("search_words", *map(sa.column, ("id", "organization_id", "word")))
TRIGRAMS = sa.table("search_trigrams", *map(sa.column, ("organization_id", "trigram", "word_id")))
PLACES = sa.table("search_places", *map(sa.column, ("word_id", "name_id")))


def upgrade() -> None:
    op.add_column("search_names", sa.Column("key", sa.Integer(), nullable=False, server_default="0"))
    connection = op.get_bind()
    # The first trigram of each word, two blanks and a letter, leads to no word any more.
    connection.execute(TRIGRAMS.delete().where(TRIGRAMS.c.trigram.like("  %")))
    update = NAMES.update().where(NAMES.c.id == sa.bindparam("row")).values(key=sa.bindparam("number"))
    for rows in _names(connection):
        connection.execute(update, [{"row": row.id, "number": zlib.crc32(row.name.encode()) >> 1} for row in rows])
        for row in rows:
            before, after = _words(row.name), _words(row.name, apart=True)
            if before != after:
                _place(connection, row, before - after, after - before)
    op.create_index("ix_search_names_organization_id_key", "search_names", ["organization_id", "key"])
    op.drop_index("ix_search_names_organization_id", "search_names")


def downgrade() -> None:
    op.create_index("ix_search_names_organization_id", "search_names", ["organization_id"])
    op.drop_index("ix_search_names_organization_id_key", "search_names")
    connection = op.get_bind()
    for rows in _names(connection):
        for row in rows:
            before, after = _words(row.name, apart=True), _words(row.name)
            if before != after:
                _place(connection, row, before - after, after - before)
    first = sa.literal("  ") + sa.func.substr(WORDS.c.word, 1, 1)
    connection.execute(
        TRIGRAMS.insert().from_select(
            ["organization_id", "trigram", "word_id"], sa.select(WORDS.c.organization_id, first, WORDS.c.id)
        )
    )
    op.drop_column("search_names", "key")


def _names(connection: sa.Connection) -> Iterator[list[Any]]:
    after = 0
    names = sa.select(NAMES.c.id, NAMES.c.organization_id, NAMES.c.name).order_by(NAMES.c.id).limit(AT_ONCE)
    while rows := connection.execute(names.where(NAMES.c.id > after)).all():
        yield list(rows)
        after = rows[-1].id


def _place(connection: sa.Connection, name: Any, old: set[str], new: set[str]) -> None:
    """Have a name stand in other words than before."""
    own = WORDS.c.organization_id == name.organization_id
    for row in connection.execute(sa.select(WORDS).where(own, WORDS.c.word.in_(old))).all():
        connection.execute(PLACES.delete().where(PLACES.c.word_id == row.id, PLACES.c.name_id == name.id))
        if connection.execute(sa.select(PLACES).where(PLACES.c.word_id == row.id).limit(1)).first() is None:
            here = (TRIGRAMS.c.organization_id == row.organization_id) & TRIGRAMS.c.trigram.in_(_trigrams(row.word))
            connection.execute(TRIGRAMS.delete().where(here, TRIGRAMS.c.word_id == row.id))
            connection.execute(WORDS.delete().where(WORDS.c.id == row.id))
    for word in sorted(new):
        word_id = connection.scalar(sa.select(WORDS.c.id).where(own, WORDS.c.word == word))
        if word_id is None:
            added = {"organization_id": name.organization_id, "word": word}
            word_id = connection.execute(WORDS.insert().returning(WORDS.c.id), added).scalar_one()
            of_word = {"organization_id": name.organization_id, "word_id": word_id}
            connection.execute(TRIGRAMS.insert(), [{**of_word, "trigram": trigram} for trigram in _trigrams(word)])
        connection.execute(PLACES.insert(), {"word_id": word_id, "name_id": name.id})


# How names are cut into words and trigrams before and after this revision. What the search of today does may differ,
# and must not change what this revision makes.

_LETTERS = ("L", "Nd", "Nl", "Mc")
_VOWELS = {0, *range(10, 37), 84, 91, 103, 118, 129, 130, 132}


class _Folded(dict[int, str]):
    def __init__(self, apart: bool) -> None:
        super().__init__()
        self._apart = apart

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        counts = category.startswith(_LETTERS) or (category == "Mn" and unicodedata.combining(character) in _VOWELS)
        folded = character.lower()[0] if counts else " "
        if self._apart and (
            category == "So" or (category in ("Lo", "Lm") and unicodedata.east_asian_width(character) in "WH")
        ):
            folded = f" {character} "
        self[code] = folded
        return folded


_together, _apart = _Folded(apart=False), _Folded(apart=True)


def _words(name: str, *, apart: bool = False) -> set[str]:
    return set(name.translate(_apart if apart else _together).split())


def _trigrams(word: str) -> list[str]:
    padded = f"  {word} "
    return sorted({padded[at : at + 3] for at in range(1, len(padded) - 2)})
