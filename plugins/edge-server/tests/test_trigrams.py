"""Similarity as PostgreSQL has it: a table of queries that both must answer alike, and random ones."""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from edge_server.search import trigrams

TABLE = json.loads(Path(__file__).with_name("search_table.json").read_text(encoding="utf-8"))
"""Names, and for each query those found with their similarity, the best first.

Whatever answers searches, these are the answers. They were PostgreSQL's.
"""

Pairs = list[tuple[str, str]]


def ours(query: str, name: str) -> float:
    return trigrams.word_similarity(
        set(trigrams.of_words(trigrams.words(query))), trigrams.of_words(trigrams.words(name))
    )


@pytest.fixture(scope="module")
def postgresql() -> Callable[[Pairs], list[float]]:
    """`word_similarity` of a real PostgreSQL; skipped only where nobody listens at its address."""
    parts = urlsplit(f"//{os.environ.get('EDGE_TEST_POSTGRES', 'postgres@127.0.0.1:5432')}")
    address = parts.hostname or "127.0.0.1", parts.port or 5432
    try:
        socket.create_connection(address, 5).close()
    except OSError:
        pytest.skip("nobody answers for postgresql at {}:{}; name another in EDGE_TEST_POSTGRES".format(*address))

    def similarities(pairs: Pairs) -> list[float]:
        host, port = address
        account = {"user": parts.username, "password": parts.password, "dbname": "postgres"}
        with psycopg.connect(host=host, port=port, **account) as connection:
            # The extension lasts as long as this transaction, so that nothing stays behind.
            connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
            rows = connection.execute(
                "SELECT word_similarity(query, name)"
                " FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS pairs (query, name, n) ORDER BY n",
                [[query for query, _ in pairs], [name for _, name in pairs]],
            ).fetchall()
            connection.rollback()
        return [float(score) for (score,) in rows]

    return similarities


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
        ("e\u0301 🧪", ["e"]),
    ],
)
def test_letters_of_all_scripts_count(text: str, words: list[str]) -> None:
    assert trigrams.words(text) == words


@pytest.mark.parametrize("query", TABLE["queries"])
def test_the_table_holds(query: str) -> None:
    ranked = [(-ours(query, name), len(name), name) for name in TABLE["names"]]
    similar = sorted(entry for entry in ranked if -entry[0] >= trigrams.THRESHOLD)
    assert [[name, round(-distance, 6)] for distance, _, name in similar] == TABLE["queries"][query]


def test_postgresql_gives_the_table(postgresql: Callable[[Pairs], list[float]]) -> None:
    pairs = [(query, name) for query in TABLE["queries"] for name in TABLE["names"]]
    ranked = [(-score, len(name), name) for (_, name), score in zip(pairs, postgresql(pairs), strict=True)]
    size = len(TABLE["names"])
    for n, query in enumerate(TABLE["queries"]):
        similar = sorted(entry for entry in ranked[n * size : (n + 1) * size] if -entry[0] >= trigrams.THRESHOLD)
        assert [[name, round(-distance, 6)] for distance, _, name in similar] == TABLE["queries"][query]


@pytest.mark.slow
def test_postgresql_agrees_on_thousands_of_pairs(postgresql: Callable[[Pairs], list[float]]) -> None:
    chance = random.Random(42)

    def misspelt(word: str) -> str:
        letters = list(word)
        for _ in range(chance.randrange(3)):
            at = chance.randrange(len(letters))
            letters[at : at + 2] = chance.choice([[], letters[at : at + 2][::-1], [chance.choice("abé1_ßд実")]])
            if not letters:
                return "x"
        return "".join(letters)

    def text(most: int) -> str:
        known = [word for name in TABLE["names"] for word in name.split()]
        if chance.random() < 0.3:  # many equal trigrams, in which the stretch is hardest to find
            return "".join(chance.choice("ab -") for _ in range(chance.randrange(1, 6 * most)))
        return chance.choice(" _-.").join(misspelt(chance.choice(known)) for _ in range(chance.randrange(1, most)))

    pairs = [(text(4), text(8)) for _ in range(10_000)]
    for (query, name), score in zip(pairs, postgresql(pairs), strict=True):
        assert ours(query, name) == pytest.approx(score, abs=1e-6), (query, name)


def test_what_is_similar_enough_shares_enough_trigrams() -> None:
    for query, results in TABLE["queries"].items():
        query_trigrams = set(trigrams.of_words(trigrams.words(query)))
        for name, _ in results:
            shared = query_trigrams & set(trigrams.of_words(trigrams.words(name)))
            assert len(shared) >= trigrams.least_shared(len(query_trigrams)) >= 1


def test_short_queries_are_prefixes_as_long_as_the_threshold_is_between_a_third_and_a_half() -> None:
    assert 1 / 3 < trigrams.THRESHOLD <= 1 / 2
    for query, similar, different in [
        ("p", ["plate", "my plate", "x-p"], ["a_ap", "apple"]),
        ("pl", ["plate", "my-plate.csv"], ["apl", "p", "p l", "pa la", "panel pol"]),
    ]:
        assert all(ours(query, name) >= trigrams.THRESHOLD for name in similar)
        assert not any(ours(query, name) >= trigrams.THRESHOLD for name in different)
