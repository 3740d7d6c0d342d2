"""Words, trigrams and their similarity, as PostgreSQL's pg_trgm has them.

A name is read in lower case and cut into words of letters and digits. A word's trigrams are the
runs of three characters in it, with two blanks put before it and one behind: those of ``plate``
are ``"  p"``, ``" pl"``, ``"pla"``, ``"lat"``, ``"ate"`` and ``"te "``. Two texts are alike as far
as they have the same trigrams.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection, Iterable

THRESHOLD = 0.4
"""Least `word_similarity` of a name that is found.

Two letters swapped in a word of ten leave 0.46. Below a half, one letter finds the words it begins,
with one of its two trigrams; above a third, two letters find nothing but that, with two of three.
"""

_BLANK = " "

_LETTERS = ("L", "Nd", "Nl", "Mc")

# Combining classes of marks that are vowels or the like. Others are accents, or join consonants,
# and end a word: to the C library only the former are letters.
_VOWELS = {0, *range(10, 37), 84, 91, 103, 118, 129, 130, 132}


class _Folded(dict[int, str]):
    """Each character as it counts: in lower case, or a blank between words."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        counts = category.startswith(_LETTERS) or (category == "Mn" and unicodedata.combining(character) in _VOWELS)
        # One character for one, also where the full mapping has two.
        folded = self[code] = character.lower()[0] if counts else _BLANK
        return folded


_folded = _Folded()


def words(text: str) -> list[str]:
    """The words of a text in their order, in lower case."""
    return text.translate(_folded).split()


def of_words(words: Iterable[str]) -> list[str]:
    """The trigrams of words, in their order and as often as they occur."""
    trigrams = []
    for word in words:
        padded = f"  {word} "
        trigrams += [padded[at : at + 3] for at in range(len(padded) - 2)]
    return trigrams


def least_shared(trigrams: int) -> int:
    """How many of a query's distinct trigrams a name must have at least to be found."""
    # Whatever else is in the extent of the name makes the similarity smaller than their share.
    return math.ceil(THRESHOLD * trigrams - 1e-9)


def word_similarity(query: Collection[str], trigrams: list[str]) -> float:
    """How much of a query is in a text: the similarity of its trigrams to some stretch of the text's.

    The similarity of two sets is the share that both have of all they have together. As pg_trgm does,
    the stretch is not sought among all there are: the text is read once, each trigram of the query's
    is tried as its end, and its beginning only ever moves on, to where that makes it better.

    Args:
        query: the query's distinct trigrams.
        trigrams: those of the text, as `of_words` gives them.

    Returns:
        From 0 to 1.
    """
    query = query if isinstance(query, (set, frozenset)) else set(query)
    total = len(query)
    begin = -1
    best = 0.0
    last: dict[str, int] = {}  # where each trigram of the stretch was seen last
    shared = 0
    for end, trigram in enumerate(trigrams):
        hit = trigram in query
        if begin < 0 and not hit:
            continue
        if begin < 0:
            begin = end
        if trigram not in last:
            shared += hit
        last[trigram] = end
        if not hit:
            continue
        chosen, score = begin, shared / (total + len(last) - shared)
        distinct, kept = len(last), shared
        for at in range(begin, end + 1):
            tried = kept / (total + distinct - kept)
            if tried > score:
                chosen, score = at, tried
            if last.get(trigrams[at]) == at:
                distinct -= 1
                kept -= trigrams[at] in query
        best = max(best, score)
        for at in range(begin, chosen):
            if last.get(trigrams[at]) == at:
                del last[trigrams[at]]
                shared -= trigrams[at] in query
        begin = chosen
    return best
