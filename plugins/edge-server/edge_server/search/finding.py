"""Finding in the index what resembles a query.

A query reads at most so many rows of each table, so that its cost does not grow with the index. Where that is too few
for all that may be similar enough, the answer is partial, and says so. In turn:

1. names that are the query itself;
2. for each word of the query, the words like it: those that begin with it, those that share its rarer trigrams, and, if
   no name has the word, those of which it is a slip;
3. names with these words, beginning with the word of the query that fewest names have: all of them, or those that have
   the other words as well;
4. these names are compared with the query, in time linear in their length.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
import sqlalchemy.exc

from edge_server.base import clock, problems
from edge_server.data import budgets
from edge_server.data.database import Transaction
from edge_server.search import statements, trigrams
from edge_server.search.index import key

MOST = 1000
"""Most names that a query compares, and so finds."""

MOST_PLACES = 10_000
"""Most places of a query's words that are looked through at a time for names with its other words."""

ALL_PLACES = 15_000
"""Most places that a query looks through so for all of its words; the rarest come first, and lead furthest."""

MOST_PARTS = 32
"""Most words of a query that count, the first ones."""

MOST_WORDS = 50
"""Most words that are taken for like one of the query's, by each way to find them."""

MOST_SLIPS = 4000
"""Most words that are tried as what was meant by a query's unknown ones."""

COMMON = 1000
"""In so many words a trigram is too common to lead to them."""

MOST_POSTINGS = 10_000
"""Most pairs of a trigram and a word that are looked through for a query."""

MOST_OTHERS = 4
"""Most other words of a query that names with one of its words are asked for at a time."""

MOST_OTHER_WORDS = 5
"""Most words that stand for each of these, the most like it."""

LEAST_SHARE = 0.01
"""Share of `MOST` that has to be left for a word that more names have; others are read as a whole."""

_turns = threading.Semaphore(max(1, (os.cpu_count() or 1) // 2))
"""As many queries compute at a time as leave half of the processors to others, for whom more of them leave too little.

The others wait: together they would be done no sooner.
"""

_LAST_CHARACTER = "\U0010ffff"


class Match(NamedTuple):
    """A name that resembles a query; the better, the smaller.

    Attributes:
        distance: 1 less the share of the query that is in the name.
        looseness: 0 for the query itself, 1 for a name with its words as they stand, 2 for one with the beginning of
            such, 3 for one that has them elsewhere.
        length: characters of the name; of names equally similar, the query is more of a shorter one.
        name: the name.
        uid: what has it.
        kind: of which kind that is.
    """

    distance: float
    looseness: int
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


def find(
    transaction: Transaction, organization_id: int, query: str, kind: str | None = None, *, seconds: float = 60.0
) -> Matches:
    """The names of an organization that resemble `query`, the best first, at most `MOST`.

    Args:
        transaction: one that reads.
        organization_id: whose names.
        query: text.
        kind: only names of things of this kind.
        seconds: how long it may take, once it has begun.
    """
    with _turns:
        return _find(transaction, organization_id, query, kind, seconds)


def _find(transaction: Transaction, organization_id: int, query: str, kind: str | None, seconds: float) -> Matches:
    begun = clock.monotonic()

    def is_over() -> bool:
        return clock.monotonic() - begun > seconds

    search = _Search(transaction, organization_id, query, kind)
    matches: set[Match] = set()
    try:
        with budgets.budget(is_over):
            for name, uid, kind_of_name in search.candidates():
                match = search.compared(name, uid, kind_of_name)
                if 1.0 - match.distance >= trigrams.THRESHOLD:
                    matches.add(match)
                if is_over():
                    search.partial = True
                    break
    except sqlalchemy.exc.OperationalError as error:
        if not problems.is_interrupted(error):
            raise
        search.partial = True
    return Matches(sorted(matches)[:MOST], search.partial or len(matches) > MOST)


class _Part:
    """A word of a query.

    Attributes:
        text: the word.
        trigrams: its distinct trigrams; how many they are is its weight in the query.
        levels: ids of words, the best first: those that are most like it, and others that are like it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.trigrams = frozenset(trigrams.of_words([text]))
        self.weight = len(self.trigrams)
        self.levels: tuple[list[int], list[int]] = ([], [])

    def likeness(self, word: str, slips: Collection[str]) -> float:
        """How much of this is in a word, from 0 to 1."""
        if word == self.text:
            return 1.0
        shared = len(self.trigrams.intersection(trigrams.of_words([word]))) / self.weight
        return max(shared, 1.0 - 1.0 / len(self.text)) if word in slips else shared


class _Search:
    """One query."""

    def __init__(self, transaction: Transaction, organization_id: int, query: str, kind: str | None) -> None:
        self._transaction = transaction
        self._organization_id = organization_id
        self._query = query
        self._kind = kind
        words = trigrams.words(query)
        self._text = " ".join(words)
        parts = list(dict.fromkeys(words))
        self.partial = len(parts) > MOST_PARTS
        self._parts = [_Part(text) for text in parts[:MOST_PARTS]]
        self._weight = sum(part.weight for part in self._parts)
        self._likeness: dict[str, list[tuple[_Part, float]]] = {}
        self._places_left = ALL_PLACES

    # --- comparing

    def compared(self, name: str, uid: str, kind: str) -> Match:
        """A name as a match, whether it is near or not."""
        words = trigrams.words(name)
        text = f" {' '.join(words)} "
        if name == self._query:
            distance, looseness = 0.0, 0
        elif f" {self._text}" in text:
            distance, looseness = 0.0, 1 if f" {self._text} " in text else 2
        else:
            best: dict[_Part, float] = {}
            for word in words:
                for part, likeness in self._likeness.get(word, ()):
                    best[part] = max(likeness, best.get(part, 0.0))
            share = sum(part.weight * likeness for part, likeness in best.items()) / self._weight
            distance, looseness = 1.0 - share, 3
        return Match(distance, looseness, len(name), name, uid, kind)

    # --- names

    def candidates(self) -> Iterator[Any]:
        """Name, uid and kind of names that may be near, some of them more than once."""
        names = statements.names_themselves(self._kind is not None)
        yield from self._all(names, name=self._query, key=key(self._query), kind=self._kind, most=MOST + 1)
        self._find_words()
        places = self._places()
        parts = sorted((part for part in self._parts if part.levels[0]), key=lambda part: places(part.levels[0]))
        left = MOST
        unread: list[_Part] = []
        for level in (0, 1):
            for at, part in enumerate(parts):
                words = part.levels[level]
                if sum(each.weight for each in parts[at:]) < trigrams.THRESHOLD * self._weight:
                    break  # what has none of the words before cannot be near
                if not words:
                    continue
                # What is left goes to the words in turn, half of it to each.
                most = left // 2
                is_cut = places(words) > most
                self.partial |= is_cut
                if most > LEAST_SHARE * MOST or not is_cut:
                    # Names with a word that was read as a whole are known already.
                    others = dict.fromkeys((*parts[at + 1 :], *unread))
                    others.pop(part, None)
                    for rows in self._names(words, list(others)[:MOST_OTHERS], most, is_cut):
                        yield from rows
                        left = max(0, left - len(rows))
                if is_cut:
                    unread.append(part)

    def _names(self, words: list[int], others: list[_Part], most: int, is_cut: bool) -> Iterator[Sequence[Any]]:
        """Names with one of `words`; if those are too many, some that have the others as well, or else any."""
        rows: Sequence[Any] = ()
        # As many places of each word, and where that gives little, more of them.
        for places_of_words in (most, MOST_PLACES) if is_cut else ():
            places = min(places_of_words, self._places_left)
            if places and len(rows) < most // 2:
                self._places_left -= places
                rows = self._names_with(words, others, places, most)
                yield rows
        if not rows:
            yield self._names_with(words, [], most, most)

    def _names_with(self, words: list[int], others: list[_Part], places: int, most: int) -> Sequence[Any]:
        alike = {f"other{n}": (other.levels[0] + other.levels[1])[:MOST_OTHER_WORDS] for n, other in enumerate(others)}
        names = statements.names_with(len(others), self._kind is not None)
        return self._all(names, words=words, each=max(1, places // len(words)), most=most, kind=self._kind, **alike)

    def _places(self) -> Callable[[list[int]], float]:
        """In about how many names words are; where that is less than `MOST`, the number is exact."""
        words = list({word_id for part in self._parts for level in part.levels for word_id in level})
        counts: dict[int, float] = {}
        for word_id, count, last, names in self._all(statements.NAME_COUNTS, words=words, most=MOST):
            # A word with so many names up to one of them has as many more in the rest.
            counts[word_id] = count if last is None else count * names / last
        return lambda words: sum(counts[word_id] for word_id in words)

    def _all(self, statement: sa.Select[Any], **values: Any) -> list[Any]:
        rows = self._transaction.execute(statement, {"organization_id": self._organization_id, **values})
        return [tuple(row) for row in rows.all()]

    # --- words that are like those of the query

    def _find_words(self) -> None:
        rare = self._rare_trigrams()
        slips_left = MOST_SLIPS
        for part in self._parts:
            words = self._words(statements.WORDS_BETWEEN, first=part.text, last=part.text + _LAST_CHARACTER)
            words |= self._similar(part, rare)
            slips: set[str] = set()
            if part.text not in words.values():
                slips = trigrams.slips(part.text)
                slips_left -= len(slips)
                self.partial |= slips_left < 0
                if slips and slips_left >= 0:
                    words |= self._words(statements.WORDS_AMONG, words=list(slips))
            ranked = sorted((-part.likeness(word, slips), len(word), word, word_id) for word_id, word in words.items())
            for unlikeness, _, word, word_id in ranked:
                if -unlikeness >= trigrams.THRESHOLD:
                    level = 0 if unlikeness == ranked[0][0] else 1
                    part.levels[level].append(word_id)
                    self._likeness.setdefault(word, []).append((part, -unlikeness))

    def _similar(self, part: _Part, rare: dict[str, int]) -> dict[int, str]:
        """Words that have enough of the trigrams of a word, as far as its rare ones lead to them."""
        left = MOST_POSTINGS // len(self._parts)
        chosen: list[str] = []
        for trigram in sorted(part.trigrams & rare.keys(), key=lambda trigram: (rare[trigram], trigram)):
            left -= rare[trigram]
            if left >= 0:
                chosen.append(trigram)
        least = trigrams.least_shared(part.weight) - (part.weight - len(chosen))
        # What is like a single letter begins with it.
        self.partial |= least < 1 and part.weight > 2
        return self._words(statements.WORDS_WITH, trigrams=chosen, least=least) if chosen else {}

    def _rare_trigrams(self) -> dict[str, int]:
        """The trigrams of the query that are not in too many words, and in how many they are."""
        distinct = sorted({each for part in self._parts for each in part.trigrams if not each.startswith("  ")})
        counts = self._all(statements.WORD_COUNTS, trigrams="".join(distinct), number=len(distinct), most=COMMON)
        return {trigram: count for trigram, count in counts if count < COMMON}

    def _words(self, statement: sa.Select[Any], **values: Any) -> dict[int, str]:
        words = dict(self._all(statement, most=MOST_WORDS, **values))
        self.partial |= len(words) == MOST_WORDS
        return words
