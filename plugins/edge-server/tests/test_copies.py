"""Copies, old versions and restores: content that several versions share, and that goes with the last of them."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from edge_server.base import clock
from edge_server.base.problems import Refusal
from edge_server.billing import usage
from edge_server.data.database import FILE_NAME, SERVER, Database
from edge_server.data.migration import migrate, own_history
from edge_server.data.store import Content, Store
from edge_server.files import clearing, fsck, housekeeping, tree
from edge_server.files.housekeeping import Housekeeping
from edge_server.files.models import Version
from edge_server.files.queries import NewVersion
from edge_server.identity import directory
from edge_server.identity.models import User
from edge_server.testing.local_server import EdgeServer

from .postgresql import scratch_postgresql
from .stores import keys_in, store_of
from .test_housekeeping import age, contents, run_fsck
from .test_housekeeping import cleaner as cleaner  # fixtures
from .test_housekeeping import database as database
from .test_housekeeping import folder as folder
from .test_housekeeping import own as own
from .test_housekeeping import store as store
from .test_quota import set_quota, used
from .trees import TREE, housekeeping_on
from .wire import Api, client, refused

MTIME = 1_700_000_000_123_456_789


def copy(api: Api, path: str, new_path: str, **more: object) -> dict[str, object]:
    answer = api.files("POST", "/copy", json={"path": path, "new_path": new_path, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def versions(api: Api, path: str) -> list[dict[str, object]]:
    answer = api.files("GET", "/versions", params={"path": path})
    assert answer.status_code == 200, answer.text
    assert answer.json()["next"] is None
    return answer.json()["items"]


def restore(api: Api, path: str, version: object) -> dict[str, object]:
    answer = api.files("POST", "/restore", json={"path": path, "version": version})
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- copies


def test_a_copy_is_a_file_of_its_own_with_the_content_of_the_other(api: Api) -> None:
    original = api.put("runs/a.csv", b"1,2\n", source_mtime_ns=MTIME).json()
    copied = copy(api, "runs/a.csv", "kept/2024/b.csv")
    assert (copied["name"], copied["kind"], copied["size"]) == ("b.csv", "file", 4)
    assert copied["sha256"] == original["sha256"]
    assert copied["source_mtime_ns"] == MTIME
    assert copied["uid"] != original["uid"]
    assert copied["version"] != original["version"]
    assert copied["modified_at"] >= original["modified_at"]
    assert api.stat("kept/2024/b.csv").json() == copied
    api.put("runs/a.csv", b"3,4\n")
    assert api.get("kept/2024/b.csv").content == b"1,2\n"
    api.files("DELETE", "/entry", params={"path": "runs", "recursive": "true"})
    assert api.get("kept/2024/b.csv").content == b"1,2\n"


def test_a_copy_of_large_content_is_read_at_its_signed_address(api: Api) -> None:
    content = bytes(range(256)) * 4097
    api.upload("a", content)
    copy(api, "a", "b")
    address = api.files("GET", "/download-url", params={"path": "b"}).json()["url"]
    api.files("DELETE", "/entry", params={"path": "a"})
    assert api.signed("GET", address).content == content


def test_an_address_of_a_file_ends_with_it_and_not_with_its_copy(own: Api, database: Database) -> None:
    own.put("a", b"one")
    address = own.files("GET", "/download-url", params={"path": "a", "expires_in": 7 * 86_400}).json()["url"]
    copy(own, "a", "copy")
    own.files("DELETE", "/entry", params={"path": "a"})
    assert own.signed("GET", address).content == b"one"
    age(database, 25)
    refused(own.signed("GET", address), 404, "not_found")
    assert own.get("copy").content == b"one"


def test_a_copy_goes_by_the_rules_of_a_move(api: Api) -> None:
    api.put("a", b"one")
    api.put("b", b"two")
    api.put("folder/c", b"three")

    def refusal(path: str, new_path: str, status: int, code: str, **more: object) -> str:
        answer = api.files("POST", "/copy", json={"path": path, "new_path": new_path, **more})
        return str(refused(answer, status, code)["detail"])

    refusal("a", "b", 409, "already_exists")
    refusal("a", "a", 409, "already_exists")
    refusal("a", "folder", 409, "already_exists", overwrite=True)
    refusal("a", "b/c", 409, "conflict")
    refusal("missing", "c", 404, "not_found")
    refusal("a", "", 400, "bad_entry")
    refusal("a", "x/../c", 400, "bad_entry")
    assert "'folder' is a folder" in refusal("folder", "other", 400, "bad_entry")
    assert "the root folder is a folder" in refusal("", "other", 400, "bad_entry")
    replaced = api.stat("b").json()
    assert copy(api, "a", "b", overwrite=True)["uid"] == replaced["uid"]
    assert api.get("b").content == b"one"
    assert copy(api, "a", "a", overwrite=True) == api.stat("a").json()
    assert api.names() == ["a", "b", "folder"]


def test_another_organization_is_not_copied_from_or_restored_in(edge_server: EdgeServer, api: Api) -> None:
    version = api.put("a", b"one").json()["version"]
    api.put("a", b"two")
    organization = edge_server.create_organization()
    stranger = client(
        edge_server, edge_server.create_token(edge_server.create_user(organization=organization)), organization
    )
    refused(stranger.files("POST", "/copy", json={"path": "a", "new_path": "b"}), 404, "not_found")
    refused(stranger.files("POST", "/restore", json={"path": "a", "version": version}), 404, "not_found")
    refused(stranger.files("GET", "/versions", params={"path": "a"}), 404, "not_found")
    stranger.organization = api.organization
    refused(stranger.files("POST", "/copy", json={"path": "a", "new_path": "b"}), 404, "not_found")
    refused(stranger.files("POST", "/restore", json={"path": "a", "version": version}), 404, "not_found")
    refused(stranger.files("GET", "/versions", params={"path": "a"}), 404, "not_found")


def test_a_repeated_copy_or_restore_has_a_single_effect(api: Api) -> None:
    version = api.put("a", b"one").json()["version"]
    api.put("a", b"two")
    for path, body in (
        ("/copy", {"path": "a", "new_path": "b"}),
        ("/restore", {"path": "a", "version": version}),
    ):
        first, again = (api.files("POST", path, json=body, headers={"Idempotency-Key": path}) for _ in range(2))
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["Idempotency-Replayed"] == "true"
    assert len(versions(api, "b")) == 1
    assert len(versions(api, "a")) == 3


# --- versions and restores


def test_old_versions_are_listed_with_who_stored_them_and_until_when(edge_server: EdgeServer) -> None:
    organization = edge_server.create_organization()
    first, second = (edge_server.create_user(organization=organization) for _ in range(2))
    for user, content in ((first, b"one"), (second, b"other")):
        client(edge_server, edge_server.create_token(user), organization).put("a", content, source_mtime_ns=-1)
    api = client(edge_server, edge_server.create_token(first), organization)
    old, newest = versions(api, "a")
    assert [(each["size"], each["created_by"], each["source_mtime_ns"]) for each in (old, newest)] == [
        (3, first, -1),
        (5, second, -1),
    ]
    assert newest["version"] == api.stat("a").json()["version"]
    assert newest["kept_until"] is None
    left = dt.datetime.fromisoformat(str(old["kept_until"])) - clock.now()
    assert dt.timedelta(hours=23, minutes=55) < left <= dt.timedelta(hours=24)
    page = api.files("GET", "/versions", params={"path": "a", "limit": 1}).json()
    assert page["items"] == [old]
    after = api.files("GET", "/versions", params={"path": "a", "limit": 1, "cursor": page["next"]}).json()
    assert (after["items"], after["next"]) == ([newest], None)
    with edge_server.database.write(SERVER) as session:
        session.execute(sa.update(User).where(User.user_name == second).values(removed_at=clock.now()))
    assert versions(api, "a")[1]["created_by"] is None


def test_versions_follow_a_file_and_stay_findable_where_it_was(api: Api) -> None:
    api.put("runs/a", b"one")
    api.put("runs/a", b"two")
    api.files("POST", "/move", json={"path": "runs", "new_path": "kept"})
    api.files("POST", "/move", json={"path": "kept/a", "new_path": "kept/b"})
    assert [each["size"] for each in versions(api, "kept/b")] == [3, 3]
    assert len(versions(api, "runs/a")) == 1
    refused(api.files("GET", "/versions", params={"path": "kept/a"}), 404, "not_found")
    refused(api.files("GET", "/versions", params={"path": "kept"}), 400, "bad_entry")
    refused(api.files("GET", "/versions", params={"path": ""}), 400, "bad_entry")


def test_an_old_version_is_restored_as_the_newest(api: Api) -> None:
    first = api.put("a", b"one", source_mtime_ns=MTIME).json()
    second = api.put("a", b"second").json()
    entry = restore(api, "a", first["version"])
    assert api.get("a").content == b"one"
    assert entry == api.stat("a").json()
    assert (entry["uid"], entry["source_mtime_ns"]) == (first["uid"], MTIME)
    assert entry["modified_at"] > second["modified_at"]
    old = versions(api, "a")
    assert [each["size"] for each in old] == [3, 6, 3]
    assert restore(api, "a", entry["version"]) == entry, "the newest one is there already"
    assert len(versions(api, "a")) == 3
    restore(api, "a", second["version"])
    assert api.get("a").content == b"second"


@pytest.mark.parametrize("deleted", ["a/b/c.csv", "a/b", "a"])
def test_a_deleted_file_is_restored_with_its_folders(api: Api, deleted: str) -> None:
    api.put("a/b/c.csv", b"1,2\n")
    api.put("a/b/other", b"")
    api.files("DELETE", "/entry", params={"path": deleted, "recursive": "true"})
    (old,) = versions(api, "a/b/c.csv")
    restore(api, "a/b/c.csv", old["version"])
    assert api.get("a/b/c.csv").content == b"1,2\n"


def test_the_files_of_a_large_folder_that_goes_in_steps_are_restored(
    own: Api, cleaner: Housekeeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clearing, "BATCH", 2)
    paths = ["runs/a/1/x", "runs/a/1/y", "runs/a/2/deep/x", "runs/a/z", "runs/b/x", "runs/x"]
    for path in paths:
        own.put(path, path.encode())
    own.files("DELETE", "/entry", params={"path": "runs", "recursive": "true"})
    cleaner.run()
    for path in paths:
        (old,) = versions(own, path)
        restore(own, path, old["version"])
    assert [own.get(path).content for path in paths] == [path.encode() for path in paths]


def test_a_file_that_was_moved_over_is_restored(api: Api) -> None:
    api.put("a", b"one")
    version = api.put("b", b"two").json()["version"]
    api.files("POST", "/move", json={"path": "a", "new_path": "b", "overwrite": True})
    assert [each["version"] for each in versions(api, "b")] == [api.stat("b").json()["version"], version]
    restore(api, "b", version)
    assert api.get("b").content == b"two"


def test_only_a_version_of_the_file_is_restored(api: Api) -> None:
    other = api.put("other", b"other").json()["version"]
    api.put("other", b"new")
    api.put("a", b"one")
    for version in (other, "nonsense"):
        problem = refused(api.files("POST", "/restore", json={"path": "a", "version": version}), 404, "not_found")
        assert f"no version {version} of 'a'" in problem["detail"]
    gone = versions(api, "other")[0]["version"]
    api.files("DELETE", "/entry", params={"path": "other"})
    api.files("POST", "/folders", json={"path": "other"})
    refused(api.files("POST", "/restore", json={"path": "other", "version": gone}), 409, "already_exists")


def test_the_time_of_the_source_is_kept_apart_from_the_servers_own(api: Api) -> None:
    before = clock.now()
    entry = api.upload("large", b"x" * 10, source_mtime_ns=MTIME).json()
    assert entry["source_mtime_ns"] == MTIME
    assert dt.datetime.fromisoformat(entry["modified_at"]) >= before - dt.timedelta(seconds=1)
    assert api.files("GET", "/entries", params={"path": ""}).json()["items"] == [entry]
    api.files("POST", "/move", json={"path": "large", "new_path": "moved"})
    assert api.stat("moved").json()["source_mtime_ns"] == MTIME
    assert api.put("moved", b"").json()["source_mtime_ns"] is None
    for extreme in (-(1 << 63), (1 << 63) - 1):
        answer = api.put("a", source_mtime_ns=extreme)
        assert answer.status_code == 201, answer.text
        assert answer.json()["source_mtime_ns"] == extreme
    for beyond in (1 << 63, -(1 << 63) - 1, "1.5"):
        refused(api.put("a", source_mtime_ns=beyond), 422, "bad_entry")


# --- what is counted


def test_each_copy_counts_in_full(edge_server: EdgeServer, api: Api) -> None:
    set_quota(edge_server, api.organization, 10)
    version = api.put("a", b"1234").json()["version"]
    copy(api, "a", "b")
    assert used(edge_server, api.organization) == 8
    refused(api.files("POST", "/copy", json={"path": "a", "new_path": "c"}), 507, "quota_exceeded")
    assert api.names() == ["a", "b"]
    api.put("a", b"1")
    restore(api, "a", version)
    assert used(edge_server, api.organization) == 8
    api.put("a", b"1")
    api.put("c", b"12345")
    refused(api.files("POST", "/restore", json={"path": "a", "version": version}), 507, "quota_exceeded")
    assert api.get("a").content == b"1"
    for path in ("a", "b", "c"):
        api.files("DELETE", "/entry", params={"path": path})
    assert used(edge_server, api.organization) == 0


def test_stored_byte_hours_count_each_copy_for_as_long_as_it_is_there(own: Api, database: Database) -> None:
    own.put("a", b"1234")
    copy(own, "a", "b")
    own.files("DELETE", "/entry", params={"path": "a"})
    start, end = (clock.now().replace(hour=hour, minute=0, second=0, microsecond=0) for hour in (1, 3))
    with database.write(SERVER) as session:
        original, other = session.scalars(sa.select(Version).order_by(Version.id)).all()
        original.created_at, original.removed_at = start, end
        other.created_at = start + dt.timedelta(hours=1)
    with database.read() as session:
        measured = usage.measure(session, original.organization_id, start + dt.timedelta(hours=5))
    hour = 3_600_000_000
    assert measured.amounts == {start.date(): (2 + 4) * 4 * hour}


# --- content that is shared


def test_shared_content_goes_with_the_last_version_of_it(
    own: Api, database: Database, cleaner: Housekeeping, folder: Path
) -> None:
    version = own.put("a", b"one").json()["version"]
    copy(own, "a", "b")
    own.put("a", b"two")
    restore(own, "a", version)
    assert len(contents(folder)) == 2
    own.files("DELETE", "/entry", params={"path": "a"})
    age(database, 25)
    cleaner.run()
    assert contents(folder) == [b"one"]
    assert own.get("b").content == b"one"
    refused(own.files("GET", "/versions", params={"path": "a"}), 404, "not_found")
    copy(own, "b", "c")
    own.files("DELETE", "/entry", params={"path": "b"})
    age(database, 25)
    cleaner.run()
    assert own.get("c").content == b"one"
    own.files("DELETE", "/entry", params={"path": "c"})
    cleaner.run()
    assert len(contents(folder)) == 1
    age(database, 25)
    cleaner.run()
    assert contents(folder) == []
    with database.read() as session:
        rows = session.scalars(sa.select(Version)).all()
    assert len(rows) == 5
    assert all(row.collected_at is not None for row in rows)


@pytest.mark.parametrize(("batch", "seconds"), [(1, 60.0), (500, -1.0)])
def test_shared_content_is_dropped_in_any_number_of_steps(
    own: Api,
    database: Database,
    cleaner: Housekeeping,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
    seconds: float,
) -> None:
    monkeypatch.setattr(housekeeping, "COLLECTED", batch)
    monkeypatch.setattr(housekeeping, "COLLECTING", seconds)
    own.put("a", b"one")
    for name in ("b", "c", "d"):
        copy(own, "a", name)
    for name in ("c", "a", "d"):
        own.files("DELETE", "/entry", params={"path": name})
    age(database, 25)
    cleaner.run()
    assert own.get("b").content == b"one"
    own.files("DELETE", "/entry", params={"path": "b"})
    age(database, 25)
    cleaner.run()
    assert contents(folder) == []


def test_fsck_reads_shared_content_once_and_names_each_file_that_lost_it(
    own: Api, database: Database, folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.put("a", b"one")
    copy(own, "a", "b")
    copy(own, "a", "old")
    own.files("DELETE", "/entry", params={"path": "a"})
    (key,) = keys_in(store)
    later = clock.now() + 2 * fsck.GRACE
    monkeypatch.setattr(clock, "now", lambda: later)
    opened: list[str] = []
    plain_open = store.open

    def counted(key: str, *span: int) -> Content:
        opened.append(key)
        return plain_open(key, *span)

    monkeypatch.setattr(store, "open", counted)
    report = fsck.check(database, store, deep=True)
    assert (report.versions, report.is_clean, report.orphans, len(opened)) == (3, True, 0, 1)
    with database.write(SERVER) as session:  # as a day later
        session.execute(sa.update(Version).where(Version.removed_at.is_not(None)).values(collected_at=clock.now()))
    assert fsck.check(database, store, deep=True).orphans == 0
    store.write(key, [b"eno"])
    done = run_fsck(folder, "--deep")
    assert done.exit_code == 1
    assert [line.partition(", version ")[0] for line in done.output.splitlines()[:-1]] == [
        "default: 'b'",
        "default: 'old'",
    ]


class Kept:
    """A file that was deleted a day ago in a database of the test's own, and the housekeeping of that."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.store = store_of(folder)
        self.store.create()
        self.cleaner = housekeeping_on(folder, database)
        with database.write(SERVER) as session:
            organization = directory.create_organization(session, [tree.plant], "lab")
            user = directory.create_user(session, "ann")
            self.organization_id, self.user_id = organization.id, user.id
        self.key = self.store.new_key()
        self.store.write(self.key, [b"kept"])
        with database.write(SERVER) as session:
            content = NewVersion(self.key, 4, "0" * 64, clock.now(), self.user_id)
            file = TREE.put(session, self.organization_id, ("a",), content, overwrite=True)
            assert file.version is not None
            self.uid = file.version
            TREE.remove(session, self.organization_id, ("a",), recursive=False)

    @contextlib.contextmanager
    def restoring(self) -> Iterator[None]:
        """A transaction in which the file is restored, up to its commit."""
        with self.database.write(self.organization_id) as session:
            TREE.restore(session, self.organization_id, ("a",), self.uid, user_id=self.user_id)
            session.flush()
            yield

    def is_whole(self) -> bool:
        """Whether the file is there, with its content."""
        with self.database.read() as session:
            node = tree.get(session, self.organization_id, ("a",))
            return node.key is not None and self.store.size(node.key) == 4


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    with contextlib.ExitStack() as stack:
        if request.param == "sqlite":
            opened = stack.enter_context(contextlib.closing(Database(tmp_path / FILE_NAME)))
            migrate(opened, tmp_path / "backups", [own_history()])
        else:
            opened = stack.enter_context(scratch_postgresql())
            own_history().upgrade(opened)
        yield Kept(opened, tmp_path)


def test_content_that_is_restored_while_it_is_collected_stays(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    later = clock.now() + dt.timedelta(hours=25)
    collecting = threading.Thread(target=kept.cleaner.run)
    with kept.restoring():
        # The machine slept in the middle of the request, and now the version is due.
        monkeypatch.setattr(clock, "_now", lambda: later)
        collecting.start()
        collecting.join(0.2)
        assert kept.store.size(kept.key) == 4
    collecting.join(60)
    assert not collecting.is_alive()
    assert kept.is_whole()
    with kept.database.read() as session:
        assert session.scalars(sa.select(Version.collected_at.is_not(None)).order_by(Version.id)).all() == [True, False]


def test_nothing_is_restored_whose_content_is_being_collected(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the one who restores has a clock that is behind."""
    outcomes: list[object] = []

    def try_to_restore() -> None:
        try:
            with kept.restoring():
                pass
            outcomes.append("restored")
        except Refusal as refusal:
            outcomes.append(refusal.status)

    restoring = threading.Thread(target=try_to_restore)
    kind: Any = type(kept.store)
    remove = kind.remove

    def removed_meanwhile(store: Store, key: str) -> None:
        remove(store, key)
        restoring.start()
        restoring.join(0.2)
        assert outcomes == []

    monkeypatch.setattr(kind, "remove", removed_meanwhile)
    monkeypatch.setattr(tree, "GRACE", dt.timedelta(hours=30))
    monkeypatch.setattr(housekeeping, "MARGIN", dt.timedelta(hours=-31))
    kept.cleaner.run()
    restoring.join(60)
    assert outcomes == [404]


@pytest.mark.slow
def test_many_copies_while_everything_is_collected_at_once_keep_their_content(
    own: Api, database: Database, folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "MARGIN", dt.timedelta())
    monkeypatch.setattr(tree, "GRACE", dt.timedelta())
    cleaner = housekeeping_on(folder, database)
    with database.read() as session:
        user_id = session.scalars(sa.select(User.id)).first()
        organization_id = session.scalars(sa.select(tree.Node.organization_id)).first()
    assert user_id is not None
    assert organization_id is not None
    own.put("original", b"content")
    failures: list[BaseException] = []
    copied = threading.Event()

    def copy_and_delete(name: str) -> None:
        # Always the newest copy is copied, and the one before it deleted: the content is never unused.
        source: tuple[str, ...] = ("original",)
        if name != "0":
            source = (f"seed-{name}",)
        for n in range(25):
            target = (f"copy-{name}-{n}",)
            with database.write(organization_id) as session:
                TREE.copy(session, organization_id, source, target, user_id=user_id, overwrite=False)
            with database.write(organization_id) as session:
                TREE.remove(session, organization_id, source, recursive=False)
            source = target

    def work(name: str) -> None:
        try:
            copy_and_delete(name)
        except BaseException as error:
            failures.append(error)

    def collect() -> None:
        try:
            while not copied.is_set():
                cleaner.run()
        except BaseException as error:
            failures.append(error)

    for n in (1, 2):
        copy(own, "original", f"seed-{n}")
    workers = [threading.Thread(target=work, args=[str(n)]) for n in range(3)]
    collectors = [threading.Thread(target=collect) for _ in range(2)]
    for thread in (*workers, *collectors):
        thread.start()
    for thread in workers:
        thread.join()
    copied.set()
    for thread in collectors:
        thread.join()
    assert failures == []
    assert own.names() == ["copy-0-24", "copy-1-24", "copy-2-24"]
    assert {own.get(name).content for name in own.names()} == {b"content"}
    assert len(contents(folder)) == 1
    assert fsck.check(database, store, deep=True).is_clean
