"""Search: an index of names, and finding in it what resembles a query.

The index knows names of any kind by their uid. Whoever gives something a name, renames or removes
it calls `add`, `rename` or `remove` in the same transaction, so that the index is never behind.

Each word is kept once for all names of an organization it stands in, and trigrams lead to words: a
new name of known words costs a few rows. A name that is similar enough to a query has at least
`trigrams.least_shared` of its trigrams. The rarest of them lead to the candidates, whose words have
enough of those together; the most common ones may be left out, each of which a name then needs one
less of. The candidates are compared with the query by `trigrams.word_similarity`.

A query has so many seconds. Where collecting the candidates takes half of them, names with the words most like the
query are compared instead, for the rest of the time. What it gives then is part of the answer, and says so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.orm import Session

from edge_server.base import clock, problems
from edge_server.data import budgets
from edge_server.search import trigrams
from edge_server.search.models import SearchName, SearchPlace, SearchTrigram, SearchWord

MOST = 1000
"""Most names that one query finds, the best ones."""

CANDIDATES = 20_000
"""Most names that are looked at for one query, those with most of its trigrams first."""

COMMON = 2000
"""Words with a trigram are counted up to this number; beyond, it is not rare anyway."""

LIKELY_WORDS = 1000
"""Most words whose names are looked at where there is no time for all."""

NAMES_OF_A_WORD = 1000
"""Most names of each of them."""

_CHUNK = 5000

_NAMES: Any = SearchName.__table__
_WORDS: Any = SearchWord.__table__
_TRIGRAMS: Any = SearchTrigram.__table__
_PLACES: Any = SearchPlace.__table__

# Built once, which takes as long as to run them.
_ADD_NAMES = sa.insert(_NAMES).returning(_NAMES.c.id, _NAMES.c.name)
_ADD_WORDS = sa.insert(_WORDS).returning(_WORDS.c.id, _WORDS.c.word)
_ADD_TRIGRAMS = sa.insert(_TRIGRAMS)
_ADD_PLACES = sa.insert(_PLACES)
_WORD_IDS = sa.select(_WORDS.c.word, _WORDS.c.id).where(
    _WORDS.c.organization_id == sa.bindparam("organization"), _WORDS.c.word.in_(sa.bindparam("words", expanding=True))
)

Transaction = Session | sa.Connection


class Match(NamedTuple):
    """A name that resembles a query; the better, the smaller.

    Attributes:
        distance: 1 less its `word_similarity`.
        length: characters of the name; of names equally similar, the query is more of a shorter one.
        name: the name.
        uid: what has it.
        kind: of which kind that is.
    """

    distance: float
    length: int
    name: str
    uid: str
    kind: str


class Matches(NamedTuple):
    """What a query has found.

    Attributes:
        best: the names, the best first.
        partial: not all names that may be similar were compared.
    """

    best: list[Match]
    partial: bool


# --- keeping the index


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
    rows = transaction.execute(_ADD_NAMES, [{**own, "uid": uid, "name": name} for uid, name in names.items()])
    _place(transaction, organization_id, {row.id: set(trigrams.words(row.name)) for row in rows})


def rename(transaction: Transaction, kind: str, uid: str, name: str) -> None:
    """Index another name of something that is indexed."""
    row = transaction.execute(sa.select(_NAMES).where(_NAMES.c.kind == kind, _NAMES.c.uid == uid)).one()
    transaction.execute(sa.update(_NAMES).where(_NAMES.c.id == row.id).values(name=name))
    before, after = set(trigrams.words(row.name)), set(trigrams.words(name))
    _place(transaction, row.organization_id, {row.id: after - before})
    _unplace(transaction, row.organization_id, [(row.id, before - after)])


def remove(transaction: Transaction, kind: str, uids: Iterable[str]) -> None:
    """Take names out of the index; those that are not in it are passed over."""
    for chunk in _chunks(list(uids)):
        rows = transaction.execute(sa.select(_NAMES).where(_NAMES.c.kind == kind, _NAMES.c.uid.in_(chunk))).all()
        for organization_id in {row.organization_id for row in rows}:
            here = [(row.id, set(trigrams.words(row.name))) for row in rows if row.organization_id == organization_id]
            _unplace(transaction, organization_id, here)
        transaction.execute(sa.delete(_NAMES).where(_NAMES.c.id.in_([row.id for row in rows])))


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
    # By pairs: two lists would be looked up in all their combinations.
    transaction.execute(
        sa.delete(_PLACES).where(
            _PLACES.c.word_id == sa.bindparam("word"), _PLACES.c.name_id == sa.bindparam("in_name")
        ),
        [{"word": known[word], "in_name": name_id} for name_id, words in gone for word in words],
    )
    for chunk in _chunks(list(known.values())):
        stands = sa.exists().where(_PLACES.c.word_id == _WORDS.c.id)
        left = transaction.execute(sa.select(_WORDS.c.id, _WORDS.c.word).where(_WORDS.c.id.in_(chunk), ~stands)).all()
        if not left:
            continue
        transaction.execute(
            sa.delete(_TRIGRAMS).where(
                _TRIGRAMS.c.organization_id == sa.bindparam("organization_id"),
                _TRIGRAMS.c.trigram == sa.bindparam("trigram"),
                _TRIGRAMS.c.word_id == sa.bindparam("word_id"),
            ),
            [row for word_id, word in left for row in _trigram_rows(organization_id, word_id, word)],
        )
        transaction.execute(sa.delete(_WORDS).where(_WORDS.c.id.in_([row.id for row in left])))


def _ids(transaction: Transaction, organization_id: int, words: Collection[str]) -> dict[str, int]:
    ids: dict[str, int] = {}
    for chunk in _chunks(list(words)):
        rows = transaction.execute(_WORD_IDS, {"organization": organization_id, "words": chunk})
        ids |= {row.word: row.id for row in rows}
    return ids


def _trigram_rows(organization_id: int, word_id: int, word: str) -> list[dict[str, Any]]:
    return [
        {"organization_id": organization_id, "trigram": trigram, "word_id": word_id}
        for trigram in sorted(set(trigrams.of_words([word])))
    ]


def _chunks(values: list[Any]) -> Iterator[list[Any]]:
    # A statement takes only so many parameters.
    return (values[at : at + _CHUNK] for at in range(0, len(values), _CHUNK))


# --- asking it


def find(
    transaction: Transaction, organization_id: int, query: str, kind: str | None = None, *, seconds: float = 60.0
) -> Matches:
    """The names of an organization that resemble `query`, the best first, at most `MOST`.

    Args:
        transaction: one that reads.
        organization_id: whose names.
        query: text.
        kind: only names of things of this kind.
        seconds: how long it may take.
    """
    query_trigrams = frozenset(trigrams.of_words(trigrams.words(query)))
    if not query_trigrams:
        return Matches([], False)
    begun = clock.monotonic()

    def is_over(share: float = 1.0) -> bool:
        return clock.monotonic() - begun > share * seconds

    candidates: Iterable[Any]
    try:
        rows = _candidates(transaction, organization_id, query_trigrams, lambda: is_over(0.5))
        candidates, partial = rows, len(rows) == CANDIDATES
    except _Interrupted:
        candidates, partial = _likely(transaction, organization_id, query_trigrams, is_over), True
    likeness = _Likeness(query_trigrams)
    matches = set()
    for name, uid, candidate_kind in candidates:
        if is_over():
            partial = True
            break
        if kind is not None and candidate_kind != kind:
            continue
        similarity = likeness.of(name)
        if similarity >= trigrams.THRESHOLD:
            matches.add(Match(1.0 - similarity, len(name), name, uid, candidate_kind))
    return Matches(sorted(matches)[:MOST], partial)


class _Shared(dict[str, frozenset[str]]):
    """The trigrams that a word has in common with a query, by word."""

    def __init__(self, query_trigrams: frozenset[str]) -> None:
        self._query_trigrams = query_trigrams

    def __missing__(self, word: str) -> frozenset[str]:
        shared = self[word] = self._query_trigrams.intersection(trigrams.of_words([word]))
        return shared


class _Likeness:
    """How similar names are to one query.

    Most names have to do with it in one word only, and the same words come again and again: what
    was found for a word or a row of words is kept.
    """

    def __init__(self, query_trigrams: frozenset[str]) -> None:
        self._query_trigrams = query_trigrams
        self._least = trigrams.least_shared(len(query_trigrams))
        self._shared = _Shared(query_trigrams)
        self._similarity: dict[tuple[str, ...], float] = {}

    def of(self, name: str) -> float:
        """The `word_similarity` of the query to `name`; 0 if that is below the threshold anyway."""
        words = trigrams.words(name)
        shared = self._shared
        touched = [at for at, word in enumerate(words) if shared[word]]
        if not touched:
            return 0.0
        # No stretch of the name begins or ends outside of these.
        row = tuple(words[touched[0] : touched[-1] + 1])
        similarity = self._similarity.get(row)
        if similarity is None:
            similarity = self._similarity[row] = self._of_words(row)
        return similarity

    def _of_words(self, row: tuple[str, ...]) -> float:
        shared = frozenset().union(*(self._shared[word] for word in row))
        if len(shared) < self._least:
            return 0.0
        return trigrams.word_similarity(self._query_trigrams, trigrams.of_words(row))


def _candidates(
    transaction: Transaction, organization_id: int, query_trigrams: frozenset[str], is_over: Callable[[], bool]
) -> Sequence[Any]:
    """Name, uid and kind of all that may be similar enough.

    Raises:
        _Interrupted: the time was over before they were known.
    """
    rare, least = _rarest(transaction, organization_id, query_trigrams)
    touched = _touched(organization_id, rare).subquery()
    # Words may share the same ones, so that this is rather too many names than too few.
    shares = sa.func.sum(touched.c.shares)
    places = (
        sa.select(_PLACES.c.name_id, shares.label("shares"))
        .join(touched, touched.c.word_id == _PLACES.c.word_id)
        .group_by(_PLACES.c.name_id)
        .having(shares >= least)
        .order_by(shares.desc(), _PLACES.c.name_id)
        .limit(CANDIDATES)
        .subquery()
    )
    rows = sa.select(_NAMES.c.name, _NAMES.c.uid, _NAMES.c.kind).join(places, places.c.name_id == _NAMES.c.id)
    return _within(transaction, rows, is_over)


def _likely(
    transaction: Transaction, organization_id: int, query_trigrams: frozenset[str], is_over: Callable[[float], bool]
) -> Iterator[Any]:
    """Name, uid and kind of some that have a word with much of the query, those with most of it first.

    They are read as they are asked for, and end where the time does.
    """
    with contextlib.suppress(_Interrupted):
        touched = _touched(organization_id, query_trigrams)
        likely = touched.order_by(sa.func.count().desc(), _TRIGRAMS.c.word_id).limit(LIKELY_WORDS)
        words = _within(transaction, likely, lambda: is_over(0.8))
        for word in words:
            of_word = sa.select(_PLACES.c.name_id).where(_PLACES.c.word_id == word.word_id).limit(NAMES_OF_A_WORD)
            rows = sa.select(_NAMES.c.name, _NAMES.c.uid, _NAMES.c.kind).where(_NAMES.c.id.in_(of_word))
            yield from _within(transaction, rows, lambda: is_over(1.0))


class _Interrupted(Exception):
    """The time is over."""


def _within(transaction: Transaction, statement: sa.Select[Any], is_over: Callable[[], bool]) -> Sequence[Any]:
    """The rows of a statement.

    Raises:
        _Interrupted: the time was over before it had ended.
    """
    try:
        with budgets.budget(is_over):
            return transaction.execute(statement).all()
    except sqlalchemy.exc.OperationalError as error:
        if problems.is_interrupted(error):
            raise _Interrupted from None
        raise


def _touched(organization_id: int, query_trigrams: Collection[str]) -> sa.Select[Any]:
    """The words that share trigrams with a query, and how many of them."""
    return (
        sa.select(_TRIGRAMS.c.word_id, sa.func.count().label("shares"))
        .where(_TRIGRAMS.c.organization_id == organization_id, _TRIGRAMS.c.trigram.in_(list(query_trigrams)))
        .group_by(_TRIGRAMS.c.word_id)
    )


def _rarest(transaction: Transaction, organization_id: int, query_trigrams: frozenset[str]) -> tuple[list[str], int]:
    """The query's trigrams but for the most common ones, and how many of these a similar name has at least."""
    least = trigrams.least_shared(len(query_trigrams))
    counted = (
        sa.select(sa.literal(1).label("row"))
        .where(_TRIGRAMS.c.organization_id == organization_id, _TRIGRAMS.c.trigram == sa.bindparam("trigram"))
        .limit(COMMON)
        .subquery()
    )
    counting = sa.select(sa.func.count()).select_from(counted)
    counts = {trigram: transaction.scalar(counting, {"trigram": trigram}) or 0 for trigram in query_trigrams}
    rarest = sorted(counts, key=lambda trigram: (counts[trigram], trigram))
    while least > 1 and counts[rarest[-1]] >= COMMON:
        rarest.pop()
        least -= 1
    return rarest, least
