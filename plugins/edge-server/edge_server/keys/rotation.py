"""Replacing the sealing key while the server runs: `edge server rotate-keys`.

A rotation lets a new key seal, then seals anew, batch by batch, whatever an older key has sealed,
and last says in the key file since when the older ones have nothing left. Nobody has to be told and
nobody waits:

- Sealing takes place in the writing transaction that stores the blob, with the keys of that moment.
  One that took the old key holds the database until it has committed; the rotation waits for that
  once, before the first batch, and finds its blob. All later ones take the new key.
- A reader may hold a blob that is replaced this moment. Its key stays in the file: a key is removed
  only by a later rotation, if nothing was found sealed with it and it has been out of use for as
  long as any request lasts, and usually much longer, since copies of the database need it.
- Killed anywhere, a rotation leaves a key file whose keys open everything. The next one begins
  anew.

A row is changed only in its blob, and only if that still is what was read: its revision stays, so
no client meets a conflict.

Where a transit engine keeps the key (`edge_server.keys.transit`), who keeps the engine rotates it there,
and a rotation here seals anew what older versions have sealed. Content is sealed before the transaction
that stores it then, so what is stored at this very moment may still be an older version's; the next
rotation finds it. The same moves everything from one keeper to the other: each blob says whose it is,
and both open what they have sealed.

Where sealed content is the subsystems say, each by `Context.sealed`. Those of a plugin that is
uninstalled or switched off say nothing, though its tables are still there and may hold what any of the
keys has sealed: as long as there is one, no key is removed.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import sqlalchemy as sa
from sqlalchemy import LargeBinary, func, select, update

from edge_server.base import clock
from edge_server.data.database import SERVER, Database
from edge_server.keys.keepers import FILE, TRANSIT, Keepers
from edge_server.keys.sealed_column import SealedColumn
from edge_server.keys.sealing import FORMAT, Key, KeyFile, Sealer, Unsealable, key_id

if TYPE_CHECKING:
    from edge_server.keys.transit import TransitSealer

BATCH = 100
"""Rows stored anew in one transaction, which others' writes wait for."""

PAUSE = 0.005
"""Seconds between batches, for those who wait to write."""

UNDER_WAY = dt.timedelta(minutes=10)
"""How long a request may hold a blob it has read; no key is removed sooner."""

KEPT = dt.timedelta(days=30)
"""How long a key is kept that nothing is sealed with, for copies of the database."""


@dataclasses.dataclass
class Rotation:
    """What a rotation did.

    Attributes:
        file: the key file.
        version: of the key in the transit engine that seals; None where the key file does.
        resealed: how many blobs it sealed anew.
        stuck: how many it could not open and left as they are; the log names them.
        kept: how many older keys the file still has.
        removed: how many it has no longer.
        unreached: subsystems that are not loaded and have tables, for whose sake no key was removed.
        lost: what a lost key file has sealed, as `run.lost_keys` names it; None where none was given up.
    """

    file: Path
    version: int | None = None
    resealed: int = 0
    stuck: int = 0
    kept: int = 0
    removed: int = 0
    unreached: tuple[str, ...] = ()
    lost: dict[str, dict[str, list[str]]] | None = None


def rotate(
    database: Database,
    file: KeyFile,
    columns: Sequence[SealedColumn],
    *,
    transit: TransitSealer | None = None,
    kept: dt.timedelta = KEPT,
    unreached: Sequence[str] = (),
    begun: Callable[[], None] | None = None,
    lost: bool = False,
) -> Rotation:
    """Make a new key in the key file and seal everything with it.

    Args:
        database: the database, migrated; a server may be running on it.
        file: the keys.
        columns: where sealed content is, all of it but that of `unreached`.
        transit: opens what it has sealed, if there is one.
        kept: how long a key that nothing is sealed with stays, at least `UNDER_WAY`.
        unreached: subsystems that are not loaded and have tables; with one, all keys stay.
        begun: called when no other rotation is running, before anything is changed.
        lost: the key file is a new one in place of one that is lost: its only key seals, and what the other has
            sealed is left alone.

    Raises:
        filelock.Timeout: another rotation is running.
        BadKeyFile: the key file cannot be used.
        KeeperAway: the transit engine cannot be used, which has sealed something.
    """
    done = Rotation(file.path, unreached=tuple(unreached))
    with file.locked():
        if begun is not None:
            begun()
        oldest = clock.now() - max(kept, UNDER_WAY)
        newest = file.read().newest if lost else file.renew()
        with database.write(SERVER):
            pass  # who holds the database has taken an older key; who comes next takes the new one
        used: set[bytes] = set()
        stuck: set[bytes] = set()

        def is_to_stay(blob: bytes) -> bool:
            return blob.startswith(FORMAT) and (lost or key_id(blob) == newest.id)

        for sealed in columns:
            for blob, opened in _reseal(database, Keepers(FILE, file, transit), sealed, is_to_stay):
                used.add(key_id(blob))
                if opened:
                    done.resealed += 1
                else:
                    stuck.add(key_id(blob))
                    done.stuck += 1
        before = file.read().keys
        after = [_judged(key, newest, used, stuck) for key in before]
        after = [key for key in after if unreached or key.retired_at is None or key.retired_at > oldest]
        file.keep(after)
        done.kept, done.removed = len(after) - 1, len(before) - len(after)
    return done


def seal_by_transit(
    database: Database,
    file: KeyFile,
    transit: TransitSealer,
    columns: Sequence[SealedColumn],
    *,
    unreached: Sequence[str] = (),
    begun: Callable[[], None] | None = None,
    lost: bool = False,
) -> Rotation:
    """Have everything sealed with the newest version of the key in a transit engine.

    Args:
        database: the database, migrated; a server may be running on it.
        file: the key file, which opens what it has sealed.
        transit: the engine.
        columns: where sealed content is, all of it but that of `unreached`.
        unreached: subsystems that are not loaded and have tables.
        begun: called when no other rotation is running, before anything is changed.
        lost: the key file is lost, so what it has sealed is left alone.

    Raises:
        filelock.Timeout: another rotation is running.
        KeeperAway: the engine cannot be used.
    """
    done = Rotation(file.path, unreached=tuple(unreached))
    with database.alone("rotation") as is_alone:
        if not is_alone:
            raise filelock.Timeout("rotation")
        done.version = version = transit.newest_version()
        if begun is not None:
            begun()

        def is_to_stay(blob: bytes) -> bool:
            return (lost and blob.startswith(FORMAT)) or transit.has_sealed(blob, version)

        for sealed in columns:
            for _, opened in _reseal(database, Keepers(TRANSIT, file, transit), sealed, is_to_stay):
                if opened:
                    done.resealed += 1
                else:
                    done.stuck += 1
    return done


def any_sealed(database: Database, columns: Sequence[SealedColumn], *, by_file: bool) -> bool:
    """Whether the database holds anything that the key file has sealed, or anything that something else has.

    The database may be at an older revision than the code, or empty.
    """
    with database.read() as session:
        inspector = sa.inspect(session.connection())
        for sealed in columns:
            table = sealed.column.class_.__tablename__
            if not inspector.has_table(table):
                continue
            if sealed.column.key not in {each["name"] for each in inspector.get_columns(table)}:
                continue
            beginning = func.substr(sealed.column, 1, len(FORMAT), type_=LargeBinary)
            is_of_it = beginning == FORMAT if by_file else beginning != FORMAT
            if session.scalar(select(sealed.column).where(sealed.column.is_not(None), is_of_it).limit(1)) is not None:
                return True
    return False


def _judged(key: Key, newest: Key, used: set[bytes], stuck: set[bytes]) -> Key:
    """The key, with since when nothing is sealed with it."""
    if key.id == newest.id or key.id in stuck:
        return dataclasses.replace(key, retired_at=None)
    if key.id in used or key.retired_at is None:
        return dataclasses.replace(key, retired_at=clock.now())
    return key


def _reseal(
    database: Database, sealer: Sealer, sealed: SealedColumn, is_to_stay: Callable[[bytes], bool]
) -> Iterator[tuple[bytes, bool]]:
    """Seal a column anew; gives each blob that is not to stay, and whether it could be opened."""
    last: int | None = 0
    while last is not None:
        # Whole before it is handed on, so that nothing else happens meanwhile.
        last, done = _batch(database, sealer, sealed, is_to_stay, last)
        yield from done
        time.sleep(PAUSE)


def _batch(
    database: Database, sealer: Sealer, sealed: SealedColumn, is_to_stay: Callable[[bytes], bool], after: int
) -> tuple[int | None, list[tuple[bytes, bool]]]:
    """Seal the next rows anew; returns the last one's id, if there may be more."""
    column, table = sealed.column, sealed.column.class_
    batch = select(table).where(column.is_not(None), table.id > after).order_by(table.id).limit(BATCH)
    with database.read() as session:
        blobs = [(row.id, getattr(row, column.key), sealed.place(row)) for row in session.scalars(batch)]
    done, prepared = [], []
    for row_id, blob, place in blobs:
        if is_to_stay(blob):
            continue
        try:
            prepared.append((row_id, blob, sealer.prepare(sealer.open(blob, **place), **place)))
        except Unsealable:
            done.append((blob, False))
    if prepared:
        with database.write(SERVER) as session:
            for row_id, blob, new in prepared:
                # A blob that was replaced meanwhile is the newer one.
                unchanged = update(table).where(table.id == row_id, column == blob).values({column.key: new()})
                session.execute(unchanged, execution_options={"synchronize_session": False})
                done.append((blob, True))
    return blobs[-1][0] if len(blobs) == BATCH else None, done
