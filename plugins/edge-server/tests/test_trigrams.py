"""How names are cut into words, and which words are like another."""

from __future__ import annotations

import pytest

from edge_server.search import trigrams


def test_a_names_trigrams_are_those_of_its_words() -> None:
    assert trigrams.words("Plate-07 (raw).CSV") == ["plate", "07", "raw", "csv"]
    assert trigrams.of_words(["cat"]) == ["  c", " ca", "cat", "at "]
    assert trigrams.of_words(["a"]) == ["  a", " a "]
    assert trigrams.words("--- ...") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("İstanbul ΣΟΦΟΣ", ["istanbul", "σοφοσ"]),
        ("Straße_ǅ", ["straße", "ǆ"]),
        ("नमूना हिन्दी", ["नमूना", "हिन", "दी"]),
        ("x² ½ ٣ Ⅷ", ["x", "٣", "ⅷ"]),
        ("e\u0301 🧪assay🔬", ["e", "🧪", "assay", "🔬"]),
        ("実験データ7.csv", ["実", "験", "デ", "ー", "タ", "7", "csv"]),
        ("실험결과", ["실", "험", "결", "과"]),
    ],
)
def test_letters_of_all_scripts_count(text: str, words: list[str]) -> None:
    assert trigrams.words(text) == words


def test_short_queries_are_beginnings_as_long_as_the_threshold_is_between_a_third_and_a_half() -> None:
    assert 1 / 3 < trigrams.THRESHOLD <= 1 / 2
    for query, similar, different in [("p", ["plate", "p2"], ["apple", "ap"]), ("pl", ["plate"], ["apl", "p", "lp"])]:
        query_trigrams = set(trigrams.of_words([query]))
        least = trigrams.least_shared(len(query_trigrams))
        assert all(len(query_trigrams & set(trigrams.of_words([word]))) >= least for word in similar)
        assert not any(len(query_trigrams & set(trigrams.of_words([word]))) >= least for word in different)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("palte", "plate"),
        ("plte", "plate"),
        ("plaate", "plate"),
        ("plste", "plate"),
        ("5042", "0542"),
        ("отчет", "отчёт"),
        ("ete", "ete7"),
    ],
)
def test_a_slip_is_about_a_letter_or_two(word: str, meant: str) -> None:
    assert meant in trigrams.slips(word)


def test_what_is_further_away_or_short_is_no_slip() -> None:
    assert trigrams.slips("plate").isdisjoint({"plate", "paltes", "plan", "petal"})
    assert trigrams.slips("no") == set()
    assert len(trigrams.slips("plate")) < 500
