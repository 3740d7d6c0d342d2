"""Whether search finds what is meant, and at what cost: `python -m benchmarks search-quality [FILES ...]`.

Two hundred queries, made from the names by a fixed seed, are asked of an organization of 1,000, 10,000 and 100,000
files, or of as many as are given, such as 1000000: names of folders and files as they are, their beginnings, with one
letter wrong, some of their words in any order, names that are not Latin or of one or two characters, and what is in no
name. What is told is how often the right name is the first, how often it is among the first 20, and the CPU time of the
server, as milliseconds and as a multiple of that of a `stat` in between.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from benchmarks.organizations import index_names, insert_rows, next_id, root_of
from edge_server.base import clock
from edge_server.data.database import SERVER, Database
from edge_server.data.declarative import new_uid
from edge_server.identity import directory
from edge_server.identity.models import User
from edge_server.run import start
from edge_server.run.app import build
from edge_server.search import index
from edge_server.search.models import SearchName

FILES = (1_000, 10_000, 100_000)
OF_A_KIND = 20
FIRST = 20
"""Hits that are asked for."""

CHANNELS = ("DAPI", "GFP", "RFP", "CY5")
RUNS, WELLS = 3, 96
OF_A_PLATE = RUNS * WELLS * len(CHANNELS)

FOREIGN = [
    "质谱分析报告.pdf",
    "显微镜图像",
    "細胞培養記録.csv",
    "実験データ.csv",
    "実験ノート",
    "실험결과.csv",
    "세포배양",
    "данные_эксперимента.csv",
    "отчёт.pdf",
    "микроскоп",
    "ΟΔΥΣΣΕΥΣ.txt",
    "Übersicht.ods",
    "été.csv",
    "🧪",
    "🔬_slides",
    "🧬.fasta",
    "⚠_broken",
    "नमूना.csv",
    "ตัวอย่าง.csv",
    "מדגם.csv",
]
SHORT = ["a", "b", "x", "7", "Q", "µ", "Z", "ab", "qc", "x1", "HP", "2d", "no", "T4", "v2", "é", "ß", "水", "Ω", "$"]
NOWHERE = ["zzzqqqxx", "xylophone", "kjwqhz", "9999999x", "qqqq", "wxyzk", "чужое", "龘", "🦖", "unicorn-77x"]


class Query(NamedTuple):
    """A query, and which names are right."""

    text: str
    is_right: Callable[[str], bool]


# --- the names


def paths(files: int) -> Iterator[tuple[str, ...]]:
    """Paths of so many files of a screen, and of a few others."""
    chance = random.Random(542)
    for n in range(files):
        plate, rest = divmod(n, OF_A_PLATE)
        run, rest = divmod(rest, WELLS * len(CHANNELS))
        well, channel = divmod(rest, len(CHANNELS))
        month = f"2024-{plate * 12 // (files // OF_A_PLATE + 1) + 1:02}"
        name = (
            f"{month}-{plate % 28 + 1:02}_plate-{plate:04}_run-{run + 1}_{'ABCDEFGH'[well // 12]}{well % 12 + 1:02}_"
            f"{CHANNELS[channel]}_S{chance.randrange(1_000_000):06}.tif"
        )
        yield "screens", month, f"plate-{plate:04}", f"run-{run + 1}", name
    for name in (*FOREIGN, *SHORT):
        yield "others", name


# --- the queries


def queries(files: int) -> dict[str, list[Query]]:
    """The queries by what they are like, the same ones for the same names."""
    chance = random.Random(7)
    known = list(paths(files))
    screens = [path for path in known if path[0] == "screens"]
    plates = sorted({path[2] for path in screens})
    names = [path[-1] for path in screens]
    some_plates = [chance.choice(plates) for _ in range(OF_A_KIND)]
    return {
        "folder's name": [_exact(plate) for plate in some_plates],
        "file's name": [_exact(name) for name in chance.choices(names, k=OF_A_KIND)],
        "beginning": [
            *(_beginning(plate[: chance.randrange(3, len(plate))]) for plate in some_plates[: OF_A_KIND // 2]),
            *(_beginning(name[: chance.randrange(5, len(name))]) for name in chance.choices(names, k=OF_A_KIND // 2)),
        ],
        "typo in a folder's name": [_misspelt(name, chance) for name in chance.choices(plates, k=OF_A_KIND)],
        "typo in a file's name": [_misspelt(name, chance) for name in chance.choices(names, k=OF_A_KIND)],
        "words in any order": [_some_words(name, chance) for name in chance.choices(names, k=OF_A_KIND)],
        "frequent": [
            _beginning_of_word(word) for word in ("tif", "S", "plate", "run", "2024", "dapi", "0", "p", "G", "1")
        ],
        "not Latin": [_exact(name) for name in FOREIGN],
        "part of one not Latin": [_part(name) for name in FOREIGN[:10]],
        "one or two characters": [_exact(name) for name in SHORT],
        "in no name": [Query(text, lambda other: False) for text in (*NOWHERE, *(text * 2 for text in NOWHERE))],
    }


def _exact(name: str) -> Query:
    return Query(name, lambda other: other == name)


def _beginning(text: str) -> Query:
    return Query(text, lambda other: other.startswith(text))


def _beginning_of_word(text: str) -> Query:
    return Query(text, lambda other: text.lower() in other.lower())


def _part(name: str) -> Query:
    letters = name.split(".")[0].split("_")[-1]
    # Nothing stands between the words of these; others are found by their beginnings.
    text = letters[:3] if letters[0] < "\u2e80" else letters[-2:]
    return Query(text, lambda other: text in other)


def _misspelt(name: str, chance: random.Random) -> Query:
    """A name with two characters exchanged, one missing, one doubled or another one."""
    at = chance.choice([at for at in range(1, len(name) - 1) if name[at].isalnum() and name[at + 1].isalnum()])
    here, after = name[at], name[at + 1 :]
    another = chance.choice("0123456789" if here.isdigit() else "aeinorst")
    changed = chance.choice([after[0] + here + after[1:], after, here + here + after, another + after])
    return Query(name[:at] + changed, lambda other: other == name)


def _some_words(name: str, chance: random.Random) -> Query:
    _, plate, run, well, channel, sample = name.removesuffix(".tif").split("_")
    words = chance.sample([plate, run, well, channel], 3) if chance.random() < 0.7 else [channel, sample]
    chance.shuffle(words)
    return Query(" ".join(words), lambda other: all(word in other for word in words))


# --- the server


class Site:
    """A server's application with an organization of many files.

    Args:
        folder: an empty folder.
        files: how many files the organization has.
    """

    def __init__(self, folder: Path, files: int) -> None:
        (folder / "server.toml").write_text('[limits]\nsearch = "1000000 per second"\n')
        self.engines, loaded, token = start.prepare(folder)
        self._client = build(self.engines, loaded).test_client()
        self._headers = {"Authorization": f"Bearer {token}"}
        self.database = self.engines.database
        with self.database.write(SERVER) as session:
            admin = session.scalars(sa.select(User)).one()
            organization = directory.create_organization(session, self.engines.lifecycle.organization_added, "lab")
            directory.add_member(session, admin, organization, ["admin"])
            self.lab = organization.id
        insert_rows(self.database, "nodes", _nodes(self.database, self.lab, files))
        without = self.size()
        index_names(self.database, self.lab)
        self.names = self._names()
        self.index_size = self.size() - without

    def _names(self) -> int:
        with self.database.read() as session:
            return session.scalar(sa.select(sa.func.count()).select_from(SearchName)) or 0

    def size(self) -> int:
        """Bytes of the database."""
        with self.database.read() as session:
            return (session.scalar(sa.text("PRAGMA page_count")) or 0) * 4096

    def get(self, address: str, **query: Any) -> tuple[float, Any]:
        """Milliseconds of CPU of a request, and its answer."""
        begun = time.process_time()
        answer = self._client.get(address, query_string=query, headers=self._headers)
        cpu = time.process_time() - begun
        assert answer.status_code == 200, answer.text
        return cpu * 1000, answer.json

    def stat(self) -> float:
        return self.get("/v1/orgs/lab/files/entry", path="screens/2024-01/plate-0000/run-1")[0]

    def search(self, query: str) -> tuple[float, list[str], bool]:
        cpu, answer = self.get("/v1/orgs/lab/search", query=query, limit=FIRST)
        return cpu, [result["name"] for result in answer["items"]], answer["partial"]

    def cost_of_adding(self, count: int = 1000) -> float:
        """Milliseconds of CPU to index a new name, most of whose words are known."""
        names = [f"2024-05-15_plate-0000_run-1_A{n % 12 + 1:02}_DAPI_S{2_000_000 + n}.tif" for n in range(count)]
        with self.database.write(SERVER) as session:
            begun = time.process_time()
            for name in names:
                index.add(session, self.lab, "file", new_uid(), name)
            return (time.process_time() - begun) * 1000 / count


def _nodes(database: Database, organization: int, files: int) -> Iterator[dict[str, Any]]:
    now, after = clock.now(), next_id(database, "nodes")
    ids: dict[tuple[str, ...], int] = {(): root_of(database, organization)}
    for path in paths(files):
        for depth in range(1, len(path) + 1):
            part = path[:depth]
            if part in ids:
                continue
            node = {"id": after, "uid": new_uid(), "organization_id": organization, "parent_id": ids[part[:-1]]}
            yield {**node, "name": part[-1], "modified_at": now, "height": len(path) - depth, "version_id": None}
            if depth < len(path):
                ids[part] = after
            after += 1


# --- what is measured


def main(arguments: Sequence[str] = ()) -> int:
    """Print a table for each size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks search-quality", description=__doc__)
    parser.add_argument("files", nargs="*", type=int, default=FILES, help="in the organization of a table")
    for files in parser.parse_args(arguments).files:
        with tempfile.TemporaryDirectory() as folder:
            site = Site(Path(folder), files)
            with contextlib.closing(site.database):
                _report(site, files)
    return 0


def _report(site: Site, files: int) -> None:
    print(f"\n## {files:,} files, {site.names:,} names\n")
    print(f"the index takes {site.index_size / site.names:.0f} bytes a name; ", end="")
    print(f"a new name takes {site.cost_of_adding():.3f} ms of CPU\n")
    print(
        "| queries | of them | first | in the first 20 | partial | CPU ms: median | most | of a stat: median | most |"
    )
    print("|---" * 9 + "|", flush=True)
    costs: list[float] = []
    stats: list[float] = []
    for _ in range(10):
        site.stat()
        site.search("warm")
    for kind, some in queries(files).items():
        taken, first, among, partial = [], 0, 0, 0
        for query in some:
            stats.append(site.stat())
            cpu, names, cut = site.search(query.text)
            taken.append(cpu)
            right = [query.is_right(name) for name in names]
            first += right[:1] == [True]
            among += any(right)
            partial += cut
            if not any(right) and kind != "in no name":
                print(f"{files:,}: {query.text!r} leads to {names[:3]}", file=sys.stderr)
        costs += taken
        print(_line(kind, len(some), first, among, partial, taken, stats), flush=True)
    print(_line("all", len(costs), "", "", "", costs, stats))
    tail = statistics.quantiles(costs, n=20)[-1]
    stat = statistics.median(stats)
    print(f"\nstat {stat:.2f} ms; all queries: 95th percentile {tail:.1f} ms, {tail / stat:.0f} x a stat", flush=True)


def _line(
    kind: str, count: int, first: object, among: object, partial: object, taken: list[float], stats: list[float]
) -> str:
    stat, median, most = statistics.median(stats), statistics.median(taken), max(taken)
    return (
        f"| {kind} | {count} | {first} | {among} | {partial} | {median:.1f} | {most:.1f} | {median / stat:.1f} "
        f"| {most / stat:.1f} |"
    )
