"""What search asks of the index: each statement reads a bounded number of rows, whatever the index holds."""

from __future__ import annotations

import functools
from typing import Any

import sqlalchemy as sa

from edge_server.search.index import NAMES, PLACES, TRIGRAMS, WORDS

_ORGANIZATION = sa.bindparam("organization_id", type_=sa.BigInteger)
_MOST = sa.bindparam("most", type_=sa.Integer)
_AFTER_ALL = 1 << 62


def _among(name: str) -> sa.BindParameter[Any]:
    return sa.bindparam(name, expanding=True)


def _words() -> sa.Select[Any]:
    return sa.select(WORDS.c.id, WORDS.c.word).where(WORDS.c.organization_id == _ORGANIZATION)


def _words_with() -> sa.Select[Any]:
    shared = sa.func.count()
    touched = (
        sa.select(TRIGRAMS.c.word_id)
        .where(TRIGRAMS.c.organization_id == _ORGANIZATION, TRIGRAMS.c.trigram.in_(_among("trigrams")))
        .group_by(TRIGRAMS.c.word_id)
        .having(shared >= sa.bindparam("least", type_=sa.Integer))
        .order_by(shared.desc(), TRIGRAMS.c.word_id)
        .limit(_MOST)
        .subquery()
    )
    return sa.select(WORDS.c.id, WORDS.c.word).join(touched, touched.c.word_id == WORDS.c.id)


def _counted(rows: sa.Select[Any], outer: sa.FromClause) -> sa.ScalarSelect[int]:
    """How many rows there are for each of those outside, counted to `most`."""
    return sa.select(sa.func.count()).select_from(rows.limit(_MOST).correlate(outer).subquery()).scalar_subquery()


def _word_counts() -> sa.Select[Any]:
    numbers = sa.select(sa.literal(0).label("n")).cte("numbers", recursive=True)
    following = numbers.c.n + 1
    numbers = numbers.union_all(sa.select(following).where(following < sa.bindparam("number", type_=sa.Integer)))
    trigram = sa.func.substr(sa.bindparam("trigrams", type_=sa.String), numbers.c.n * 3 + 1, 3)
    words = sa.select(sa.literal(1).label("word"))
    words = words.where(TRIGRAMS.c.organization_id == _ORGANIZATION, TRIGRAMS.c.trigram == trigram)
    return sa.select(trigram, _counted(words, numbers))


def _name_counts() -> sa.Select[Any]:
    own = PLACES.c.word_id == WORDS.c.id
    count = _counted(sa.select(sa.literal(1).label("place")).where(own), WORDS)
    last = sa.select(PLACES.c.name_id).where(own).order_by(PLACES.c.name_id).offset(_MOST - 1).limit(1)
    newest = sa.select(sa.func.max(NAMES.c.id)).scalar_subquery()
    return sa.select(WORDS.c.id, count, last.scalar_subquery(), newest).where(WORDS.c.id.in_(_among("words")))


WORDS_BETWEEN = (
    _words()
    .where(WORDS.c.word.between(sa.bindparam("first"), sa.bindparam("last")))
    .order_by(WORDS.c.word)
    .limit(_MOST)
)
"""Words from `first` to `last`."""

WORDS_AMONG = _words().where(WORDS.c.word.in_(_among("words"))).order_by(WORDS.c.word).limit(_MOST)
"""Those of `words` that are in a name."""

WORDS_WITH = _words_with()
"""Words that have at least `least` of the `trigrams`, those with most first. The trigrams have to be rare."""

WORD_COUNTS = _word_counts()
"""For each of a `number` of `trigrams`, which are given as one text, how many words have it, counted to `most`."""

NAME_COUNTS = _name_counts()
"""For each of `words`, which are ids, how many names have it, counted to `most`.

With each is the id of the name at which the counting ended, null where there are fewer, and that of the newest name.
"""


def _names(of_kind: bool) -> sa.Select[Any]:
    names = sa.select(NAMES.c.name, NAMES.c.uid, NAMES.c.kind).limit(_MOST)
    return names.where(NAMES.c.kind == sa.bindparam("kind")) if of_kind else names


@functools.cache
def names_themselves(of_kind: bool) -> sa.Select[Any]:
    """The names that are `name`, whose `key` is given as well."""
    own = (NAMES.c.organization_id == _ORGANIZATION) & (NAMES.c.key == sa.bindparam("key"))
    return _names(of_kind).where(own, NAMES.c.name == sa.bindparam("name"))


@functools.cache
def names_with(others: int, of_kind: bool) -> sa.Select[Any]:
    """Names with one of `words`, of each of which the first so many places are read, `each`.

    Args:
        others: how many other words a name has to have; the ids of each are `other0`, `other1`, ...
        of_kind: only names of things of the kind `kind`.
    """
    place = PLACES.alias()
    # The name at which a word's turn ends, where there are so many.
    following = sa.select(place.c.name_id).where(place.c.word_id == WORDS.c.id).order_by(place.c.name_id)
    end = following.offset(sa.bindparam("each", type_=sa.Integer)).limit(1).scalar_subquery()
    names = (
        _names(of_kind)
        .select_from(WORDS)
        .join(PLACES, (PLACES.c.word_id == WORDS.c.id) & (PLACES.c.name_id < sa.func.coalesce(end, _AFTER_ALL)))
        .join(NAMES, NAMES.c.id == PLACES.c.name_id)
        .where(WORDS.c.id.in_(_among("words")))
    )
    for n in range(others):
        place = PLACES.alias()
        names = names.where(
            sa.exists().where(place.c.word_id.in_(_among(f"other{n}")), place.c.name_id == PLACES.c.name_id)
        )
    return names
