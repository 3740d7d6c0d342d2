"""Housekeeping, `fsck`, and trees of a size that needs them."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import hashlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import flask
import pytest
import requests
import sqlalchemy as sa
from click.testing import CliRunner, Result

from edge_files.wire import PART_SIZE
from edge_server.base import clock
from edge_server.data.database import FILE_NAME, SERVER, Database
from edge_server.data.declarative import new_uid
from edge_server.data.migration import migrate, own_history
from edge_server.data.store import FolderStore, Store, Written
from edge_server.files import clearing, fsck, housekeeping, quotas, releases, tree
from edge_server.files.housekeeping import Housekeeping
from edge_server.files.models import Node, PartDigests, Upload, Version
from edge_server.files.quotas import Limits
from edge_server.identity import directory
from edge_server.identity.models import Organization
from edge_server.run import app, start
from edge_server.run.command import server as command
from edge_server.search import finding, index
from edge_server.search.models import SearchName
from edge_server.testing.local_server import EdgeServer
from edge_vfs import progress

from .engines import sqlite_only
from .stores import contents_in, folder_only, keys_in, store_of
from .trees import TREE, housekeeping_on, uploads_on
from .wire import Api, refused
from .wire import session as http_session

HOUR = 3600.0


class InProcess(requests.adapters.BaseAdapter):
    """Answers requests by an application in this process, which starts faster than a server."""

    def __init__(self, app: flask.Flask) -> None:
        super().__init__()
        self._app = app

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        with self._app.test_client().open(
            request.path_url, method=request.method, headers=dict(request.headers), data=request.body
        ) as answer:
            response = requests.Response()
            response.raw = io.BytesIO(answer.get_data())
            response.status_code = answer.status_code
            response.headers.update(answer.headers)
            response.url = request.url or ""
            response.request = request
            return response

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def own(folder: Path) -> Api:
    """A member on a server of the test's own, of which nothing but the requests runs."""
    folder.mkdir()
    engines, loaded, token = start.prepare(folder)
    http = http_session()
    http.mount("http://in-process", InProcess(app.build(engines, loaded)))
    return Api("http://in-process", token, "default", http)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def database(folder: Path, own: Api) -> Iterator[Database]:
    with contextlib.closing(Database(folder / FILE_NAME)) as opened:
        yield opened


@pytest.fixture
def store(folder: Path) -> Store:
    return store_of(folder)


@pytest.fixture
def cleaner(folder: Path, database: Database) -> Housekeeping:
    return housekeeping_on(folder, database)


def contents(folder: Path) -> list[bytes]:
    return [*contents_in(store_of(folder)).values()]


def age(database: Database, hours: float) -> None:
    """Let so much time pass since anything was removed."""
    with database.write(SERVER) as session:
        for row in session.execute(sa.select(Version.id, Version.removed_at).where(Version.removed_at.is_not(None))):
            removed_at = row.removed_at - dt.timedelta(hours=hours)
            session.execute(sa.update(Version).where(Version.id == row.id).values(removed_at=removed_at))


def backdate(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds, time.time() - seconds))


# --- old versions


def test_replaced_and_deleted_content_goes_a_day_later_and_its_row_says_so(
    own: Api, database: Database, cleaner: Housekeeping, folder: Path
) -> None:
    first = own.put("a", b"one").json()
    own.put("a", b"two")
    own.put("b", b"three")
    own.files("DELETE", "/entry", params={"path": "b"})
    cleaner.run()
    age(database, 23)
    cleaner.run()
    assert len(contents(folder)) == 3
    assert own.get("a", version=first["version"]).content == b"one"
    age(database, 2)
    cleaner.run()
    assert contents(folder) == [b"two"]
    assert own.get("a").content == b"two"
    refused(own.get("a", version=first["version"]), 404, "not_found")
    with database.read() as session:
        rows = session.scalars(sa.select(Version).order_by(Version.id)).all()
    assert [(row.size, row.removed_at is not None, row.collected_at is not None) for row in rows] == [
        (3, True, True),
        (3, False, False),
        (5, True, True),
    ]
    assert all(row.created_at < clock.now() for row in rows)


def test_a_pass_that_was_cut_off_is_finished_by_the_next(
    own: Api,
    database: Database,
    store: Store,
    cleaner: Housekeeping,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(housekeeping, "COLLECTED", 2)
    for n in range(5):
        own.put(f"{n}")
    for n in range(5):
        own.files("DELETE", "/entry", params={"path": f"{n}"})
    age(database, 25)
    with database.read() as session:
        store.remove(session.scalars(sa.select(Version.key).limit(1)).one())
    assert cleaner.collect()
    cleaner.run()
    assert contents(folder) == []
    assert not cleaner.collect()


def test_passes_of_several_processes_do_not_harm_each_other(
    own: Api, database: Database, store: Store, cleaner: Housekeeping
) -> None:
    for n in range(30):
        own.put(f"{n}")
    own.put("kept")
    for n in range(30):
        own.files("DELETE", "/entry", params={"path": f"{n}"})
    age(database, 25)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            cleaner.run()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert fsck.check(database, store, deep=True).is_clean
    assert own.get("kept").content == b"x"


def test_an_expired_upload_goes_with_its_parts(
    own: Api, database: Database, cleaner: Housekeeping, folder: Path
) -> None:
    upload, kept = own.start("a", 3), own.start("b", 3)
    own.part(upload["id"], 1, b"abc")
    with database.write(SERVER) as session:
        session.execute(sa.update(Upload).where(Upload.uid == upload["id"]).values(expires_at=clock.now()))
    cleaner.run()
    with database.read() as session:
        (row,) = session.scalars(sa.select(Upload)).all()
    assert row.uid == kept["id"]
    assert store_of(folder).uploads() == [row.store_id]


@pytest.mark.slow
def test_a_running_server_clears_away_by_itself(own: Api, folder: Path, database: Database) -> None:
    own.put("a")
    own.files("DELETE", "/entry", params={"path": "a"})
    age(database, 25)
    with contextlib.closing(EdgeServer(folder)) as server:
        server.start()  # which begins with a pass
        deadline = time.monotonic() + 60
        while contents(folder) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert contents(folder) == []


# --- fsck


def run_fsck(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(command, ["fsck", "--data", str(folder), *options])


@folder_only("the files that are there before and after")
def test_fsck_of_a_healthy_server_changes_nothing(own: Api, folder: Path) -> None:
    own.put("a")
    own.upload("b", b"abc")
    own.part(own.start("c", 3)["id"], 1, b"abc")
    before = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in before:
        if path.parent.name in ("uploads", "incoming") or "content" in path.parts:
            backdate(path, 2 * HOUR)
    for options in ((), ("--deep",)):
        done = run_fsck(folder, *options)
        assert (done.exit_code, done.output) == (
            0,
            "2 versions checked, 0 missing or damaged, 0 orphaned files dropped\n",
        )
    kept = [path for path in folder.rglob("*") if path.is_file() and "sqlite3-" not in path.name]
    assert sorted(kept) == [path for path in before if "sqlite3-" not in path.name]


def test_fsck_counts_the_content_that_it_reads(
    own: Api, folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.upload("a.bin", bytes(3_000_000))
    own.upload("b.bin", b"12345")
    monkeypatch.setattr(progress, "BAR_BYTES", 0)
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    monkeypatch.setattr(progress, "_is_terminal", lambda: True)
    assert run_fsck(folder).stderr == "", "nothing is read"
    assert run_fsck(folder, "--deep", "--quiet").stderr == ""
    shown = run_fsck(folder, "--deep").stderr.rstrip("\n").rpartition("\r")[2]
    assert shown.startswith("check: 100%|")
    assert "3.00M/3.00M [" in shown
    assert "2/2 files" in shown
    (key,) = (key for key in keys_in(store) if store.size(key) == 5)
    store.remove(key)
    done = run_fsck(folder, "--deep")
    assert "1 missing or damaged" in done.stdout
    assert "2/2 files" in done.stderr


@folder_only("files that are made there")
def test_fsck_drops_old_orphans_and_leaves_new_ones(own: Api, folder: Path) -> None:
    own.put("a")
    names = {}
    for where in ("content/ab", "uploads", "incoming"):
        (folder / where).mkdir(exist_ok=True)
        for kind in ("old", "new"):
            name = "ab" + os.urandom(19).hex()
            names[where, kind] = folder / where / name
            names[where, kind].write_bytes(b"orphan")
        backdate(names[where, "old"], 2 * HOUR)
    foreign = folder / "content" / "ab" / "notes.txt"
    foreign.write_text("not ours")
    backdate(foreign, 2 * HOUR)
    done = run_fsck(folder)
    assert (done.exit_code, done.output) == (0, "1 versions checked, 0 missing or damaged, 3 orphaned files dropped\n")
    assert [key for key, path in names.items() if not path.exists()] == [
        ("content/ab", "old"),
        ("uploads", "old"),
        ("incoming", "old"),
    ]
    assert foreign.exists()
    assert own.get("a").content == b"x"


@folder_only("parts without entity tags")
def test_fsck_leaves_what_an_upload_cut_off_at_its_end_has_moved(
    own: Api, folder: Path, database: Database, store: Store
) -> None:
    upload = own.start("a", 3)
    part = own.part(upload["id"], 1, b"abc")
    with database.read() as session:
        row = session.scalars(sa.select(Upload)).one()
    parts = [Written(3, hashlib.sha256(b"abc").hexdigest())]
    store.complete_upload(row.store_id, row.key, parts, in_doubt=False)  # and then the server is killed
    for path in (folder / "content").rglob("*"):
        backdate(path, 2 * HOUR)
    assert run_fsck(folder).exit_code == 0
    assert own.complete(upload["id"], [part], b"abc").status_code == 200
    assert own.get("a").content == b"abc"


def test_fsck_tells_missing_and_damaged_content_by_path_and_version(
    own: Api, folder: Path, database: Database, store: Store
) -> None:
    gone = own.put("runs/gone.csv").json()["version"]
    short = own.put("runs/short.csv", b"12345").json()["version"]
    rotten = own.put("runs/rotten.csv", b"abc").json()["version"]
    old = own.put("replaced", b"old").json()["version"]
    own.put("replaced", b"new")
    with database.read() as session:
        keys = {row.uid: row.key for row in session.execute(sa.select(Version.uid, Version.key))}

    for version in (gone, old):
        store.remove(keys[version])
    for version, content in ((short, b"123"), (rotten, b"abd")):
        store.write(keys[version], [content])
    before = own.names("runs")
    shallow, deep = run_fsck(folder), run_fsck(folder, "--deep")
    assert (shallow.exit_code, deep.exit_code) == (1, 1)
    lines = [
        f"default: 'runs/gone.csv', version {gone}: its content is missing",
        f"default: 'runs/short.csv', version {short}: its content has 3 bytes instead of 5",
        f"default: 'runs/rotten.csv', version {rotten}: its content is damaged, it has another SHA-256",
        f"default: replaced or deleted, version {old}: its content is missing",
    ]
    end = "5 versions checked, {} missing or damaged, 0 orphaned files dropped"
    assert deep.output.splitlines() == [*lines, end.format(4)]
    assert shallow.output.splitlines() == [lines[0], lines[1], lines[3], end.format(3)]
    assert own.names("runs") == before
    age(database, 25)
    assert f"version {old}" not in run_fsck(folder).output


def test_fsck_tells_the_damaged_parts(own: Api, folder: Path, database: Database, store: Store) -> None:
    content = bytes(PART_SIZE) + b"\1" * PART_SIZE + b"end"
    assert own.upload("a.bin", content).status_code == 200
    own.files("POST", "/copy", json={"path": "a.bin", "new_path": "copy.bin"})
    assert run_fsck(folder, "--deep").exit_code == 0
    with database.read() as session:
        versions = session.scalars(sa.select(Version).order_by(Version.id)).all()
    store.write(versions[0].key, [bytes(PART_SIZE) + b"\1" * (PART_SIZE - 1) + b"\0" + b"End"])
    what = (
        f"its content is damaged in part 2 (bytes {PART_SIZE} to {2 * PART_SIZE - 1}), "
        f"part 3 (bytes {2 * PART_SIZE} to {2 * PART_SIZE + 2}), which have another SHA-256"
    )
    done = run_fsck(folder, "--deep")
    assert done.exit_code == 1
    assert done.output.splitlines()[:2] == [
        f"default: '{path}', version {version.uid}: {what}"
        for path, version in zip(("a.bin", "copy.bin"), versions, strict=True)
    ]


def test_digests_of_parts_go_with_the_last_version_of_their_content(
    own: Api, database: Database, cleaner: Housekeeping
) -> None:
    own.upload("a.bin", bytes(PART_SIZE + 1))
    own.files("POST", "/copy", json={"path": "a.bin", "new_path": "copy.bin"})
    kept = sa.select(sa.func.count()).select_from(PartDigests)
    for path, left in (("a.bin", 1), ("copy.bin", 0)):
        own.files("DELETE", "/entry", params={"path": path})
        age(database, 25)
        cleaner.run()
        with database.read() as session:
            assert session.scalar(kept) == left


def test_fsck_counts_anew_what_was_counted_wrongly(own: Api, folder: Path, database: Database) -> None:
    own.put("a", b"12345")
    with database.write(SERVER) as session:
        session.execute(sa.update(Organization).values(used_bytes=99))
    done = run_fsck(folder)
    assert done.exit_code == 0
    assert "default: what its files hold was counted wrongly and is set right\n" in done.output
    with database.read() as session:
        assert session.scalars(sa.select(Organization.used_bytes)).one() == 5


@sqlite_only("a folder without a file")
def test_fsck_says_where_there_is_nothing_to_check(tmp_path: Path) -> None:
    done = run_fsck(tmp_path / "none")
    assert done.exit_code == 1
    assert "holds no server's data" in done.output
    assert not (tmp_path / "none").exists()


# --- large trees

ENTRIES = int(os.environ.get("EDGE_FOLDER_ENTRIES", "10000"))
"""How many a large folder has: 10,000 here, 100,000 for a thorough run."""


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Database]:
    with contextlib.closing(Database(tmp_path / FILE_NAME)) as opened:
        migrate(opened, tmp_path / "backups", [own_history()])
        with opened.write(SERVER) as session:
            organization = directory.create_organization(session, [tree.plant], "lab")
            directory.add_member(session, directory.create_user(session, "ada"), organization)
        yield opened


def fill(database: Database, parent: int, count: int, *, prefix: str = "file") -> None:
    """Put files of one byte into a folder, past everything that one request does."""
    with database.write(SERVER) as session:
        first = (session.scalar(sa.select(sa.func.max(Version.id))) or 0) + 1
        versions = session.scalars(
            sa.insert(Version).returning(Version.id),
            [
                {"key": f"{n:040}", "organization_id": 1, "size": 1, "digest": "", "created_by": 1}
                for n in range(first, first + count)
            ],
        ).all()
        rows = [
            {
                "organization_id": 1,
                "parent_id": parent,
                "name": f"{prefix}-{n:06}",
                "uid": new_uid(),
                "version_id": version,
            }
            for n, version in enumerate(versions)
        ]
        session.execute(sa.insert(Node), rows)
        session.execute(sa.update(Organization).values(used_bytes=Organization.used_bytes + count))
        for row in rows[:50]:
            index.add(session, 1, "file", row["uid"], row["name"])


def left(database: Database) -> tuple[int, int, int, int]:
    """Nodes beside the root, visible versions, names in the index, bytes counted."""
    with database.read() as session:
        return (
            (session.scalar(sa.select(sa.func.count(Node.id))) or 0) - 1,
            session.scalar(sa.select(sa.func.count(Version.id)).where(Version.removed_at.is_(None))) or 0,
            session.scalar(sa.select(sa.func.count(SearchName.id))) or 0,
            session.scalars(sa.select(Organization.used_bytes)).one(),
        )


def remove(database: Database, *path: str) -> bool:
    with database.write(SERVER) as session:
        return TREE.remove(session, 1, path, recursive=True)


@pytest.fixture
def large(alone: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Holds a folder of 70 files, more than one transaction deletes; 3 of them are copies."""
    monkeypatch.setattr(clearing, "BATCH", 10)
    with alone.write(SERVER) as session:
        for name in ("large", "large/deep", "large/deep/deeper", "kept"):
            TREE.make_folder(session, 1, tuple(name.split("/")), exist_ok=False)
        ids = {name: session.scalars(sa.select(Node.id).where(Node.name == name)).one() for name in ("large", "deeper")}
    fill(alone, ids["large"], 43)
    fill(alone, ids["deeper"], 24)
    for n, target in enumerate(("large/copy", "large/deep/copy", "large/deep/copy-2", "kept/copy")):
        with alone.write(SERVER) as session:
            source = ("large", f"file-{n:06}")
            TREE.copy(session, 1, source, tuple(target.split("/")), user_id=1, overwrite=False)
    return alone


def room(database: Database) -> tuple[int, int]:
    """Bytes that count in the quota, and as deleted content."""
    with database.read() as session:
        now = quotas.room(session, 1, Limits())
    return now.used, now.deleted


def test_no_search_gives_names_in_a_deleted_folder_while_it_is_cleared_away(
    own: Api, database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clearing, "BATCH", 5)
    for path in ("large", "large/deep", "kept"):
        for n in range(7):
            own.put(f"{path}/plate-{n}.csv")

    def search(query: str) -> set[str]:
        return {result["path"] for result in own.call("GET", f"/v1/orgs/default/search?query={query}").json()["items"]}

    kept = {f"kept/plate-{n}.csv" for n in range(7)}
    assert len(search("plate")) == 21
    assert own.files("DELETE", "/entry", params={"path": "large", "recursive": "true"}).status_code == 204
    cleaner, steps = housekeeping_on(folder, database), 0
    indexed = left(database)[2]
    assert search("plate") == kept
    while cleaner.release() or cleaner._clear():
        assert (search("plate"), search("deep"), search("large")) == (kept, set(), set())
        steps += 1
    assert steps > 2
    assert left(database)[2] == 8 < indexed


def test_a_large_folder_is_gone_at_once_and_cleared_away_in_batches(large: Database, tmp_path: Path) -> None:
    cleaner = housekeeping_on(tmp_path, large)
    assert left(large) == (75, 71, 75, 71)
    assert remove(large, "large")
    with large.write(SERVER) as session:
        assert tree.find(session, 1, ("large",)) is None
        hits = [match.uid for match in finding.find(session, 1, "file").best]
        assert set(tree.paths_of(session, hits).values()) <= {"kept/copy"}
        TREE.make_folder(session, 1, ("large",), exist_ok=False)
    assert left(large)[0] == 76
    assert cleaner.release()
    # At once, as if nobody shared content.
    assert room(large) == (1, 70)
    steps = 0
    while True:
        before = left(large)[0]
        with large.write(SERVER) as session:
            TREE.clearing.clear(session, 1, 10)
        if left(large)[0] == before:
            break
        assert before - left(large)[0] <= 12
        assert room(large)[0] == 1
        steps += 1
    assert steps > 5
    assert left(large) == (3, 1, 3, 1)
    assert room(large) == (1, 66), "what copies share counts once, and not while a file has it"
    with large.read() as session:
        moments = set(session.scalars(sa.select(Version.removed_at).where(Version.removed_at.is_not(None))))
    assert len(moments) == 1


def test_what_counts_is_exact_wherever_clearing_is_cut_off(large: Database, tmp_path: Path) -> None:
    """And `fsck` sees it so, whether or not the bytes are released."""
    store = FolderStore(tmp_path)
    store.create()
    cleaner = housekeeping_on(tmp_path, large)
    held = [left(large)[3]]
    assert remove(large, "large")
    while True:
        report = fsck.Report()
        fsck._recount(large, report)
        assert report.recounted == []
        held.append(room(large)[0])
        if not (cleaner.release() or cleaner._clear()):
            break
    assert held[:3] == [71, 71, 1]
    assert set(held[3:]) == {1}
    with large.write(SERVER) as session:
        session.execute(sa.update(Organization).values(released_bytes=5))
    fsck._recount(large, report)
    assert report.recounted == ["lab"]
    assert room(large) == (1, 66)


def test_nobody_releases_a_folder_twice_and_no_other_folder(large: Database, tmp_path: Path) -> None:
    assert remove(large, "large")
    with large.read() as session:
        folder = clearing.removed(session, 1, released=False)
        assert folder is not None
        size = clearing.bytes_below(session, folder.id)
    assert size == 70
    for _ in range(2):  # by two processes, each of which has seen it unreleased
        with large.write(SERVER) as session:
            TREE.clearing.release(session, folder, size)
        assert room(large) == (1, 70)
    housekeeping_on(tmp_path, large).run()
    with large.write(SERVER) as session:  # a row of another folder may have its number by now
        TREE.clearing.release(session, folder, size)
    assert room(large) == (1, 66)


def test_passes_at_once_release_and_clear_several_folders_exactly(large: Database, tmp_path: Path) -> None:
    with large.write(SERVER) as session:
        parents = [TREE.make_folder(session, 1, (f"more-{n}",), exist_ok=False).id for n in range(4)]
    for parent in parents:
        fill(large, parent, 15)
    cleaner = housekeeping_on(tmp_path, large)
    done = threading.Event()

    def work() -> None:
        while not done.is_set() or cleaner.release() or cleaner._clear():
            cleaner.release()
            cleaner._clear()

    with ThreadPoolExecutor(3) as pool:
        working = [pool.submit(work) for _ in range(3)]
        for name in ("large", *(f"more-{n}" for n in range(4))):
            remove(large, name)
        done.set()
        for each in working:
            each.result()
    assert left(large) == (2, 1, 2, 1)
    assert room(large) == (1, 126)
    with large.read() as session:
        assert session.scalars(sa.select(Organization.released_bytes)).one() == 0


def test_a_file_of_a_large_folder_can_be_restored_before_it_is_cleared_away(large: Database, tmp_path: Path) -> None:
    def versions(*path: str) -> list[str]:
        with large.read() as session:
            return [version.uid for version in session.scalars(tree.versions(session, 1, path))]

    path = ("large", "deep", "deeper", "file-000003")
    assert remove(large, "large")
    (uid,) = versions(*path)
    assert versions("large", "deep") == []
    assert versions("elsewhere", "deeper", "file-000003") == []
    with large.write(SERVER) as session:
        TREE.restore(session, 1, path, uid, user_id=1)
    assert len(versions(*path)) == 2
    housekeeping_on(tmp_path, large).run()
    assert len(versions(*path)) == 2
    assert room(large) == (2, 65)


def test_a_file_of_a_large_folder_that_was_deleted_is_listed_with_until_when_it_is_kept(
    own: Api, database: Database, cleaner: Housekeeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no longer than that, however late the folder is cleared away."""
    monkeypatch.setattr(clearing, "BATCH", 2)

    def listed(name: str) -> requests.Response:
        return own.files("GET", "/versions", params={"path": f"{name}/deep/0"})

    for name in ("large", "late"):
        for n in range(4):
            own.put(f"{name}/deep/{n}", b"abc")
        assert [version["kept_until"] for version in listed(name).json()["items"]] == [None]
        assert own.files("DELETE", "/entry", params={"path": name, "recursive": "true"}).status_code == 204
    (before,) = listed("large").json()["items"]
    assert before["kept_until"] is not None
    with database.write(SERVER) as session:
        late = sa.update(Node).where(Node.removed_path == "late")
        session.execute(late.values(removed_at=clock.now() - tree.GRACE))
    refused(listed("late"), 404, "not_found")
    cleaner.run()
    assert listed("large").json()["items"] == [before]


def fill_large(own: Api, database: Database, files: int) -> None:
    """Put so many files of one byte below `large`."""
    own.files("POST", "/folders", json={"path": "large/below"})
    with database.read() as session:
        below = session.scalars(sa.select(Node.id).where(Node.name == "below").order_by(Node.id.desc()).limit(1)).one()
    fill(database, below, files)


def room_shown(database: Database) -> tuple[int, int]:
    """What a server admin is told that counts in the quota, and as deleted content."""
    with database.read() as session:
        now = releases.room(session, 1, Limits())
    return now.used, now.deleted


def delete_large(own: Api) -> None:
    assert own.files("DELETE", "/entry", params={"path": "large", "recursive": "true"}).status_code == 204


def test_whoever_deletes_a_large_folder_does_not_wait_for_its_bytes_and_sees_none_of_them(
    own: Api, database: Database, cleaner: Housekeeping
) -> None:
    fill_large(own, database, 2500)
    assert own.files("DELETE", "/entry", params={"path": "large"}).status_code == 409
    with pytest.MonkeyPatch.context() as patched:
        patched.delattr(clearing, "bytes_below")
        delete_large(own)
    assert own.names() == []
    assert room(database) == (2500, 0)
    assert room_shown(database) == (0, 2500)
    cleaner.run()
    assert left(database) == (0, 0, 0, 0)
    assert room(database) == room_shown(database) == (0, 2500)


def restored(own: Api) -> requests.Response:
    version = own.files("GET", "/versions", params={"path": "old"}).json()["items"][0]["version"]
    return own.files("POST", "/restore", json={"path": "old", "version": version})


NEEDING_ROOM: dict[str, Callable[[Api], requests.Response]] = {
    "put": lambda own: own.put("new", b"12345678"),
    "batch": lambda own: own.batch({"new": b"12345678"}),
    "upload": lambda own: own.upload("new", b"12345678"),
    "copy": lambda own: own.files("POST", "/copy", json={"path": "kept", "new_path": "new"}),
    "restore": restored,
}


@pytest.mark.parametrize("way", NEEDING_ROOM)
def test_the_room_of_deleted_folders_is_there_at_once(own: Api, database: Database, way: str) -> None:
    own.put("old", b"12345678")
    own.files("DELETE", "/entry", params={"path": "old"})
    own.put("kept", b"12345678")
    fill_large(own, database, 150)
    with database.write(SERVER) as session:
        session.execute(sa.update(Organization).values(quota_bytes=160))
    delete_large(own)
    fill_large(own, database, 120)
    delete_large(own)
    fill_large(own, database, 140)
    answer = NEEDING_ROOM[way](own)
    assert answer.status_code < 300, answer.text
    assert "quota_exceeded" not in answer.text
    deleted = 270 if way == "restore" else 278
    assert room(database) == room_shown(database) == (156, deleted)
    # There is no room for more, whatever was deleted.
    assert "quota_exceeded" in own.batch({"more": b"12345678"}).text


def test_a_tree_100_deep_is_built_moved_searched_and_deleted(own: Api, database: Database) -> None:
    path = "/".join(f"level-{n}" for n in range(99))
    own.put(f"{path}/bottom.csv")
    answer = own.call("GET", "/v1/orgs/default/search", params={"query": "bottom"}).json()["items"]
    assert [result["path"] for result in answer] == [f"{path}/bottom.csv"]
    refused(own.files("POST", "/move", json={"path": "level-0", "new_path": "one/level-0"}), 400, "bad_entry")
    assert own.files("POST", "/move", json={"path": "level-0", "new_path": "moved"}).status_code == 200
    assert own.get(f"moved/{path.partition('/')[2]}/bottom.csv").content == b"x"
    assert own.files("DELETE", "/entry", params={"path": "moved", "recursive": "true"}).status_code == 204
    assert left(database) == (0, 0, 0, 0)


def test_moving_a_large_folder_changes_its_row_and_those_above_where_it_goes(alone: Database) -> None:
    with alone.write(SERVER) as session:
        TREE.make_folder(session, 1, ("large",), exist_ok=False)
        TREE.make_folder(session, 1, ("target",), exist_ok=False)
        large = session.scalars(sa.select(Node.id).where(Node.name == "large")).one()
    fill(alone, large, 1000)
    changed: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith(("SELECT", "BEGIN", "WITH")):
            changed.append(statement.partition(" SET")[0])

    sa.event.listen(alone.root, "before_cursor_execute", note)
    with alone.write(SERVER) as session:
        TREE.move(session, 1, ("large",), ("target", "large"), overwrite=False)
    assert changed == ["UPDATE nodes"] * 2


@pytest.mark.slow
def test_a_large_folder_lists_in_pages_and_is_deleted(alone: Database, tmp_path: Path) -> None:
    with alone.write(SERVER) as session:
        TREE.make_folder(session, 1, ("large",), exist_ok=False)
        large = session.scalars(sa.select(Node.id).where(Node.name == "large")).one()
    for n in range(10):
        fill(alone, large, ENTRIES // 10, prefix=f"run-{n}")
    after, count = "", 0
    while True:
        with alone.read() as session:
            page = tree.children(session, 1, ("large",), kind=None, after=after, limit=1000)
        count += len(page)
        if not page:
            break
        after = page[-1].name
    assert count == ENTRIES
    with alone.write(SERVER) as session:
        TREE.remove(session, 1, ("large",), recursive=True)
    FolderStore(tmp_path).create()
    housekeeping_on(tmp_path, alone).run()
    assert left(alone) == (0, 0, 0, 0)


@sqlite_only("how it plans")
def test_listing_a_large_folder_uses_its_index(alone: Database) -> None:
    with alone.read() as session:
        plan = session.execute(
            sa.text(
                "EXPLAIN QUERY PLAN SELECT * FROM nodes WHERE organization_id = 1 AND parent_id = 2 AND name > 'a' "
                "ORDER BY name LIMIT 1000"
            )
        ).all()
    details = " ".join(row.detail for row in plan)
    assert "organization_id=? AND parent_id=? AND name>?" in details
    assert "TEMP B-TREE" not in details


def test_an_abandoned_sweep_is_harmless(alone: Database, tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.create()
    assert not uploads_on(tmp_path, alone).sweep()
    assert fsck.check(alone, store, deep=True).is_clean


def test_a_folder_goes_to_a_single_owner_of_several_at_once(tmp_path: Path) -> None:
    for n in range(20):
        contested = FolderStore(tmp_path / str(n))
        contested.create()
        at_once = threading.Barrier(4)

        def claim(owner: str, contested: FolderStore = contested, at_once: threading.Barrier = at_once) -> bool:
            at_once.wait(60)
            return contested.claim(owner) == [owner]

        with ThreadPoolExecutor(4) as threads:
            winners = {owner for owner, is_own in zip("abca", threads.map(claim, "abca"), strict=True) if is_own}
        assert contested.owners() == list(winners)
        assert [path.name for path in (tmp_path / str(n)).iterdir() if path.is_file()] == ["content-owner"]
        assert list((tmp_path / str(n) / "incoming").iterdir()) == []


def test_a_folder_is_claimed_where_files_have_no_second_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    contested = FolderStore(tmp_path)
    contested.create()
    assert (contested.owners(), contested.claim("a"), contested.claim("b")) == ([], ["a"], ["a"])
