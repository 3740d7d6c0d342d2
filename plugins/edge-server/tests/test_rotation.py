"""Rotating the keys: everything is sealed anew while everybody goes on, and a crash loses nothing."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime as dt
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from sqlalchemy.orm import Session

from edge_core.errors import NotFound
from edge_core.session import EdgeSession
from edge_server.base import clock
from edge_server.data import database
from edge_server.data.database import SERVER, Database
from edge_server.identity.models import Organization, User
from edge_server.keys import rotation, sealing
from edge_server.keys.rotation import BATCH, KEPT, UNDER_WAY, rotate
from edge_server.keys.sealed_column import SealedColumn
from edge_server.keys.sealing import BadKeyFile, FileSealer, KeyFile, Unsealable, key_id
from edge_server.keys.signing import Signer
from edge_server.run import app, start
from edge_server.run.command import server as command
from edge_server.secrets.models import Secret
from edge_server.secrets.vault import Vault, place
from edge_server.testing.local_server import EdgeServer

from .bringing import Bring
from .engines import is_postgresql, sqlite_only
from .stores import environment_of

COLUMNS: list[SealedColumn] = start.sealed_columns(
    app.load(app.engines_at(Path("no-folder"), Signer(b"")), plugins=False)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder without a server."""
    folder_ = tmp_path / "data"
    folder_.mkdir()
    start.prepare(folder_)
    return folder_


@pytest.fixture
def opened(folder: Path) -> Iterator[Database]:
    opened_database = Database(folder / database.FILE_NAME)
    yield opened_database
    opened_database.close()


@pytest.fixture
def file(folder: Path) -> KeyFile:
    return KeyFile(folder / sealing.FILE_NAME)


def vault(file: KeyFile) -> Vault:
    return Vault(SealedColumn(Secret.sealed, place, FileSealer(file)))


def keep(session: Session, file: KeyFile, count: int, *, first: int = 0) -> None:
    """Keep `count` secrets, by turns of the organization and of its user."""
    organization, user = session.get_one(Organization, 1), session.get_one(User, 1)
    for n in range(first, first + count):
        owner = user.id if n % 2 else None
        prepared = vault(file).prepare(session, organization.id, owner, f"secret-{n}", {"n": n})
        vault(file).create(session, organization.id, owner, f"secret-{n}", prepared)


def contents(opened: Database, file: KeyFile) -> list[int]:
    """What all secrets hold, opened with the keys there are now."""
    with opened.read() as session:
        rows = list(session.scalars(sa.select(Secret).order_by(Secret.id)))
        return [vault(file).content(row)["n"] for row in rows]


def keys_in_use(opened: Database) -> set[bytes]:
    with opened.read() as session:
        return {key_id(blob) for blob in session.scalars(sa.select(Secret.sealed))}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH])
def test_everything_is_sealed_with_the_new_key(opened: Database, file: KeyFile, count: int) -> None:
    with opened.write(SERVER) as session:
        keep(session, file, count)
    old = file.read().newest
    done = rotate(opened, file, COLUMNS)
    assert done == rotation.Rotation(file.path, resealed=count, stuck=0, kept=1, removed=0)
    assert keys_in_use(opened) <= {file.read().newest.id}
    assert contents(opened, file) == list(range(count))
    ring = file.read()
    assert [key.id for key in ring.keys] == [old.id, ring.newest.id]
    assert ring.keys[0].retired_at is not None
    assert ring.newest.retired_at is None


def test_a_rotation_changes_nothing_else_of_a_row(opened: Database, file: KeyFile) -> None:
    def seen() -> list[Any]:
        columns = [column for column in Secret.__table__.columns if column.name != "sealed"]
        with opened.read() as session:
            return list(session.execute(sa.select(*columns)).all())

    with opened.write(SERVER) as session:
        keep(session, file, 3)
    before = seen()
    rotate(opened, file, COLUMNS)
    assert seen() == before


def test_every_sealed_column_is_rotated() -> None:
    """Whoever adds a column of bytes says here or by `Context.sealed` what it is."""
    from edge_server.data.declarative import Base

    named = {(sealed.column.class_.__tablename__, sealed.column.key) for sealed in COLUMNS}
    # Never an answer that holds a secret, and digests.
    clear = {("idempotency_keys", "body"), ("receipts", "body"), ("part_digests", "digests")}
    binary = {
        (table.name, column.name)
        for table in Base.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, sa.LargeBinary)
    }
    assert binary - clear == named


def test_old_keys_stay_as_long_as_copies_may_need_them(
    opened: Database, file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened.write(SERVER) as session:
        keep(session, file, 3)
    first = file.read().newest
    with opened.read() as session:
        copy = list(session.scalars(sa.select(Secret)))
        for row in copy:
            place(row)  # what lies in other tables
        rotate(opened, file, COLUMNS)
    now = clock.now
    moment = [now()]
    monkeypatch.setattr(clock, "now", lambda: moment[0])

    moment[0] = now() + KEPT - dt.timedelta(minutes=1)
    assert rotate(opened, file, COLUMNS).removed == 0
    assert [vault(file).content(row)["n"] for row in copy] == [0, 1, 2]
    moment[0] = now() + KEPT + dt.timedelta(minutes=1)
    done = rotate(opened, file, COLUMNS)
    assert (done.removed, done.kept) == (1, 2)
    assert file.read().find(first.id) is None
    with pytest.raises(Unsealable):
        vault(file).content(copy[0])
    assert contents(opened, file) == [0, 1, 2]


def test_a_key_that_a_request_may_still_need_stays_whatever_the_option(
    opened: Database, file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened.write(SERVER) as session:
        keep(session, file, 3)
    for n in range(1, 4):
        assert rotate(opened, file, COLUMNS, kept=dt.timedelta(0)).kept == n
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + UNDER_WAY + dt.timedelta(seconds=1))
    # All but the one that this rotation found in use.
    assert rotate(opened, file, COLUMNS, kept=dt.timedelta(0)) == rotation.Rotation(
        file.path, resealed=3, stuck=0, kept=1, removed=3
    )
    assert contents(opened, file) == [0, 1, 2]


def test_a_key_in_use_after_it_was_replaced_is_not_removed(
    opened: Database, file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a rotation that was killed long ago, or by a writer that outlasted one."""
    with opened.write(SERVER) as session:
        keep(session, file, 1)
    first = file.read().newest
    rotate(opened, file, COLUMNS)
    with opened.write(SERVER) as session:
        late = session.scalars(sa.select(Secret)).one()
        ring = file.read()
        monkeypatch.setattr(KeyFile, "read", lambda self: dataclasses.replace(ring, seals=first.id))
        vault(file).replace(session, late, vault(file).prepare(session, 1, late.user_id, late.name, {"n": 7}))
        monkeypatch.undo()
    assert keys_in_use(opened) == {first.id}
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + 2 * KEPT)
    rotate(opened, file, COLUMNS)
    assert file.read().find(first.id) is not None
    assert contents(opened, file) == [7]


def test_what_cannot_be_opened_is_named_and_keeps_its_key(
    opened: Database, file: KeyFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened.write(SERVER) as session:
        keep(session, file, 3)
        session.execute(sa.update(Secret).where(Secret.id == 2).values(name="moved"))
    first = file.read().newest
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + 2 * KEPT)
    for _ in range(2):
        done = run("rotate-keys", "--data", folder, "--keep-days", "0")
        assert done.exit_code == 1
        assert "2 contents were sealed anew" in done.output
        assert "1 contents could not be opened and stay as they are; the lines above name them" in done.output
        now += 2 * KEPT
    assert "'moved' of secrets/user/" in done.output
    assert file.read().find(first.id) is not None
    with opened.write(SERVER) as session:
        session.execute(sa.update(Secret).where(Secret.id == 2).values(name="secret-1"))
    assert contents(opened, file) == [0, 1, 2]
    assert rotate(opened, file, COLUMNS).stuck == 0


def test_rotations_do_not_run_at_once(folder: Path, file: KeyFile) -> None:
    with file.locked():
        done = run("rotate-keys", "--data", folder)
    assert done.exit_code == 1
    assert "are being rotated already; wait for that" in done.output
    assert len(file.read().keys) == 1


def test_the_command_says_what_it_did(folder: Path, opened: Database, file: KeyFile) -> None:
    with opened.write(SERVER) as session:
        keep(session, file, 2)
    done = run("rotate-keys", "--data", folder)
    assert done.exit_code == 0
    assert done.output == (
        "A new key seals; 2 contents were sealed anew. Older keys: 1 stay for copies of the database, 0 were removed. "
        f"Back up {file.path} now.\n"
    )


@sqlite_only("a folder without a file")
def test_the_command_refuses_a_folder_that_is_not_there(tmp_path: Path) -> None:
    done = run("rotate-keys", "--data", tmp_path / "nothing")
    assert done.exit_code == 1
    assert "holds no server's data; name its folder with --data" in done.output
    assert not (tmp_path / "nothing").exists()


def test_the_command_refuses_what_it_cannot_rotate(folder: Path, opened: Database) -> None:
    there = run("rotate-keys", "--data", folder, "--lost")
    assert "is there; rotate the keys without --lost" in there.output
    with opened.write_connection() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    older = run("rotate-keys", "--data", folder)
    assert "is at revision 0001" in older.output
    assert [done.exit_code for done in (there, older)] == [1, 1]


@sqlite_only("a database that no other host may be using")
def test_without_its_key_file_a_server_does_not_start(folder: Path, opened: Database, file: KeyFile) -> None:
    file.path.unlink()
    start.prepare(folder)  # nothing was sealed yet
    with opened.write(SERVER) as session:
        keep(session, file, 2)
    kept = file.path.read_bytes()
    file.path.unlink()
    with pytest.raises(BadKeyFile, match=r"is missing, .* put it back from its backup, or, if it is lost for good"):
        start.prepare(folder)
    assert not file.path.exists()
    checked = run("check", "--data", folder)
    assert checked.exit_code == 1
    assert "is missing, without which nothing that is sealed in the database can be read" in checked.output
    started = run("run", "--data", folder, "--port", "0")
    assert started.exit_code == 1
    assert "edge server rotate-keys --lost" in started.output
    assert "put it back from its backup" in run("rotate-keys", "--data", folder).output
    file.path.write_bytes(kept)
    file.path.chmod(0o600)
    start.prepare(folder)
    assert contents(opened, file) == [0, 1]


def test_a_lost_key_file_can_be_abandoned(folder: Path, opened: Database, file: KeyFile) -> None:
    with opened.write(SERVER) as session:
        keep(session, file, 2)
    file.path.unlink()
    done = run("rotate-keys", "--data", folder, "--lost")
    assert (done.exit_code, len(file.read().keys)) == (0, 1)
    assert "2 of the table secrets of " in done.output
    assert "cannot be opened: secret-0, secret-1 of admin." in done.output
    assert "0 contents were sealed anew. Older keys: none, they are lost. Back up " in done.output
    assert "put back the file" not in done.output
    start.prepare(folder)
    with opened.write(SERVER) as session:
        keep(session, file, 1, first=2)
        for row in session.scalars(sa.select(Secret).where(Secret.id < 3)):
            session.delete(row)
    assert contents(opened, file) == [2]


def test_a_key_file_that_others_can_read_stops_the_start(folder: Path, file: KeyFile) -> None:
    file.path.chmod(0o644)
    with pytest.raises(BadKeyFile, match="run `chmod 600`"):
        start.prepare(folder)


LABORATORY = """
plugin_api = 1
from pathlib import Path
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Note(Base):
    __tablename__ = "lab_notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str]
    organization_id: Mapped[int]
    text: Mapped[bytes]

def server(context):
    context.sealed(Note.text)
    return context.subsystem(metadata=Base.metadata, migrations=Path(__file__).parent / "lab_migrations")
"""

NOTES = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0001", None
def upgrade():
    op.create_table(
        "lab_notes",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("organization_id", sa.Integer, sa.ForeignKey("organizations.id", ondelete="CASCADE"), nullable=False),
        sa.Column("text", sa.LargeBinary, nullable=False),
    )
"""


def test_no_key_goes_while_a_plugin_is_away_whose_tables_are_there(
    bring: Bring, folder: Path, opened: Database, file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(LABORATORY, NOTES)
    if is_postgresql():
        start.migrate_only(folder)
    start.prepare(folder)
    place = {"organization": "1", "owner": "lab/lab_notes/text", "name": "plot"}
    with opened.write(SERVER) as session:
        insertion = sa.text("INSERT INTO lab_notes (uid, organization_id, text) VALUES ('plot', 1, :text)")
        session.execute(insertion, {"text": FileSealer(file).seal(b"a note", **place)})
    first = file.read().newest
    monkeypatch.setenv("EDGE_DISABLE_PLUGINS", "lab-plugin")
    now = clock.now()
    for n in range(1, 3):
        monkeypatch.setattr(clock, "now", lambda later=now + 2 * n * KEPT: later)
        done = run("rotate-keys", "--data", folder)
        assert done.exit_code == 0
        assert done.output == (
            f"A new key seals; 0 contents were sealed anew. Older keys: all {n} stay, since the database has tables of "
            "lab, whose plugin is not loaded; install it or switch it on and rotate again, or drop its tables if it "
            f"never comes back. Back up {file.path} now.\n"
        )
    assert file.read().find(first.id) is not None
    monkeypatch.delenv("EDGE_DISABLE_PLUGINS")
    monkeypatch.setattr(clock, "now", lambda: now + 6 * KEPT)
    done = run("rotate-keys", "--data", folder)
    assert "1 contents were sealed anew. Older keys: 2 stay for copies of the database, 1 were removed." in done.output
    with opened.read() as session:
        assert FileSealer(file).open(session.scalars(sa.text("SELECT text FROM lab_notes")).one(), **place) == b"a note"


# --- others at work -------------------------------------------------------------------------------


def test_what_is_sealed_before_and_after_the_new_key_is_sealed_anew(opened: Database, file: KeyFile) -> None:
    """A writer that took the old key holds the rotation up until its blob can be seen."""
    with opened.write(SERVER) as session:
        keep(session, file, 1)
    sealed, go_on = threading.Event(), threading.Event()

    def write() -> None:
        with opened.write(SERVER) as session:
            keep(session, file, 1, first=1)
            sealed.set()
            go_on.wait(60)

    with concurrent.futures.ThreadPoolExecutor() as threads:
        writer = threads.submit(write)
        sealed.wait(60)
        rotating = threads.submit(rotate, opened, file, COLUMNS)
        while len(file.read().keys) < 2:
            time.sleep(0.01)
        assert not rotating.done()
        go_on.set()
        writer.result()
        assert rotating.result().resealed == 2
    assert keys_in_use(opened) == {file.read().newest.id}
    assert contents(opened, file) == [0, 1]


def test_a_blob_that_was_read_before_a_rotation_opens_after_it(opened: Database, file: KeyFile) -> None:
    with opened.write(SERVER) as session:
        keep(session, file, 2)
    with opened.read() as session:
        rows = list(session.scalars(sa.select(Secret)))
        for _ in range(3):
            rotate(opened, file, COLUMNS, kept=dt.timedelta(0))
        assert [vault(file).content(row)["n"] for row in rows] == [0, 1]


@pytest.mark.parametrize("step", ["_write", "_batch", "keep"])
def test_killed_anywhere_it_can_be_run_again(
    opened: Database, file: KeyFile, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    count = 2 * BATCH + 1
    with opened.write(SERVER) as session:
        keep(session, file, count)
    where: Any = rotation if step == "_batch" else KeyFile
    real, left = getattr(where, step), [0]

    def die(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(where, step, die)
    for nth in range(1, {"_write": 4, "_batch": 4, "keep": 2}[step]):
        left[0] = nth
        with pytest.raises(KeyboardInterrupt):
            rotate(opened, file, COLUMNS, kept=dt.timedelta(0))
        assert contents(opened, file) == list(range(count))
    left[0] = 0
    rotate(opened, file, COLUMNS, kept=dt.timedelta(0))
    assert keys_in_use(opened) == {file.read().newest.id}
    assert contents(opened, file) == list(range(count))


STOPPING = """
import signal, sys
from edge_server.keys import rotation
from edge_server.run.command import server

at, nth = sys.argv.pop(1), int(sys.argv.pop(1))
owner = rotation if at == "_batch" else rotation.KeyFile
step = getattr(owner, at)

def stopped_before(*arguments):
    global nth
    nth -= 1
    if nth < 0:
        print("there", flush=True)
        signal.pause()
    return step(*arguments)

setattr(owner, at, stopped_before)
server()
"""
"""Rotates, and waits to be killed before the call with the number `nth` of a step."""


@pytest.mark.slow
@pytest.mark.parametrize(("step", "number"), [("renew", 0), ("_batch", 1), ("_batch", 4), ("keep", 0)])
def test_killed_by_the_system_it_can_be_run_again(
    folder: Path, opened: Database, file: KeyFile, step: str, number: int
) -> None:
    count = 5 * BATCH
    with opened.write(SERVER) as session:
        keep(session, file, count)
    options = ["rotate-keys", "--data", str(folder), "--keep-days", "0"]
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPING, step, str(number), *options],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment_of(folder),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)

    assert len(keys_in_use(opened)) == (2 if step == "_batch" else 1)
    assert contents(opened, file) == list(range(count))
    assert run("rotate-keys", "--data", folder).exit_code == 0
    assert keys_in_use(opened) == {file.read().newest.id}
    assert contents(opened, file) == list(range(count))


ROTATIONS = int(os.environ.get("EDGE_ROTATIONS", "2"))
"""Two here, ten and more for a thorough run."""


@pytest.mark.slow
def test_rotations_under_load_fail_no_reader_and_no_writer(tmp_path: Path) -> None:
    """Several workers; figures are printed."""
    server = EdgeServer(tmp_path / "data")
    try:
        server.start("--workers", "3")
        file = KeyFile(server.data / sealing.FILE_NAME)
        with server.database.write(SERVER) as session:
            keep(session, file, 3 * BATCH)
        counts = _load(server)
        with server.database.read() as session:
            blobs = {key_id(blob) for blob in session.scalars(sa.select(Secret.sealed))}
        assert blobs == {file.read().newest.id}
        assert len(file.read().keys) == ROTATIONS + 1
    finally:
        server.close()
    print(f"{ROTATIONS} rotations, {counts['reads']} reads and {counts['writes']} writes meanwhile, 0 failed")


def _load(server: EdgeServer) -> dict[str, int]:
    """Rotate the keys while readers and writers are at it, and see that each gets what is right."""
    counts = {"reads": 0, "writes": 0}
    guard, stop = threading.Lock(), threading.Event()
    token = server.create_token("admin")

    def session() -> EdgeSession:
        # Without retries: a failure is a failure.
        return EdgeSession(api_token=token, service_url=server.url, organization="default", retries=0)

    def count(what: str) -> None:
        with guard:
            counts[what] += 1

    def read(seed: int) -> None:
        chance = random.Random(seed)
        with session() as edge:
            while not stop.is_set():
                n = chance.randrange(3 * BATCH)
                kept = edge.secrets
                read = kept.read_user_secret if n % 2 else kept.read_organization_secret
                assert read(f"secret-{n}") == {"n": n}
                count("reads")

    def write(me: int) -> None:
        n = 0
        with session() as edge:
            while not stop.is_set():
                edge.secrets.create_user_secret(f"mine-{me}", {"n": n})
                edge.secrets.update_user_secret(f"mine-{me}", {"n": n + 1})
                assert edge.secrets.read_user_secret(f"mine-{me}") == {"n": n + 1}
                edge.secrets.delete_user_secret(f"mine-{me}")
                with pytest.raises(NotFound):
                    edge.secrets.read_user_secret(f"mine-{me}")
                n += 2
                count("writes")

    with concurrent.futures.ThreadPoolExecutor(6) as threads:
        workers = [threads.submit(read, seed) for seed in range(4)] + [threads.submit(write, me) for me in range(2)]
        try:
            for rotation_ in range(1, ROTATIONS + 1):
                command_ = [sys.executable, "-m", "edge_server", "rotate-keys", "--data", str(server.data)]
                environment = os.environ | environment_of(server.data)
                done = subprocess.run(command_, capture_output=True, text=True, timeout=120, env=environment)
                assert done.returncode == 0, done.stdout + done.stderr
                deadline = time.monotonic() + 60
                while counts["reads"] < 50 * rotation_ or counts["writes"] < 5 * rotation_:
                    assert not any(worker.done() for worker in workers)
                    assert time.monotonic() < deadline, "readers and writers do not get on"
                    time.sleep(0.01)
        finally:
            stop.set()
        for worker in workers:
            worker.result()
    return counts
