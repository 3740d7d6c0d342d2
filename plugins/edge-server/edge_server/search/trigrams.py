"""Words, and how alike they are by their trigrams and by slips of the finger.

A name is read in lower case and cut into words of letters and digits. A character of Chinese, Japanese or Korean and an
emoji is a word of its own, since nothing stands between those. A word's trigrams are the runs of three characters in
it, with two blanks put before it and one behind: those of ``plate`` are ``"  p"``, ``" pl"``, ``"pla"``, ``"lat"``,
``"ate"`` and ``"te "``.
"""

from __future__ import annotations

import functools
import math
import unicodedata
from collections.abc import Iterable

THRESHOLD = 0.4
"""Least similarity of words, and of names, that are found.

Below a half, one letter finds the words it begins, with one of its two trigrams; above a third, two letters find
nothing but that, with two of three.
"""

LEAST_LETTERS = 3
"""Shorter words are not taken for misspelt: most words of that length are one slip apart."""

_BLANK = " "

_LETTERS = ("L", "Nd", "Nl", "Mc")

# Combining classes of marks that are vowels or the like. Others are accents, or join consonants,
# and end a word: to the C library only the former are letters.
_VOWELS = {0, *range(10, 37), 84, 91, 103, 118, 129, 130, 132}


class _Folded(dict[int, str]):
    """Each character as it counts: in lower case, a blank between words, or a word of its own."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        counts = category.startswith(_LETTERS) or (category == "Mn" and unicodedata.combining(character) in _VOWELS)
        if category == "So" or (category in ("Lo", "Lm") and unicodedata.east_asian_width(character) in "WH"):
            folded = f" {character} "
        else:
            # One character for one, also where the full mapping has two.
            folded = character.lower()[0] if counts else _BLANK
        self[code] = folded
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
    """How many of a word's distinct trigrams another must have at least to be similar enough."""
    return math.ceil(THRESHOLD * trigrams - 1e-9)


def slips(word: str) -> set[str]:
    """The words that are typed as `word` by one slip.

    That is two letters exchanged, one missing, one too many or a wrong one. The letters are of the word's scripts.
    """
    if len(word) < LEAST_LETTERS:
        return set()
    letters = "".join(_letters_near(block) for block in sorted({ord(letter) >> 7 for letter in word}))
    cuts = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    typed = {before + after[1] + after[0] + after[2:] for before, after in cuts if len(after) > 1}
    typed |= {before + after[1:] for before, after in cuts if after}
    typed |= {before + letter + after[1:] for before, after in cuts if after for letter in letters}
    typed |= {before + letter + after for before, after in cuts for letter in letters}
    return typed - {word}


@functools.lru_cache(64)
def _letters_near(block: int) -> str:
    """The letters and digits in a block of 128 characters, which has most scripts' alphabets as a whole."""
    return "".join(letter for letter in map(chr, range(block << 7, (block + 1) << 7)) if words(letter) == [letter])
