"""Backups: made while everybody goes on, complete or clearly not, and restored elsewhere byte for byte."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import hashlib
import itertools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock
import pytest
import sqlalchemy as sa
from alembic import command as alembic
from click.testing import CliRunner, Result

from edge_files.wire import PART_SIZE
from edge_server.base import clock
from edge_server.data import sqlite
from edge_server.data.database import FILE_NAME, SERVER, Database
from edge_server.data.migration import own_history
from edge_server.data.migrations import HEAD
from edge_server.data.store import FolderStore
from edge_server.files import housekeeping, housekeeping_on
from edge_server.files.housekeeping import Housekeeping
from edge_server.files.models import Upload, Version
from edge_server.keys import sealing, signing, transit
from edge_server.keys.transit import Engine
from edge_server.run import app, backup_folder, data_folder, start
from edge_server.run import backup as backups
from edge_server.run.command import server as command
from edge_server.secrets.models import Secret
from edge_server.testing.local_server import EdgeServer
from tests.waiting import wait_for

from .engines import sqlite_only
from .openbao import settings_of
from .stores import folder_only
from .test_housekeeping import InProcess, age
from .test_stored_content import plots  # noqa: F401
from .test_transit import silence
from .wire import Api, client, close_all
from .wire import session as http_session

pytestmark = [sqlite_only("the command copies one"), folder_only("the command copies one")]

CALLS = ("open", "fsync", "pwrite", "replace", "rename", "link", "mkdir")
"""What writes a backup, of which each can fail."""

LARGE = b"1" * PART_SIZE + b"end"


class Place:
    """A server's data, and where its backups are."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "data"
        self.backups = tmp_path / "backups"
        self.keys = tmp_path / "keys"
        self.elsewhere = tmp_path / "elsewhere"

    def back_up(self, *options: str | Path) -> Result:
        return run("backup", self.backups, "--data", self.folder, "-q", *options)

    def restore(self, *options: str | Path, source: Path | None = None) -> Result:
        return run("restore", source or self.backups, "--data", self.elsewhere, "-q", *options)

    def newest(self) -> Path:
        return backup_folder.complete(self.backups)[-1]

    def contents(self) -> list[Path]:
        return files_in(self.folder / "content")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def require_clean(folder: Path) -> None:
    done = run("fsck", "--deep", "-q", "--data", folder)
    assert done.exit_code == 0, done.output
    assert "wrongly" not in done.output
    with contextlib.closing(Database(folder / FILE_NAME)) as opened, opened.read() as session:
        named = set(session.scalars(sa.select(Version.key).where(Version.collected_at.is_(None))))
        assert session.scalar(sa.select(sa.func.count(Upload.id)).where(Upload.version_id.is_(None))) == 0
    assert {path.name for path in files_in(folder / "content")} == named, "all that the database names, and no more"


def refused(done: Result, sentence: str) -> None:
    assert done.exit_code == 1, done.output
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def serve(folder: Path) -> Api:
    """A member on a server of which nothing but the requests runs."""
    folder.mkdir(exist_ok=True)
    engines, loaded, token = start.prepare(folder)
    http = http_session()
    http.mount("http://in-process", InProcess(app.build(engines, loaded)))
    return Api("http://in-process", token, "default", http)


def elsewhere(place: Place, api: Api) -> Api:
    """The member on what was restored."""
    restored = serve(place.elsewhere)
    assert restored.token is None, "it is no new server"
    restored.token = api.token
    return restored


def read(api: Api, path: str) -> bytes:
    """The content of a file, which comes by a signed address if it is large."""
    url = api.files("GET", "/download-url", params={"path": path}).json()["url"]
    return api.signed("GET", url).content


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str | None]:
    """The data folder of a server that has started once, of which a test has a copy, and the first token."""
    folder = tmp_path_factory.mktemp("started")
    return folder, start.prepare(folder)[2]


@pytest.fixture
def api(place: Place, started: tuple[Path, str | None]) -> Api:
    folder, token = started
    shutil.copytree(folder, place.folder)
    api = serve(place.folder)
    api.token = token
    return api


@pytest.fixture
def filled(api: Api, place: Place) -> Api:
    """Files in one piece and in parts, a copy, older versions, what was deleted, and an upload with a part."""
    assert api.put("runs/a.csv", b"first").status_code == 201
    assert api.put("runs/a.csv", b"second").status_code == 201
    assert api.put("gone", b"deleted").status_code == 201
    assert api.files("DELETE", "/entry", params={"path": "gone"}).status_code == 204
    assert api.upload("large", LARGE).status_code == 200
    assert api.files("POST", "/copy", json={"path": "large", "new_path": "copy"}).status_code == 201
    assert api.put("empty", b"").status_code == 201
    api.part(api.start("open", len(LARGE))["id"], 1, LARGE[:PART_SIZE])
    return api


# --- what there is, comes back


def test_a_backup_is_restored_byte_for_byte(filled: Api, place: Place) -> None:
    done = place.back_up("--keys", place.keys)
    assert done.exit_code == 0, done.output
    assert "1 uploads that are open are no part of it" in done.stderr
    folder = place.newest()
    assert {path.name for path in folder.iterdir()} == {"backup.json", "SHA256SUMS", FILE_NAME, "content"}
    assert subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder).returncode == 0
    address = filled.files("GET", "/download-url", params={"path": "large"}).json()["url"]
    first = filled.files("GET", "/versions", params={"path": "runs/a.csv"}).json()["items"]

    assert filled.put("later", b"not in it").status_code == 201
    done = place.restore("--keys", place.keys, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["files"], report["contents"], report["open_uploads"], report["damaged"]) == (4, 5, 1, [])
    assert (report["backup"], report["lost"], report["revision"]) == (str(folder), {}, HEAD)
    require_clean(place.elsewhere)
    restored = elsewhere(place, filled)
    for path, content in (("runs/a.csv", b"second"), ("large", LARGE), ("copy", LARGE), ("empty", b"")):
        assert read(restored, path) == content
    assert restored.get("later").status_code == 404
    assert restored.signed("GET", address).content == LARGE, "the keys sign what they did"
    assert restored.files("GET", "/versions", params={"path": "runs/a.csv"}).json()["items"] == first
    assert restored.get("runs/a.csv", version=first[0]["version"]).content == b"first"
    deleted = restored.files("GET", "/versions", params={"path": "gone"}).json()["items"]
    assert restored.files("POST", "/restore", json={"path": "gone", "version": deleted[0]["version"]}).status_code < 300
    assert restored.get("gone").content == b"deleted"
    upload = restored.start("open", len(LARGE))
    assert (upload["resumed"], upload["parts"]) == (False, []), "it begins anew"
    assert restored.upload("open", LARGE).status_code == 200
    open_to_others = [path for path in place.elsewhere.rglob("*") if path.stat().st_mode & 0o077]
    assert open_to_others == []


def test_what_was_copied_by_hand_is_whole_and_what_was_uploading_begins_anew(filled: Api, place: Place) -> None:
    """As the guide said before there was a command: the database by SQLite's own copy, then `content/`."""
    place.elsewhere.mkdir()
    sqlite.copy(place.folder / FILE_NAME, place.elsewhere / FILE_NAME)
    shutil.copytree(place.folder / "content", place.elsewhere / "content")
    done = run("fsck", "--deep", "-q", "--data", place.elsewhere)
    assert done.exit_code == 0, done.output
    restored = elsewhere(place, filled)
    assert read(restored, "large") == LARGE
    upload = restored.start("open", len(LARGE))
    assert (upload["resumed"], upload["parts"]) == (False, []), "no part is held that is not there"
    assert restored.files("GET", "/uploads").json()["items"] != []
    require_part = restored.part(upload["id"], 1, LARGE[:PART_SIZE])
    assert require_part["size"] == PART_SIZE


def test_what_was_completing_when_the_server_died_is_not_forgotten(filled: Api, place: Place) -> None:
    upload = filled.start("completing", 3)
    part = filled.part(upload["id"], 1, b"abc")
    with contextlib.closing(Database(place.folder / FILE_NAME)) as opened, opened.read() as session:
        row = session.scalars(sa.select(Upload).where(Upload.uid == upload["id"])).one()
    content = place.folder / "content" / row.key[:2] / row.key
    content.parent.mkdir(exist_ok=True)
    (place.folder / "uploads" / row.store_id).rename(content)  # as far as it came
    again = serve(place.folder)
    again.token = filled.token
    assert again.complete(upload["id"], [part], b"abc").status_code == 200
    assert again.get("completing").content == b"abc"


def test_what_nobody_can_read_any_more_is_not_in_it(filled: Api, place: Place) -> None:
    with contextlib.closing(Database(place.folder / FILE_NAME)) as opened:
        age(opened, 24.05)
    assert place.back_up().exit_code == 0
    assert len(files_in(place.newest() / "content")) == 3
    assert len(place.contents()) == 5, "the server's own is not touched"
    assert place.restore().exit_code == 0
    require_clean(place.elsewhere)


def test_the_operators_files_come_back_and_settings_that_name_places_are_put_aside(api: Api, place: Place) -> None:
    (place.folder / "server.toml").write_text('[storage]\nquota = "1 GB"\n')
    shutil.copy(Path(start.__file__).parent.parent / "compute" / "instance_types.toml", place.folder)
    assert place.back_up().exit_code == 0
    assert place.restore().exit_code == 0
    for name in ("server.toml", "instance_types.toml"):
        assert (place.elsewhere / name).read_bytes() == (place.folder / name).read_bytes()

    settings = place.folder.parent / "settings.toml"
    settings.write_text('[storage]\ndirectory = "content-apart"\n[keys]\ndirectory = "keys-apart"\n')
    server = place.folder.parent / "other"
    engines, _, _ = prepared(server, settings)
    engines.store.write(engines.store.new_key(), [b"nobody's"])
    done = run("backup", place.backups, "--data", server, "--config", settings, "--keys", place.keys)
    assert done.exit_code == 0, done.output
    shutil.rmtree(place.elsewhere)
    done = place.restore("--keys", place.keys)
    assert done.exit_code == 0, done.output
    assert "server.toml.restored" in done.stderr
    assert not (place.elsewhere / "server.toml").exists()
    assert (place.elsewhere / sealing.FILE_NAME).exists()
    require_clean(place.elsewhere)
    done = run("restore", place.backups, "--data", place.elsewhere.with_name("third"), "--config", settings)
    refused(done, "the folder that [storage] directory names holds content already")
    settings.write_text('[storage]\ndirectory = "content-new"\n[keys]\ndirectory = "keys-apart"\n')
    third = place.elsewhere.with_name("third")
    done = run("restore", place.backups, "--data", third, "--config", settings, "--keys", place.keys)
    assert done.exit_code == 0, done.output
    assert not (third / sealing.FILE_NAME).exists(), "they are where the settings say already"
    prepared(third, settings)


def prepared(folder: Path, settings: Path) -> tuple[Any, Any, str | None]:
    folder.mkdir(exist_ok=True)
    engines, loaded, token = start.prepare(folder, settings)
    return engines, loaded, token


# --- backups share what has not changed


def test_a_later_backup_shares_what_has_not_changed(filled: Api, place: Place) -> None:
    assert place.back_up().exit_code == 0
    first = place.newest()
    inodes = {path.name: path.stat().st_ino for path in files_in(first / "content")}
    assert filled.put("new", b"new").status_code == 201
    report = json.loads(place.back_up("--json").stdout)
    assert (report["shared"], report["contents"]) == (5, 6)
    second = place.newest()
    assert second != first
    for path in files_in(second / "content"):
        assert inodes.get(path.name) in (path.stat().st_ino, None)
        assert path.stat().st_ino not in {original.stat().st_ino for original in place.contents()}, "no hard link"
    shutil.rmtree(first)
    assert place.restore().exit_code == 0
    require_clean(place.elsewhere)


def test_where_nothing_can_be_shared_all_is_copied(filled: Api, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place.back_up().exit_code == 0

    def link(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    report = json.loads(place.back_up("--json").stdout)
    assert (report["shared"], report["contents"]) == (0, 5)
    assert place.restore().exit_code == 0
    require_clean(place.elsewhere)


@pytest.mark.parametrize("loss", ["flipped", "cut", "missing"])
def test_content_that_is_damaged_in_the_backup_before_is_copied_anew(filled: Api, place: Place, loss: str) -> None:
    assert place.back_up().exit_code == 0
    path = files_in(place.newest() / "content")[0]
    damage(path, loss)
    report = json.loads(place.back_up("--deep", "--json").stdout)
    assert report["shared"] == 4
    assert place.restore().exit_code == 0
    require_clean(place.elsewhere)


def damage(path: Path, loss: str) -> None:
    content = path.read_bytes()
    if loss == "missing":
        path.unlink()
    elif loss == "cut":
        path.write_bytes(content[:-1] or b"more")
    else:
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:] if content else b"more")


# --- content that is damaged already, or goes meanwhile


def content_of(place: Place, path: str) -> Path:
    with contextlib.closing(Database(place.folder / FILE_NAME)) as opened, opened.read() as session:
        row = session.execute(
            sa.text("SELECT v.key FROM versions v JOIN nodes n ON n.version_id = v.id WHERE n.name = :name"),
            {"name": path},
        ).one()
    key = row.key.hex() if isinstance(row.key, bytes) else row.key
    return place.folder / "content" / key[:2] / key


@pytest.mark.parametrize("loss", ["flipped", "cut", "missing"])
def test_content_that_is_damaged_already_is_named_and_all_else_is_backed_up(
    filled: Api, place: Place, loss: str
) -> None:
    damage(content_of(place, "a.csv"), loss)
    for _ in range(2):  # and what is damaged is not shared
        done = place.back_up()
        assert done.exit_code == 1
        assert done.stdout.startswith("default: 'runs/a.csv', version ")
        assert len(done.stdout.splitlines()) == 1
        assert "1 damaged or missing" in done.stderr
    done = place.restore()
    assert done.exit_code == 1
    assert done.stdout.startswith("default: 'runs/a.csv', version ")
    restored = elsewhere(place, filled)
    assert read(restored, "large") == LARGE
    damaged = json.loads(place.back_up("--json").stdout)["damaged"]
    assert len(damaged) == 1

    assert filled.put("runs/a.csv", b"whole again").status_code == 201
    with contextlib.closing(Database(place.folder / FILE_NAME)) as opened:
        age(opened, 24.05)
    assert place.back_up().exit_code == 0


def test_content_that_cannot_be_read_is_named(filled: Api, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_server.data import store

    bad = content_of(place, "a.csv").stat().st_ino
    real = store.FileContent.__iter__

    def reading(content: store.FileContent) -> Iterator[bytes]:
        if os.fstat(content.file.fileno()).st_ino == bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(content)

    monkeypatch.setattr(store.FileContent, "__iter__", reading)
    done = place.back_up()
    assert done.exit_code == 1
    assert "its content cannot be read (Input/output error)" in done.stdout


def test_a_damaged_database_is_not_backed_up(filled: Api, place: Place) -> None:
    assert place.back_up().exit_code == 0
    path = place.folder / FILE_NAME
    sqlite3.connect(path).execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    with open(path, "r+b") as file:
        file.seek(3 * 4096)
        file.write(os.urandom(4096))
    refused(place.back_up(), "nothing was backed up")
    assert len(backup_folder.complete(place.backups)) == 1


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object], times: int = 1) -> list[None]:
    """Do something after the database was copied, so many times; gives how often it was copied."""
    copied: list[None] = []
    real = sqlite.copy

    def copy(path: Path, target: Path) -> None:
        real(path, target)
        if len(copied) < times:
            happens()
        copied.append(None)

    monkeypatch.setattr(sqlite, "copy", copy)
    return copied


def test_nothing_deleted_goes_while_a_backup_copies(filled: Api, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def collect() -> None:
        assert filled.files("DELETE", "/entry", params={"path": "runs", "recursive": "true"}).status_code == 204
        refused(run("purge", "--data", place.folder), "a backup of this server is being made")
        with contextlib.closing(Database(place.folder / FILE_NAME)) as opened:
            age(opened, 25)
        assert not cleaner(place).collect()
        assert len(place.contents()) == 5

    copied = meanwhile(monkeypatch, collect)
    done = place.back_up()
    assert done.exit_code == 0, done.output
    assert len(copied) == 1
    assert place.restore().exit_code == 0
    require_clean(place.elsewhere)
    assert elsewhere(place, filled).get("runs/a.csv").content == b"second"
    collect_all(cleaner(place))
    assert len(place.contents()) == 2


def cleaner(place: Place) -> Housekeeping:
    """What clears away on the server, as in a process of it."""
    return housekeeping_on(start.prepare(place.folder)[0])


def collect_all(cleaner: Housekeeping) -> None:
    """Drop what can no longer be read, in as many slices as a busy machine takes for it."""
    assert cleaner.collect()
    while cleaner.collect():
        pass


def make_room(place: Place) -> None:
    """Drop deleted content as on a full disk."""
    with pytest.MonkeyPatch.context() as full:
        full.setattr(housekeeping, "missing_at", lambda _folder: 1 << 30)
        cleaner(place).make_room()


def test_a_backup_never_keeps_a_full_disk_full(filled: Api, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is dropped then is not missing, since the database is copied once more."""

    def fill() -> None:
        assert filled.files("DELETE", "/entry", params={"path": "runs", "recursive": "true"}).status_code == 204
        make_room(place)
        assert len(place.contents()) == 2

    copied = meanwhile(monkeypatch, fill)
    done = place.back_up()
    assert done.exit_code == 0, done.output
    assert len(copied) == 2
    assert [path.name for path in place.backups.iterdir() if not path.name.endswith("Z")] == ["backup.lock"]
    assert place.restore().exit_code == 0
    require_clean(place.elsewhere)
    assert elsewhere(place, filled).get("runs/a.csv").status_code == 404


def test_a_backup_that_content_runs_away_from_says_so(api: Api, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill() -> None:
        assert api.files("DELETE", "/entry", params={"path": "f"}).status_code == 204
        make_room(place)
        assert api.put("f", b"content").status_code == 201

    assert api.put("f", b"content").status_code == 201
    copied = meanwhile(monkeypatch, fill, 100)
    refused(place.back_up(), "content went faster than it could be copied, 5 times")
    assert len(copied) == backups.ATTEMPTS
    assert backup_folder.complete(place.backups) == []


def test_an_organization_that_is_removed_meanwhile_is_not_damaged(
    filled: Api, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove() -> None:
        with contextlib.closing(Database(place.folder / FILE_NAME)) as opened, opened.write(0) as session:
            session.execute(sa.text("UPDATE organizations SET status = 'deleting'"))
        for path in place.contents():
            path.unlink()

    meanwhile(monkeypatch, remove)
    done = place.back_up()
    assert done.exit_code == 0, done.output
    assert place.restore().exit_code == 0
    assert run("fsck", "--data", place.elsewhere).exit_code == 0


# --- a backup that was not completed


KILLED = """
import itertools, os, signal, sys
calls, number, folder, *arguments = sys.argv[1].split(","), int(sys.argv[2]), *sys.argv[3:]
count = itertools.count(1)
def dying(real):
    def call(*arguments, **options):
        if (any(folder in str(argument) for argument in arguments) or real is fsync) and next(count) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    return call
fsync = os.fsync
from edge_server.run.command import server
for name in calls:
    setattr(os, name, dying(getattr(os, name)))
server(arguments)
"""
"""Runs a command that is killed at the call of that number which writes into a folder, or forces to disk."""


def killed_at(number: int, calls: Sequence[str], folder: Path, *arguments: str | Path) -> int:
    """The exit code of a command that was to be killed, which is not that of SIGKILL if it ended before."""
    command_line = [sys.executable, "-c", KILLED, ",".join(calls), str(number), folder, *arguments, "-q"]
    ended = subprocess.run(command_line, capture_output=True, text=True)
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
    return ended.returncode


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_backup_that_is_killed_is_unfinished_and_cleared_by_the_next(filled: Api, place: Place) -> None:
    assert place.back_up().exit_code == 0
    before = place.newest()
    assert filled.put("new", b"new").status_code == 201
    codes: list[int] = []
    number = 1
    while True:
        codes.append(killed_at(number, CALLS, place.backups, "backup", place.backups, "--data", place.folder))
        number += 9
        if codes[-1] == 0:
            break
        for path in set(backup_folder.complete(place.backups)) - {before}:
            shutil.rmtree(place.elsewhere, ignore_errors=True)
            assert place.restore(source=path).exit_code == 0, "what has its name is complete"
            require_clean(place.elsewhere)
            shutil.rmtree(path)
        for path in backup_folder.unfinished(place.backups):
            refused(place.restore(source=path), "was never completed")
    assert len(codes) > 4
    assert backup_folder.unfinished(place.backups) == []
    assert len(backup_folder.complete(place.backups)) == 2
    shutil.rmtree(place.elsewhere, ignore_errors=True)
    assert place.restore().exit_code == 0
    require_clean(place.elsewhere)


def failing_at(
    number: int, real: Callable[..., Any], needs_room: Callable[..., bool]
) -> tuple[Callable[..., Any], list[int]]:
    """A call that finds the disk full at that time, and whether it has come to that."""
    calls, failed = itertools.count(1), list[int]()

    def call(*arguments: Any, **options: Any) -> Any:
        if needs_room(*arguments) and next(calls) == number:
            failed.append(number)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments, **options)

    return call, failed


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
def test_a_disk_that_is_full_at_any_call_is_a_sentence(
    filled: Api, place: Place, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place.back_up().exit_code == 0
    before = place.newest()
    assert filled.put("new", b"new").status_code == 201
    real = getattr(os, call)

    def needs_room(*arguments: Any) -> bool:
        if call == "mkdir" and os.path.isdir(arguments[0]):
            return False
        return call in ("fsync", "pwrite") or any(f"{place.backups}{os.sep}" in str(each) for each in arguments)

    number, failed = -2, [-2]
    while failed:
        number += 3
        assert number < 100
        failing, failed = failing_at(number, real, needs_room)
        with monkeypatch.context() as patched:
            patched.setattr(os, call, failing)
            done = place.back_up()
        if failed:
            refused(done, "was not completed (No space left on device)")
        assert len(set(backup_folder.complete(place.backups)) - {before}) <= (0 if failed and call != "fsync" else 1)
        for path in set(backup_folder.complete(place.backups)) - {before}:
            assert place.restore(source=path).exit_code == 0
            require_clean(place.elsewhere)
            shutil.rmtree(place.elsewhere)
            shutil.rmtree(path)
    assert number > 1
    done = place.back_up()
    assert done.exit_code == 0, done.output
    assert backup_folder.unfinished(place.backups) == []


def test_a_database_for_which_there_is_no_room_is_a_sentence(
    api: Api, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite, "copy", copy)
    refused(place.back_up(), "was not completed (database or disk is full)")


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_backup_that_is_killed_keeps_nothing_any_more(filled: Api, place: Place) -> None:
    code = killed_at(1, ["fsync"], place.backups, "backup", place.backups, "--data", place.folder)
    assert code == -signal.SIGKILL
    assert backup_folder.unfinished(place.backups) != []
    assert json.loads(run("purge", "--data", place.folder, "--json").stdout)["versions"] == 2
    assert place.back_up().exit_code == 0


def test_a_server_has_a_single_backup_at_a_time(api: Api, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    others = place.backups.with_name("others")
    sentence = "another backup of this server is being made; wait for that"
    meanwhile(monkeypatch, lambda: refused(run("backup", others, "--data", place.folder), sentence))
    assert place.back_up().exit_code == 0
    assert run("backup", others, "--data", place.folder).exit_code == 0


def test_two_backups_at_once_do_not_go_into_a_folder(api: Api, place: Place) -> None:
    place.backups.mkdir()
    with filelock.FileLock(place.backups / backup_folder.LOCK):
        refused(place.back_up(), f"another backup is being written into {place.backups}")
    assert place.back_up().exit_code == 0


def test_the_newest_backup_stays_the_newest_where_the_clock_was_set_back(
    api: Api, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    assert api.put("f", b"old").status_code == 201
    with monkeypatch.context() as ahead:
        ahead.setattr(clock, "now", lambda: now + dt.timedelta(days=400))
        assert place.back_up().exit_code == 0
    before = place.newest()
    assert api.put("f", b"new").status_code == 201
    done = place.back_up()
    assert done.exit_code == 0, done.output
    assert "The clock is behind the backup before" in done.stderr
    assert place.newest() != before
    done = place.restore()
    assert done.exit_code == 0, done.output
    assert f"is as it was at {now.year}-" in done.stderr
    assert elsewhere(place, api).get("f").content == b"new"
    require_clean(place.elsewhere)


def test_a_backup_belongs_elsewhere(api: Api, place: Place) -> None:
    refused(
        run("backup", place.folder / "b", "--data", place.folder), "is in the data folder, with which it would be lost"
    )
    refused(place.back_up("--keys", place.backups / "keys"), "a thief of one would have both")
    assert place.back_up().exit_code == 0
    refused(run("backup", place.newest(), "--data", place.folder), "is a backup itself")
    refused(run("backup", place.backups, "--data", place.elsewhere), "holds no server's data")


def test_a_server_that_has_moved_is_backed_up_where_it_is_now(filled: Api, place: Place) -> None:
    settings = place.folder.with_name("site") / "server.toml"
    settings.parent.mkdir()
    settings.touch()
    assert run("move", "--data", place.folder, "--to", settings, "--drop-uploads").exit_code == 0
    refused(place.back_up(), f"the server of {place.folder} has moved at")
    assert not place.backups.exists()
    assert run("backup", place.backups, "--data", settings.parent, "--keys", place.keys).exit_code == 0
    refused(run("restore", place.backups, "--data", place.folder), "has moved at")
    done = place.restore("--keys", place.keys)
    assert done.exit_code == 0, done.output
    require_clean(place.elsewhere)
    assert read(elsewhere(place, filled), "large") == LARGE


# --- what cannot be restored


@pytest.fixture
def backed_up(filled: Api, place: Place) -> Path:
    assert place.back_up().exit_code == 0
    return place.newest()


def rewrite(folder: Path, **changes: Any) -> None:
    """Change what a backup says of itself."""
    path = folder / backup_folder.ABOUT
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_is_no_backup_is_refused(backed_up: Path, place: Place) -> None:
    refused(place.restore(source=place.folder), "holds no backup")
    unfinished = place.backups / f"{backed_up.name}{backup_folder.UNFINISHED}"
    backed_up.rename(unfinished)
    refused(place.restore(), "holds no backup but such that were never completed")
    refused(place.restore(source=unfinished), "is a backup that was never completed")
    unfinished.rename(backed_up)
    (backed_up / backup_folder.ABOUT).write_text("{")
    refused(place.restore(), "cannot be read as that of a backup")
    assert not place.elsewhere.exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"format": 2, "version": "9.1"}, "is a backup of version 9.1"),
        ({"revision": "9999", "needed_revision": "9998", "version": "9.1"}, "is at revision 9999, where this version"),
        ({"damaged": ["../../etc/passwd"]}, "names '../../etc/passwd', which no backup has"),
        ({"sums_sha256": "0"}, "SHA256SUMS is not what was backed up"),
        ({"database_sha256": "0"}, "edge.sqlite3 is not what was backed up"),
        ({"damaged": 1}, "cannot be read as that of a backup"),
        ({"more": 1}, "cannot be read as that of a backup"),
    ],
)
def test_a_backup_that_cannot_be_restored_is_a_sentence(
    backed_up: Path, place: Place, changes: dict[str, Any], sentence: str
) -> None:
    rewrite(backed_up, **changes)
    refused(place.restore(), sentence)
    assert not place.elsewhere.exists(), "nothing was begun"


def test_a_backup_of_a_newer_version_that_only_adds_is_restored(backed_up: Path, place: Place) -> None:
    rewrite(backed_up, revision="9999", needed_revision=HEAD)
    assert place.restore().exit_code == 0


@pytest.mark.parametrize("name", [FILE_NAME, backup_folder.SUMS])
@pytest.mark.parametrize("loss", ["flipped", "cut", "missing"])
def test_a_backup_that_was_changed_is_a_sentence(backed_up: Path, place: Place, name: str, loss: str) -> None:
    damage(backed_up / name, loss)
    refused(place.restore(), "choose another backup")
    assert not place.elsewhere.exists()


def test_no_backup_leads_out_of_its_folder(backed_up: Path, place: Place) -> None:
    sums = backed_up / backup_folder.SUMS
    sums.write_text(sums.read_text() + f"{'0' * 64}  ../../outside.toml\n")
    rewrite(backed_up, sums_sha256=hashlib.sha256(sums.read_bytes()).hexdigest())
    refused(place.restore(), "names '../../outside.toml', which no backup has")


@pytest.mark.parametrize("loss", ["flipped", "cut", "missing"])
def test_content_that_was_lost_in_the_backup_is_named_and_all_else_restored(
    filled: Api, backed_up: Path, place: Place, loss: str
) -> None:
    path = content_of(place, "a.csv")
    damage(backed_up / "content" / path.parent.name / path.name, loss)
    done = place.restore()
    assert done.exit_code == 1
    assert done.stdout.startswith("default: 'runs/a.csv', version ")
    assert len(done.stdout.splitlines()) == 1
    assert read(elsewhere(place, filled), "copy") == LARGE
    done = run("fsck", "--deep", "--data", place.elsewhere)
    assert "default: 'runs/a.csv'" in done.output


def test_a_restore_takes_an_empty_folder_alone(backed_up: Path, place: Place) -> None:
    before = {path: path.read_bytes() for path in files_in(place.folder)}
    refused(run("restore", place.backups, "--data", place.folder), "holds a server's data already")
    with data_folder.locked(place.folder):
        refused(run("restore", place.backups, "--data", place.folder), "a server is running on")
    assert {path: path.read_bytes() for path in files_in(place.folder) if path in before} == before
    place.elsewhere.mkdir()
    (place.elsewhere / "mine").touch()
    refused(place.restore(), "holds other things than a server's data")
    (place.elsewhere / "mine").unlink()
    assert place.restore().exit_code == 0


def test_no_server_starts_on_what_was_half_restored(
    backed_up: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", fail)
        refused(place.restore(), "No space left on device")
    for arguments in (("run", "--port", "0"), ("migrate",), ("fsck",), ("check",), ("backup", place.backups)):
        done = run(*arguments, "--data", place.elsewhere)
        assert done.exit_code == 1
        assert "was not completed; remove that folder and restore once more" in done.output
    refused(place.restore(), "was not completed; remove that folder and restore once more")
    shutil.rmtree(place.elsewhere)
    assert place.restore().exit_code == 0


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_restore_that_is_killed_is_clearly_not_complete(filled: Api, backed_up: Path, place: Place) -> None:
    codes: list[int] = []
    while not codes or codes[-1] != 0:
        shutil.rmtree(place.elsewhere, ignore_errors=True)
        number = 1 + 7 * len(codes)
        codes.append(killed_at(number, CALLS, place.elsewhere, "restore", place.backups, "--data", place.elsewhere))
        if (place.elsewhere / data_folder.RESTORING).exists():
            assert codes[-1] == -signal.SIGKILL
            refused(run("run", "--port", "0", "--data", place.elsewhere), "was not completed; remove that folder")
            refused(place.restore(), "was not completed; remove that folder and restore once more")
        elif (place.elsewhere / FILE_NAME).exists():
            require_clean(place.elsewhere)
            assert read(elsewhere(place, filled), "large") == LARGE
    assert len(codes) > 4


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
def test_a_restore_onto_a_disk_that_is_full_at_any_call_is_a_sentence(
    filled: Api, backed_up: Path, place: Place, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(os, call)

    def needs_room(*arguments: Any) -> bool:
        if (call == "mkdir" and os.path.isdir(arguments[0])) or (call == "open" and not arguments[1] & os.O_CREAT):
            return False
        return call in ("fsync", "pwrite") or any(str(place.elsewhere) in str(each) for each in arguments)

    number, failed = -1, [-1]
    while failed:
        number += 2
        shutil.rmtree(place.elsewhere, ignore_errors=True)
        failing, failed = failing_at(number, real, needs_room)
        with monkeypatch.context() as patched:
            patched.setattr(os, call, failing)
            done = place.restore()
        if failed:
            refused(done, "No space left on device")
        elif done.exit_code == 0:
            require_clean(place.elsewhere)
    assert done.exit_code == 0, done.output
    assert read(elsewhere(place, filled), "large") == LARGE


def test_a_folder_has_a_single_restore_at_a_time(
    filled: Api, backed_up: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nobody is told to remove what another operator restores just now."""
    attempts: list[None] = []
    real = FolderStore.fill

    def fill(store: FolderStore, *arguments: Any) -> Any:
        if not attempts:
            attempts.append(None)
            for command_line in (["restore", place.backups], ["run", "--port", "0"], ["fsck"], ["backup", place.keys]):
                refused(run(*command_line, "--data", place.elsewhere), f"a restore into {place.elsewhere} is running")
        return real(store, *arguments)

    monkeypatch.setattr(FolderStore, "fill", fill)
    done = place.restore()
    assert done.exit_code == 0, done.output
    assert attempts
    require_clean(place.elsewhere)


def test_a_backup_of_an_older_version_is_migrated_at_the_next_start(place: Place, tmp_path: Path) -> None:
    folder = place.backups / "20260101T000000000000Z"
    folder.mkdir(parents=True)
    with contextlib.closing(Database(folder / FILE_NAME)) as older:
        config = own_history().config()
        with older.write_connection() as connection:
            config.attributes["connection"] = connection
            alembic.upgrade(config, "0020")
    digest = backup_folder.digest_of(folder / FILE_NAME)
    (folder / backup_folder.SUMS).write_text(f"{digest}  {FILE_NAME}\n")
    about = backup_folder.About(
        version="0.0.1", revision="0020", needed_revision="0020", created_at="2026-01-01T00:00:00+00:00",
        organizations=0, users=0, files=0, contents=0, content_bytes=0, open_uploads=0, damaged=[],
        database_sha256=digest, sums_sha256=backup_folder.digest_of(folder / backup_folder.SUMS),
    )  # fmt: skip
    (folder / backup_folder.ABOUT).write_bytes(about.dump())
    assert place.restore().exit_code == 0
    with contextlib.closing(Database(place.elsewhere / FILE_NAME)) as opened:
        assert opened.revision() == "0020"
    start.prepare(place.elsewhere)
    require_clean(place.elsewhere)


# --- keys


@pytest.fixture
def secretive(api: Api) -> Api:
    for owner, name in (("organization", "door"), ("user", "own")):
        answer = api.call("POST", f"/v1/orgs/default/secrets/{owner}", json={"name": name, "content": {"a": 1}})
        assert answer.status_code == 201, answer.text
    return api


def secret(api: Api) -> Any:
    return api.call("GET", "/v1/orgs/default/secrets/organization/door").json()["content"]


def test_without_its_keys_a_restore_says_what_is_lost(secretive: Api, place: Place) -> None:
    done = place.back_up()
    assert "It has no keys, without which secrets and passwords in it are lost" in done.stderr
    assert not any(path.suffix in (".key", ".keys") for path in files_in(place.backups))
    done = place.restore()
    assert done.exit_code == 0, done.output
    assert "Without its key, 2 of the table secrets of default cannot be opened: door, own of admin." in done.stderr
    assert "rotate-keys --lost" in done.stderr
    shown = json.loads(run("restore", place.backups, "--data", place.folder.with_name("third"), "--json").stdout)
    assert shown["lost"] == {"secrets": {"default": ["door", "own of admin"]}}
    refused(run("run", "--port", "0", "--data", place.elsewhere), "is missing, without which nothing that is sealed")
    shutil.copy(place.folder / sealing.FILE_NAME, place.elsewhere)
    assert secret(elsewhere(place, secretive)) == {"a": 1}


def test_keys_are_kept_apart_and_for_each_backup(secretive: Api, place: Place) -> None:
    assert place.back_up("--keys", place.keys).exit_code == 0
    first = place.newest()
    assert run("rotate-keys", "--data", place.folder, "--keep-days", "0").exit_code == 0
    assert place.back_up("--keys", place.keys).exit_code == 0
    for path in backup_folder.complete(place.backups):
        shutil.rmtree(place.elsewhere, ignore_errors=True)
        done = place.restore("--keys", place.keys, source=path)
        assert "lost" not in done.stderr
        assert secret(elsewhere(place, secretive)) == {"a": 1}
    assert (place.elsewhere / signing.FILE_NAME).read_bytes() == (place.folder / signing.FILE_NAME).read_bytes()
    shutil.rmtree(place.elsewhere)
    done = place.restore("--keys", place.keys / place.newest().name, source=first)
    assert "cannot be opened" not in done.stderr, "a replaced key stays in the file for a while"
    shutil.rmtree(place.elsewhere)
    refused(place.restore("--keys", place.backups), "has neither keys nor a folder")
    assert not place.elsewhere.exists()


def test_keys_of_another_server_and_what_is_no_key_file(secretive: Api, place: Place, tmp_path: Path) -> None:
    assert place.back_up().exit_code == 0
    others = tmp_path / "others"
    start.prepare(others)
    shutil.copytree(others, place.keys, ignore=lambda _, names: [name for name in names if "key" not in name])
    done = place.restore("--keys", place.keys)
    assert done.exit_code == 0, done.output
    assert "Without its key, 2 of the table secrets of default cannot be opened: door, own of admin." in done.stderr
    shutil.rmtree(place.elsewhere)
    (place.keys / sealing.FILE_NAME).write_text("no keys")
    refused(place.restore("--keys", place.keys), sealing.FILE_NAME)
    assert not place.elsewhere.exists()


def test_a_server_without_its_keys_is_backed_up_all_the_same(secretive: Api, place: Place) -> None:
    assert secretive.put("f", b"content").status_code == 201
    keys = (place.folder / sealing.FILE_NAME).read_bytes()
    (place.folder / sealing.FILE_NAME).unlink()
    done = place.back_up("--keys", place.keys)
    assert done.exit_code == 0, done.output
    assert "The server has no sealing.keys, without which secrets and passwords in the backup are lost" in done.stderr
    done = place.restore("--keys", place.keys)
    assert "Without its key, 2 of the table secrets of default cannot be opened: door, own of admin." in done.stderr
    (place.elsewhere / sealing.FILE_NAME).write_bytes(keys)
    assert secret(elsewhere(place, secretive)) == {"a": 1}


def test_a_restore_takes_no_folder_of_keys(secretive: Api, place: Place) -> None:
    """Whose restore is interrupted is told to remove the folder."""
    assert place.back_up().exit_code == 0
    place.elsewhere.mkdir()
    for name in (sealing.FILE_NAME, signing.FILE_NAME):
        shutil.copy(place.folder / name, place.elsewhere)
    refused(place.restore(), "holds keys; move them into a folder elsewhere, and name that with --keys")
    place.elsewhere.rename(place.keys)
    done = place.restore("--keys", place.keys)
    assert "cannot be opened" not in done.stderr
    assert secret(elsewhere(place, secretive)) == {"a": 1}


def test_what_another_keeper_has_sealed_needs_no_key_file(secretive: Api, place: Place) -> None:
    """Nor is that one asked, for a backup or for a restore."""
    settings = place.folder / "server.toml"
    with silence() as (address, taken):
        settings.write_text(settings_of(Engine(address, "edge", role_id="r", secret_id="s")))
        settings.chmod(0o600)
        sealed_elsewhere(place, Secret.name == "own")
        assert "It has no keys" in place.back_up().stderr
        assert "Without its key, 1 of the table secrets of default cannot be opened: door." in place.restore().stderr

        sealed_elsewhere(place, Secret.name == "door")
        (place.folder / sealing.FILE_NAME).unlink()
        report = json.loads(place.back_up("--keys", place.keys, "--json").stdout)
        assert report["sealed"] is False
        assert [path.name for path in files_in(place.keys)] == [signing.FILE_NAME]
        shutil.rmtree(place.elsewhere)
        report = json.loads(place.restore("--keys", place.keys, "--json").stdout)
        assert report["lost"] == {}
        assert taken == []
    assert (place.elsewhere / signing.FILE_NAME).read_bytes() == (place.folder / signing.FILE_NAME).read_bytes()
    start.prepare(place.elsewhere)
    assert not (place.elsewhere / sealing.FILE_NAME).exists()


def sealed_elsewhere(place: Place, condition: sa.ColumnElement[bool]) -> None:
    """Have secrets look as if a transit engine had sealed them."""
    with contextlib.closing(Database(place.folder / FILE_NAME)) as opened, opened.write(SERVER) as session:
        session.execute(sa.update(Secret).where(condition).values(sealed=transit.FORMAT + bytes(40)))


# --- plugins


def test_what_plugins_keep_is_in_it_whether_or_not_they_are_loaded(
    plots: Api,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Place(tmp_path)
    done = place.back_up()
    assert done.exit_code == 0, done.output
    (path,) = files_in(place.newest() / "subsystems")
    assert path.read_bytes() == b"a plot"
    (original,) = files_in(place.folder / "subsystems")
    original.unlink()
    assert place.back_up().exit_code == 0, "the backup before has it"
    shutil.rmtree(place.backups)
    done = place.back_up()
    assert done.exit_code == 1
    assert done.stdout == "table lab_plots, row 1: the content that key names is missing\n"
    original.write_bytes(b"a plot")
    shutil.rmtree(place.backups)
    with monkeypatch.context() as switched_off:
        switched_off.setenv("EDGE_DISABLE_PLUGINS", "lab-plugin")
        assert place.back_up().exit_code == 0
        assert place.restore().exit_code == 0
    assert [path.read_bytes() for path in files_in(place.elsewhere / "subsystems")] == [b"a plot"]
    require_clean(place.elsewhere)


# --- other engines


def test_postgresql_and_buckets_are_backed_up_by_their_own_means(
    place: Place, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = {"EDGE_SERVER_STORAGE_KIND": "s3", "EDGE_SERVER_STORAGE_BUCKET": "edge"}
    with monkeypatch.context() as patched:
        patched.setenv("EDGE_SERVER_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/edge")
        sentence = "the database is on PostgreSQL, which this command does not copy: copy the database by pg_dump"
        refused(place.back_up(), f"{sentence} and then, within a day, the folder of content")
    assert place.back_up().exit_code == 0
    for name, setting in bucket.items():
        monkeypatch.setenv(name, setting)
    refused(place.back_up(), "the content is in a bucket, which this command does not copy")
    refused(place.restore(), "then, within a day, the bucket by its store's own means")
    assert not place.elsewhere.exists()


# --- under load


@pytest.mark.slow
def test_a_backup_under_load_is_whole(tmp_path: Path) -> None:
    place = Place(tmp_path)
    server = EdgeServer(place.folder)
    server.start("--workers", "2")
    token = server.create_token("admin")
    stopped = threading.Event()
    failures: list[object] = []
    done = [0] * 3

    def content_of_round(client_number: int, round_: int) -> bytes:
        return hashlib.sha256(b"%d %d" % (client_number, round_)).digest() * (1 + round_ % 50)

    def work(number: int) -> None:
        own = client(server, token, "default")
        try:
            for round_ in range(100_000):
                if stopped.is_set():
                    return
                path = f"client-{number}/{round_ % 20}"
                answer = own.put(path, content_of_round(number, round_))
                assert answer.status_code in (200, 201), answer.text
                if round_ % 5 == 4:
                    answer = own.files("DELETE", "/entry", params={"path": f"client-{number}/{(round_ - 3) % 20}"})
                    assert answer.status_code == 204, answer.text
                done[number] += 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(len(done))]
    with contextlib.closing(server):
        assert client(server, token, "default").put("unchanged", b"shared").status_code == 201
        for thread in threads:
            thread.start()
        for _ in range(2):
            enough = min(done) + 10
            wait_for(lambda enough=enough: failures or min(done) >= enough)
            outcome = back_up_beside_purges(place)
        stopped.set()
        for thread in threads:
            thread.join()
        close_all()
    assert failures == []
    assert outcome["shared"] > 0
    for path in backup_folder.complete(place.backups):
        shutil.rmtree(place.elsewhere, ignore_errors=True)
        assert place.restore(source=path).exit_code == 0
        require_clean(place.elsewhere)
    restored = EdgeServer(place.elsewhere)
    restored.start()
    with contextlib.closing(restored):
        own = client(restored, token, "default")
        for number in range(len(done)):
            names = own.names(f"client-{number}")
            assert names
            for name in names:
                rounds = range(int(name), done[number] + 1, 20)
                assert own.get(f"client-{number}/{name}").content in [content_of_round(number, each) for each in rounds]
        close_all()


def process(*arguments: str | Path) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    command_line = [sys.executable, "-m", "edge_server", *map(str, arguments)]
    return subprocess.Popen(command_line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def back_up_beside_purges(place: Place) -> Any:
    """Back up in a process of its own, and purge again and again until it ends; gives what it prints."""
    with process("backup", place.backups, "--data", place.folder, "--json") as backing_up:
        while backing_up.poll() is None:
            purging = run("purge", "--data", place.folder)
            assert purging.exit_code == 0 or "a backup of this server is being made" in purging.output, purging.output
        printed, complaint = backing_up.communicate()
    assert backing_up.returncode == 0, complaint
    return json.loads(printed)
