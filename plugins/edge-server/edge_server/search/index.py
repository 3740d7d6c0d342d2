"""The index of names in which search finds them.

The index knows names of any kind by their uid. Whoever gives something a name, renames or removes
it calls `add`, `rename` or `remove` in the same transaction, so that the index is never behind.

Each word is kept once for all names of an organization it stands in, and trigrams lead to words: a
new name of known words costs a few rows. A name as a whole has a number, its `key`, under which it is found at once.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from edge_server.data.database import Transaction, connection_of
from edge_server.search import trigrams
from edge_server.search.models import SearchName, SearchPlace, SearchTrigram, SearchWord

_CHUNK = 5000

NAMES: Any = SearchName.__table__
WORDS: Any = SearchWord.__table__
TRIGRAMS: Any = SearchTrigram.__table__
PLACES: Any = SearchPlace.__table__

# Built once, which takes as long as to run them.
_ADD_NAMES = sa.insert(NAMES).returning(NAMES.c.id, NAMES.c.name)
_ADD_WORDS = sa.insert(WORDS).returning(WORDS.c.id, WORDS.c.word)
_ADD_TRIGRAMS = sa.insert(TRIGRAMS)
_ADD_PLACES = sa.insert(PLACES)
_WORD_IDS = sa.select(WORDS.c.word, WORDS.c.id).where(
    WORDS.c.organization_id == sa.bindparam("organization"), WORDS.c.word.in_(sa.bindparam("words", expanding=True))
)

_NAMED = sa.select(NAMES.c.id, NAMES.c.organization_id, NAMES.c.name).where(
    NAMES.c.kind == sa.bindparam("kind"), NAMES.c.uid.in_(sa.bindparam("uids", expanding=True))
)
_REMOVE_NAMES = sa.delete(NAMES).where(NAMES.c.id.in_(sa.bindparam("ids", expanding=True)))
_REMOVE_WORDS = sa.delete(WORDS).where(WORDS.c.id.in_(sa.bindparam("ids", expanding=True)))
_UNUSED = sa.select(WORDS.c.id, WORDS.c.word).where(
    WORDS.c.id.in_(sa.bindparam("ids", expanding=True)), ~sa.exists().where(PLACES.c.word_id == WORDS.c.id)
)
# By pairs: two lists would be looked up in all their combinations.
_REMOVE_PLACES = sa.delete(PLACES).where(
    PLACES.c.word_id == sa.bindparam("word_id"), PLACES.c.name_id == sa.bindparam("name_id")
)
_REMOVE_TRIGRAMS = sa.delete(TRIGRAMS).where(
    TRIGRAMS.c.organization_id == sa.bindparam("organization_id"),
    TRIGRAMS.c.trigram == sa.bindparam("trigram"),
    TRIGRAMS.c.word_id == sa.bindparam("word_id"),
)


def key(name: str) -> int:
    """The number of 31 bits under which a name is found as a whole; few others have it."""
    return zlib.crc32(name.encode()) >> 1


def add(transaction: Transaction, organization_id: int, kind: str, uid: str, name: str) -> None:
    """Index the name of something new.

    Args:
        transaction: the one that makes it.
        organization_id: whose it is.
        kind: "file", "folder", "connector", ...
        uid: its universally unique id.
        name: at most 255 characters.
    """
    add_all(transaction, organization_id, kind, {uid: name})


def add_all(transaction: Transaction, organization_id: int, kind: str, names: Mapping[str, str]) -> None:
    """Index the names of new things, by their uids; see `add`."""
    if not names:
        return
    own = {"organization_id": organization_id, "kind": kind}
    rows = transaction.execute(
        _ADD_NAMES, [{**own, "uid": uid, "name": name, "key": key(name)} for uid, name in names.items()]
    )
    _place(transaction, organization_id, {row.id: set(trigrams.words(row.name)) for row in rows})


def rename(transaction: Transaction, kind: str, uid: str, name: str) -> None:
    """Index another name of something that is indexed."""
    row = transaction.execute(sa.select(NAMES).where(NAMES.c.kind == kind, NAMES.c.uid == uid)).one()
    transaction.execute(sa.update(NAMES).where(NAMES.c.id == row.id).values(name=name, key=key(name)))
    before, after = set(trigrams.words(row.name)), set(trigrams.words(name))
    _place(transaction, row.organization_id, {row.id: after - before})
    _unplace(transaction, row.organization_id, [(row.id, before - after)])


def remove(transaction: Transaction, kind: str, uids: Iterable[str]) -> None:
    """Take names out of the index; those that are not in it are passed over."""
    for chunk in _chunks(list(uids)):
        rows = transaction.execute(_NAMED, {"kind": kind, "uids": chunk}).all()
        for organization_id in {row.organization_id for row in rows}:
            here = [(row.id, set(trigrams.words(row.name))) for row in rows if row.organization_id == organization_id]
            _unplace(transaction, organization_id, here)
        if rows:
            transaction.execute(_REMOVE_NAMES, {"ids": [row.id for row in rows]})


def _place(transaction: Transaction, organization_id: int, words_by_name: Mapping[int, set[str]]) -> None:
    """Put words into names, by the rows of these."""
    words = set().union(*words_by_name.values())
    if not words:
        return
    known = _ids(transaction, organization_id, words)
    new = sorted(words - known.keys())
    if new:
        rows = transaction.execute(_ADD_WORDS, [{"organization_id": organization_id, "word": word} for word in new])
        known |= {row.word: row.id for row in rows}
        transaction.execute(
            _ADD_TRIGRAMS, [row for word in new for row in _trigram_rows(organization_id, known[word], word)]
        )
    places = sorted((known[word], name_id) for name_id, words in words_by_name.items() for word in words)
    transaction.execute(_ADD_PLACES, [{"word_id": word_id, "name_id": name_id} for word_id, name_id in places])


def _unplace(transaction: Transaction, organization_id: int, gone: list[tuple[int, set[str]]]) -> None:
    """Take words out of names, and those that stand in none any more out of the index."""
    known = _ids(transaction, organization_id, set().union(*(words for _, words in gone)))
    if not known:
        return
    places = [{"word_id": known[word], "name_id": name_id} for name_id, words in gone for word in words]
    _execute_each(transaction, _REMOVE_PLACES, places)
    for chunk in _chunks(list(known.values())):
        left = transaction.execute(_UNUSED, {"ids": chunk}).all()
        if left:
            rows = [row for word_id, word in left for row in _trigram_rows(organization_id, word_id, word)]
            _execute_each(transaction, _REMOVE_TRIGRAMS, rows)
            transaction.execute(_REMOVE_WORDS, {"ids": [row.id for row in left]})


def _execute_each(transaction: Transaction, statement: sa.Delete, rows: list[dict[str, Any]]) -> None:
    """Execute a statement for each of many rows of numbers and text, by the driver.

    SQLAlchemy looks anew at each parameter of each row, which takes ten times as long as to delete it.
    """
    connection = connection_of(transaction)
    compiled = statement.compile(dialect=connection.dialect)
    names = compiled.positiontup if compiled.positional else None
    values = rows if names is None else [tuple(row[name] for name in names) for row in rows]
    connection.exec_driver_sql(str(compiled), values)


def _ids(transaction: Transaction, organization_id: int, words: Collection[str]) -> dict[str, int]:
    ids: dict[str, int] = {}
    for chunk in _chunks(list(words)):
        rows = transaction.execute(_WORD_IDS, {"organization": organization_id, "words": chunk})
        ids |= {row.word: row.id for row in rows}
    return ids


def _trigram_rows(organization_id: int, word_id: int, word: str) -> list[dict[str, Any]]:
    # But for the first, which is a letter that the words with it begin with.
    return [
        {"organization_id": organization_id, "trigram": trigram, "word_id": word_id}
        for trigram in sorted(set(trigrams.of_words([word])[1:]))
    ]


def _chunks(values: list[Any]) -> Iterator[list[Any]]:
    # A statement takes only so many parameters.
    return (values[at : at + _CHUNK] for at in range(0, len(values), _CHUNK))
