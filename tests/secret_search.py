"""A search for secrets in all that a run has written: logs, tracebacks and databases."""

from __future__ import annotations

import collections
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edge_server.identity import token_values

FORMED = re.compile(rb"ed[a-z]_[0-9A-Za-z]{39}")
"""What may be a token or the code of an invitation."""

GREETING = b"export EDGE_API_TOKEN="
"""How a line begins in which a token is meant to be seen, once, at the first start."""


class Hit(NamedTuple):
    """A secret in a file, and the function that the secret came from."""

    file: str
    source: str


class Search(NamedTuple):
    """What was looked for, where, and what there was.

    Attributes:
        secrets: how many of each source.
        files: bytes of each file that was searched.
        hits: each pair of file and source once.
    """

    secrets: dict[str, int]
    files: dict[str, int]
    hits: set[Hit]


def search(record: Path, folders: Iterable[Path]) -> Search:
    """Look into the record of a run, and into the databases and logs in its folders, for what it noted as secret."""
    noted = {(source, secret) for source, secret in map(json.loads, _lines(record / "secrets"))}
    forms = {form: source for source, secret in noted for form in _forms(secret)}
    needles = Needles(forms)
    files: dict[str, int] = {}
    hits = set()
    for path in _written(record, folders):
        text = path.read_bytes()
        if GREETING in text:
            text = b"\n".join(line for line in text.split(b"\n") if not line.startswith(GREETING))
        name = str(path)
        files[name] = len(text)
        hits |= {Hit(name, forms[form]) for form in needles.within(text)}
        # Those that no source has noted, such as ones that were made in another process.
        for match in FORMED.findall(text):
            if token_values.is_well_formed(match.decode(), match[:4].decode()):
                hits.add(Hit(name, "well-formed"))
    return Search(collections.Counter(source for source, _ in noted), files, hits)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _written(record: Path, folders: Iterable[Path]) -> Iterator[Path]:
    yield from (path for path in record.iterdir() if path.name != "secrets")
    for folder in folders:
        for path in folder.rglob("*"):
            if (".sqlite3" in path.name or path.suffix == ".log") and path.is_file():
                yield path


def _forms(secret: str) -> set[bytes]:
    """How a text can stand in a file."""
    return {secret.encode(errors="backslashreplace"), json.dumps(secret)[1:-1].encode(), repr(secret)[1:-1].encode()}


class Needles:
    """Thousands of texts of at least eight bytes, looked for in one pass.

    Every eight bytes of a file are one number; where it is that of the first eight bytes of a needle,
    the whole needle is compared.
    """

    _BITS = 20
    _SPREAD = np.uint64(0x9E3779B97F4A7C15)

    def __init__(self, needles: Iterable[bytes]) -> None:
        self._by_head: dict[int, list[bytes]] = collections.defaultdict(list)
        for needle in needles:
            self._by_head[int.from_bytes(needle[:8], "little")].append(needle)
        self._heads = np.array(sorted(self._by_head), dtype="<u8")
        self._table = np.zeros(1 << self._BITS, dtype=bool)
        self._table[self._slots(self._heads)] = True

    def within(self, text: bytes) -> set[bytes]:
        """Those of the needles that are in `text`."""
        there: set[bytes] = set()
        for shift in range(min(8, max(len(text) - 7, 0))):
            words = np.frombuffer(text, dtype="<u8", offset=shift, count=(len(text) - shift) // 8)
            (places,) = np.nonzero(self._table[self._slots(words)])
            places = places[np.isin(words[places], self._heads)]
            for place in places.tolist():
                start = shift + 8 * place
                there.update(needle for needle in self._by_head[int(words[place])] if text.startswith(needle, start))
        return there

    def _slots(self, words: Any) -> Any:
        return (words * self._SPREAD) >> np.uint64(64 - self._BITS)
