"""Search over the wire, and its index."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import random
import threading
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy.orm import Session

from edge_server.base.problems import is_interrupted
from edge_server.data import budgets
from edge_server.data.database import FILE_NAME, SERVER, Database
from edge_server.data.declarative import Base
from edge_server.data.migration import migrate, own_history
from edge_server.files import tree
from edge_server.files.models import Node
from edge_server.identity import directory
from edge_server.keys.signing import Signer
from edge_server.run.app import build, engines_at
from edge_server.search import finding, index, trigrams
from edge_server.search.models import SearchName, SearchPlace, SearchTrigram, SearchWord
from edge_server.testing.local_server import EdgeServer
from edge_server.web import work
from edge_server.web.engines import engines_of

from .engines import sqlite_only
from .trees import TREE
from .wire import Api, client, refused

TABLE = json.loads(Path(__file__).with_name("search_table.json").read_text(encoding="utf-8"))
"""Names, and for each query those found with their score, the best first."""


def results(api: Api, query: str, **more: Any) -> list[dict[str, Any]]:
    answer = api.call("GET", f"/v1/orgs/{api.organization}/search", params={"query": query, **more})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def paths(api: Api, query: str, **more: Any) -> list[str]:
    return [result["path"] for result in results(api, query, **more)]


def test_a_misspelt_query_leads_to_a_name_with_its_path(api: Api) -> None:
    entry = api.put("runs/2024/Experiment-7.csv").json()
    api.put("runs/other.txt")
    (result,) = results(api, "expermient")
    assert result == {
        "name": "Experiment-7.csv",
        "kind": "file",
        "uid": entry["uid"],
        "path": "runs/2024/Experiment-7.csv",
        "score": 0.9,
    }


def test_files_and_folders_are_searched_by_kind(api: Api) -> None:
    api.put("plates/plate.csv")
    api.files("POST", "/folders", json={"path": "deep/plate"})
    assert paths(api, "plate") == ["deep/plate", "plates/plate.csv", "plates"]
    assert paths(api, "plate", kind="file") == ["plates/plate.csv"]
    assert paths(api, "plate", kind="folder") == ["deep/plate", "plates"]
    assert paths(api, "plate", kind="connector") == []
    assert paths(api, "deep") == ["deep"]


def test_the_root_has_no_name_in_the_index(api: Api) -> None:
    assert results(api, "---") == results(api, "") == []


def test_a_decomposed_query_finds_the_composed_name(api: Api) -> None:
    api.put("e\u0301te\u0301.csv")
    assert paths(api, "e\u0301te\u0301") == paths(api, "\u00e9t\u00e9") == ["\u00e9t\u00e9.csv"]


def test_the_index_follows_what_happens_to_a_name(api: Api) -> None:
    uid = api.put("plate.csv").json()["uid"]
    assert api.put("plate.csv", b"again").json()["uid"] == uid
    assert paths(api, "plate") == ["plate.csv"]
    api.files("POST", "/move", json={"path": "plate.csv", "new_path": "runs/sample.csv"})
    assert paths(api, "plate") == []
    assert [(result["uid"], result["path"]) for result in results(api, "sample")] == [(uid, "runs/sample.csv")]
    api.files("POST", "/move", json={"path": "runs", "new_path": "archive/runs"})
    assert paths(api, "sample") == ["archive/runs/sample.csv"]
    api.put("other.csv")
    api.files("POST", "/move", json={"path": "other.csv", "new_path": "archive/runs/sample.csv", "overwrite": True})
    assert [(result["uid"] == uid, result["path"]) for result in results(api, "sample")] == [
        (False, "archive/runs/sample.csv")
    ]
    assert paths(api, "other") == []
    api.upload("archive/large.bin", b"x" * 10)
    assert paths(api, "large") == ["archive/large.bin"]
    api.files("DELETE", "/entry", params={"path": "archive", "recursive": "true"})
    assert paths(api, "sample") == paths(api, "large") == paths(api, "runs") == paths(api, "archive") == []


def test_a_refused_change_changes_no_name(api: Api) -> None:
    api.put("plate")
    api.put("taken")
    refused(api.files("POST", "/move", json={"path": "plate", "new_path": "taken"}), 409, "already_exists")
    refused(
        api.files("POST", "/move", json={"path": "plate", "new_path": "new/plate/deeper" + "/x" * 100}),
        400,
        "bad_entry",
    )
    assert paths(api, "plate") == ["plate"]
    assert paths(api, "new") == paths(api, "deeper") == []


def test_only_the_own_organization_is_searched(edge_server: EdgeServer, api: Api) -> None:
    other = edge_server.create_organization()
    token = edge_server.create_token(edge_server.create_user(organization=other))
    stranger = client(edge_server, token, other)
    stranger.put("secret-plan.txt")
    assert results(api, "secret") == []
    assert paths(stranger, "secret") == ["secret-plan.txt"]
    refused(api.call("GET", f"/v1/orgs/{other}/search", params={"query": "secret"}), 404, "not_found")
    refused(
        client(edge_server, None, other).call("GET", f"/v1/orgs/{other}/search", params={"query": "secret"}),
        401,
        "unauthenticated",
    )


def test_pages_together_are_the_whole_answer(api: Api) -> None:
    for n in range(7):
        api.put(f"plate{'s' * (n % 2)}-{n}.csv")
    whole = results(api, "plate")
    assert len(whole) == 7
    pages, cursor = [], None
    while cursor is not None or not pages:
        params = {"query": "plate", "limit": 3, **({} if cursor is None else {"cursor": cursor})}
        answer = api.call("GET", f"/v1/orgs/{api.organization}/search", params=params).json()
        pages.append(answer["items"])
        cursor = answer["next"]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [result for page in pages for result in page] == whole


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"query": "a", "kind": "secret"},
        {"query": "a" * 256},
        {"query": "a", "limit": 0},
        {"query": "a", "cursor": "nonsense"},
        {"query": "a", "cursor": "WzEsMl0"},
        {"query": "a", "fuzzy": "1"},
    ],
)
def test_what_cannot_be_a_query_is_refused(api: Api, params: dict[str, Any]) -> None:
    answer = api.call("GET", f"/v1/orgs/{api.organization}/search", params=params)
    assert answer.status_code in (400, 422)
    refused(answer, answer.status_code, "bad_entry")


# --- the index alone


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with contextlib.closing(Database(tmp_path / FILE_NAME)) as opened:
        migrate(opened, tmp_path / "backups", [own_history()])
        with opened.write(SERVER) as session:
            directory.create_organization(session, [tree.plant], "one")
            directory.create_organization(session, [tree.plant], "two")
        yield opened


def rows(database: Database) -> list[int]:
    with database.read() as session:
        tables = (SearchName, SearchWord, SearchPlace, SearchTrigram)
        return [session.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in tables]


@pytest.mark.parametrize("query", TABLE["queries"])
def test_the_table_is_what_the_index_finds(query: str, indexed: Database) -> None:
    with indexed.read() as session:
        result = finding.find(session, 1, query).best
    assert [[match.name, round(1 - match.distance, 6)] for match in result] == TABLE["queries"][query]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder = tmp_path_factory.mktemp("indexed")
    with contextlib.closing(Database(folder / FILE_NAME)) as opened:
        migrate(opened, folder / "backups", [own_history()])
        with opened.write(SERVER) as session:
            directory.create_organization(session, [tree.plant], "one")
            for name in TABLE["names"]:
                index.add(session, 1, "file", str(uuid.uuid4()), name)
        yield opened


def test_the_index_finds_what_comparing_with_every_name_finds(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "MOST", 10_000)
    chance = random.Random(7)
    known = [word for name in TABLE["names"] for word in name.split()]
    names = ["-".join(chance.choices(known, k=chance.randrange(1, 4))) for _ in range(500)]
    with database.write(SERVER) as session:
        for name in names:
            index.add(session, 1, "file", str(uuid.uuid4()), name)
    for query in (*chance.choices(names, k=20), "exprt", "tempr", "9", "al", "sampel", "実験", "ekperiment red"):
        with database.read() as session:
            best, partial = finding.find(session, 1, query)
        assert not partial
        assert sorted(match.name for match in best) == sorted(_near(query, names))


def _near(query: str, names: list[str]) -> list[str]:
    """The names that are found when every word is compared with every other."""
    parts = dict.fromkeys(trigrams.words(query))
    known = {word for name in names for word in trigrams.words(name)}
    slips = {part: set() if part in known else trigrams.slips(part) for part in parts}
    weights = {part: len(set(trigrams.of_words([part]))) for part in parts}

    def likeness(part: str, word: str) -> float:
        shared = len(set(trigrams.of_words([part])) & set(trigrams.of_words([word]))) / weights[part]
        best = 1.0 if part == word else max(shared, 1 - 1 / len(part) if word in slips[part] else 0.0)
        return best if best >= trigrams.THRESHOLD else 0.0

    def score(name: str) -> float:
        words = trigrams.words(name)
        if f" {' '.join(trigrams.words(query))}" in f" {' '.join(words)}":
            return 1.0
        shares = [weights[part] * max((likeness(part, word) for word in words), default=0.0) for part in parts]
        return sum(shares) / sum(weights.values())

    return [name for name in names if score(name) >= trigrams.THRESHOLD]


FOREIGN = [
    "质谱分析报告.pdf",
    "実験データ.csv",
    "실험결과",
    "Эксперимент 7.csv",
    "ΟΔΥΣΣΕΥΣ.txt",
    "🧪 assay",
    "❤️",
    "नमूना.csv",
]


def test_a_query_leads_to_names_that_are_not_latin(database: Database) -> None:
    matching(database, FOREIGN)
    for name in FOREIGN:
        assert matching(database, [], name)[0] == name
    for query, name in [
        ("报告", "质谱分析报告.pdf"),
        ("谱", "质谱分析报告.pdf"),
        ("験デ", "実験データ.csv"),
        ("결과", "실험결과"),
        ("эксперимент", "Эксперимент 7.csv"),
        ("экспримент", "Эксперимент 7.csv"),
        ("οδυσσ", "ΟΔΥΣΣΕΥΣ.txt"),
        ("🧪", "🧪 assay"),
        ("assay", "🧪 assay"),
        ("❤", "❤️"),
        ("नमू", "नमूना.csv"),
    ]:
        assert matching(database, [], query) == [name]


def matching(database: Database, added: list[str], query: str = "", kind: str | None = None) -> list[str]:
    """The names that a query finds, once some were added."""
    with database.write(SERVER) as session:
        for name in added:
            index.add(session, 1, "file", str(uuid.uuid4()), name)
    with database.read() as session:
        return [match.name for match in finding.find(session, 1, query, kind).best]


@pytest.mark.parametrize("name", ["a", "7", "Q", "µ", "ab", "x1", "水", "Ω", "$", "---", "_", "🦖"])
def test_a_name_may_have_a_single_character(database: Database, name: str) -> None:
    others = [f"{name}-{n} {name}x ab 7 水 Ω" for n in range(3)] + ["a b", "7 a", "Q ab", "x1 a"]
    assert matching(database, [*others, name], name)[0] == name


@pytest.fixture
def bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """An index with more names than a query looks at, which have more trigrams in common with it than the best name."""
    for name, most in (("MOST", 20), ("MOST_PLACES", 60), ("MOST_POSTINGS", 60), ("COMMON", 10)):
        monkeypatch.setattr(finding, name, most)
    matching(database, [*screen(range(150)), "plate-0542", "report.pdf", "plate_0542", "x"])
    return database


def screen(numbers: Iterable[int]) -> list[str]:
    return [f"2024-05-42_plate-0542_run-{n % 3}_S{n:04}.tif" for n in numbers] + [
        f"2024-05-42_plate-{n:04}_run-1_S0542{n:04}.tif" for n in numbers
    ]


@pytest.mark.parametrize("query", ["plate-0542", "plate_0542", "2024-05-42_plate-0542_run-1_S0007.tif", "x"])
def test_a_name_that_is_the_query_is_first_whatever_else_there_is(bounded: Database, query: str) -> None:
    assert matching(bounded, [], query)[0] == query


@pytest.mark.parametrize("query", ["reprot.pdf", "reportpdf", "rport", "repport", "repoxt pdf", "pdf report"])
def test_a_misspelt_query_leads_to_a_name_among_many(bounded: Database, query: str) -> None:
    assert matching(bounded, [], query)[:1] == ["report.pdf"]


def test_words_that_many_names_have_are_looked_for_together(bounded: Database) -> None:
    names = matching(bounded, ["plate run tif spare"], "spare tif run")
    assert names[0] == "plate run tif spare"
    assert "plate-0542" not in names


def test_a_kind_is_looked_for_among_many_names_of_others(bounded: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "MOST_PLACES", 1000)
    with bounded.write(SERVER) as session:
        index.add(session, 1, "connector", str(uuid.uuid4()), "tif server")
    assert matching(bounded, [], "tif", "connector") == ["tif server"]
    assert "tif server" not in matching(bounded, [], "tif", "file")


@sqlite_only("the steps of its virtual machine")
def test_what_a_query_costs_does_not_grow_with_the_index(bounded: Database) -> None:
    queries = (
        "plate-0542",
        "tif",
        "palte",
        "2024-05-42_plate-0542_run-1_S0007.tif",
        "p",
        "nowhere",
        "S05",
        "run-1 tif",
    )
    before = [steps(bounded, query) for query in queries]
    matching(bounded, screen(range(150, 600)))
    after = [steps(bounded, query) for query in queries]
    for query, few, many in zip(queries, before, after, strict=True):
        assert many <= 1.3 * few + 500, query


def steps(database: Database, query: str) -> int:
    """What a query takes, in steps of SQLite's virtual machine."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 10
        return 0

    with database.read() as session:
        finding.find(session, 1, query)  # what is read of a new connection only
        raw: Any = session.connection().connection.dbapi_connection
        raw.set_progress_handler(count, 10)
        finding.find(session, 1, query)
        raw.set_progress_handler(None, 0)
    database.close()
    return taken


def test_no_more_than_the_best_are_returned(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "MOST", 2)
    with database.write(SERVER) as session:
        for name in ("plates of 2023", "plates", "my plate", "plate"):
            index.add(session, 1, "file", name, name)
    with database.read() as session:
        assert [match.name for match in finding.find(session, 1, "plate").best] == ["plate", "my plate"]


def test_a_removed_name_leaves_nothing_behind(database: Database) -> None:
    with database.write(SERVER) as session:
        index.add(session, 1, "file", "a", "plate one.csv")
        index.add(session, 2, "connector", "b", "plate two")
    kept = rows(database)
    with database.write(SERVER) as session:
        index.add(session, 1, "file", "c", "plate three.csv")
        index.rename(session, "file", "c", "sample four")
        index.remove(session, "file", ["c", "unknown"])
    assert rows(database) == kept
    with database.write(SERVER) as session:
        index.remove(session, "file", ["a"])
    with database.read() as session:
        assert [match.uid for match in finding.find(session, 2, "plate").best] == ["b"]
        assert finding.find(session, 1, "plate").best == []
    with database.write(SERVER) as session:
        index.remove(session, "connector", ["b"])
    assert rows(database) == [0, 0, 0, 0]


def test_a_change_that_is_rolled_back_is_not_in_the_index(database: Database) -> None:
    with contextlib.suppress(RuntimeError), database.write(SERVER) as session:
        index.add(session, 1, "file", "a", "plate")
        raise RuntimeError
    assert rows(database) == [0, 0, 0, 0]


def test_names_from_before_there_was_an_index_are_indexed(database: Database) -> None:
    config = own_history(Base.metadata).config()
    with database.write(SERVER) as session:
        TREE.make_folder(session, 1, ("runs", "plate"), exist_ok=False)
        TREE.make_folder(session, 1, ("実験データ 🧪",), exist_ok=False)
        TREE.make_folder(session, 2, ("other",), exist_ok=False)
    before = rows(database)
    for move, target in ((command.downgrade, "0002"), (command.upgrade, "head")):
        with database.write_connection() as connection:
            config.attributes["connection"] = connection
            move(config, target)
    assert rows(database) == before
    with database.read() as session:
        for query in ("実験データ 🧪", "データ", "🧪"):
            assert [match.name for match in finding.find(session, 1, query).best] == ["実験データ 🧪"]
        (match,) = finding.find(session, 1, "plate").best
        assert (match.kind, match.uid) == ("folder", session.scalar(sa.select(Node.uid).where(Node.name == "plate")))


# --- its time


class Time:
    """A clock that goes on by so much whenever somebody looks."""

    def __init__(self, step: float) -> None:
        self.now = 0.0
        self.step = step

    def monotonic(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def crowded(database: Database) -> Database:
    """Names that are costly to compare with a query: long ones of two letters."""
    chance = random.Random(3)
    with database.write(SERVER) as session:
        for n in range(300):
            index.add(session, 1, "folder", str(uuid.uuid4()), "".join(chance.choices("ab", k=200)) + f" {n}")
    return database


QUERY = "ab" * 100


def test_a_search_ends_with_its_time_and_says_so(crowded: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "MOST_WORDS", 1000)
    with crowded.read() as session:
        whole = finding.find(session, 1, QUERY).best
        compared: list[str] = []
        compare = finding._Search.compared

        def counted(self: Any, name: str, *more: str) -> finding.Match:
            compared.append(name)
            return compare(self, name, *more)

        monkeypatch.setattr(finding._Search, "compared", counted)
        monkeypatch.setattr(finding, "clock", Time(0.01))
        some, partial = finding.find(session, 1, QUERY, seconds=1.0)
    assert partial
    assert 0 < len(compared) <= 100
    assert {match.uid for match in some} < {match.uid for match in whole}


@sqlite_only("the steps of its virtual machine")
def test_what_the_database_takes_too_long_for_is_left_out(crowded: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "STEPS", 100)
    crowded.close()  # so that its connections are made anew
    with crowded.write(SERVER) as session:
        index.add(session, 1, "folder", "wanted", "abbabba 7")
    with crowded.read() as session:
        # The time is over at the first look, which is from within the database.
        monkeypatch.setattr(finding, "clock", Time(1.0))
        best, partial = finding.find(session, 1, "abbabba 7", seconds=1.0)
        assert partial
        assert len(best) <= 1
    crowded.close()


def test_names_that_were_not_looked_at_make_the_answer_partial(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.write(SERVER) as session:
        for name in ("plate 1", "plate 2", "plate 3"):
            index.add(session, 1, "file", name, name)
    with database.read() as session:
        assert not finding.find(session, 1, "plate").partial
        monkeypatch.setattr(finding, "MOST", 2)
        assert finding.find(session, 1, "plate").partial
        assert finding.find(session, 1, "plate 2").best[0].name == "plate 2"
        monkeypatch.setattr(finding, "MOST_PARTS", 2)
        assert finding.find(session, 1, "one two plate").partial


def test_words_that_were_not_looked_at_make_the_answer_partial(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    matching(database, ["plates", "platelet", "platelets", "template"])
    for name, query in (("MOST_WORDS", "plat"), ("MOST_SLIPS", "pltaes"), ("COMMON", "xplatex")):
        with database.read() as session, monkeypatch.context() as patched:
            assert not finding.find(session, 1, query).partial
            patched.setattr(finding, name, 1)
            assert finding.find(session, 1, query).partial


def inside(server: EdgeServer) -> Any:
    return build(engines_at(server.data, Signer(b""), database=server.database))


@contextlib.contextmanager
def searches(app: Any, api: Api, monkeypatch: pytest.MonkeyPatch, count: int) -> Iterator[None]:
    """So many searches that run until the end of the block, and are answered then."""
    begun, go_on = threading.Semaphore(0), threading.Event()

    def slow(*_: object, **__: object) -> finding.Matches:
        begun.release()
        assert go_on.wait(60)
        return finding.Matches([], True)

    monkeypatch.setattr(finding, "find", slow)
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        running = [pool.submit(search_in, app, api) for _ in range(count)]
        try:
            for _ in range(count):
                assert begun.acquire(timeout=60)
            yield
        finally:
            go_on.set()
        assert [each.result().json for each in running] == [{"items": [], "next": None, "partial": True}] * count


def search_in(app: Any, api: Api) -> Any:
    url, headers = f"/v1/orgs/{api.organization}/search?query=a", {"Authorization": f"Bearer {api.token}"}
    return app.test_client().get(url, headers=headers)


def test_while_searches_run_the_server_answers_and_refuses_more_of_them(
    api: Api, edge_server: EdgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = inside(edge_server)
    with searches(app, api, monkeypatch, 2):
        third = search_in(app, api)
        assert (third.status_code, third.json["code"], third.headers["Retry-After"]) == (429, "busy", "1")
        assert app.test_client().get("/healthz").status_code == 200


@pytest.mark.parametrize(("threads", "at_once"), [(1, 1), (7, 1), (8, 2)])
def test_all_searches_together_have_a_quarter_of_the_threads(
    api: Api, edge_server: EdgeServer, monkeypatch: pytest.MonkeyPatch, threads: int, at_once: int
) -> None:
    app = inside(edge_server)
    engines_of(app).threads.count = threads
    other = client(edge_server, None, api.organization)
    other.token = edge_server.create_token(edge_server.create_user(organization=api.organization))
    with searches(app, api, monkeypatch, at_once):
        further = search_in(app, other)
        assert (further.status_code, further.json["code"], further.headers["Retry-After"]) == (503, "busy", "1")
    assert search_in(app, other).status_code == 200


# --- the budget of any request


@sqlite_only("the steps of its virtual machine")
def test_a_request_that_asks_too_much_of_the_database_is_refused(
    api: Api, edge_server: EdgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "STEPS", 1000)
    monkeypatch.setattr(work, "MOST_STEPS", 50_000)
    edge_server.database.close()
    http = inside(edge_server).test_client()
    counting = sa.text(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) SELECT max(i) FROM n"
    )
    children = tree.children

    def endless(session: Session, *arguments: Any, **options: Any) -> Any:
        session.execute(counting)
        return children(session, *arguments, **options)

    url, headers = f"/v1/orgs/{api.organization}/files/entries", {"Authorization": f"Bearer {api.token}"}
    assert http.get(url, headers=headers).status_code == 200
    with monkeypatch.context() as patched:
        patched.setattr(tree, "children", endless)
        answer = http.get(url, headers=headers)
    assert (answer.status_code, answer.json["code"], answer.headers["Retry-After"]) == (503, "too_much_work", "10")
    # The next request has a budget of its own, and what is not a request has none.
    assert http.get(url, headers=headers).status_code == 200
    with edge_server.database.read() as session:
        assert session.scalar(counting) == 100_000
    edge_server.database.close()


@sqlite_only("the steps of its virtual machine")
def test_a_write_that_asks_too_much_changes_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "STEPS", 1000)
    database.close()
    before = rows(database)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) "
    insertion = sa.text(
        f"INSERT INTO search_names (organization_id, kind, uid, name) {numbers} SELECT 1, 'file', i, i FROM n"
    )
    with (
        pytest.raises(sa.exc.OperationalError) as raised,
        budgets.budget(budgets.steps(20_000)),
        database.write(SERVER) as session,
    ):
        index.add(session, 1, "file", "first", "first")
        session.execute(insertion)
    assert is_interrupted(raised.value)
    assert rows(database) == before
    with database.write(SERVER) as session:
        session.execute(insertion)
    assert rows(database)[0] == before[0] + 10_000
