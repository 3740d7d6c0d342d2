"""Replacing the sealing key while the server runs: `edge server rotate-keys`.

A rotation lets a new key seal, then seals anew, batch by batch, whatever an older key has sealed,
and last says in the key file since when the older ones have nothing left. Nobody has to be told and
nobody waits:

- Sealing takes place in the writing transaction that stores the blob, with the keys of that moment.
  One that took the old key holds the database until it has committed; the first batch comes after
  it and finds its blob. All later ones take the new key.
- A reader may hold a blob that is replaced this moment. Its key stays in the file: a key is removed
  only by a later rotation, if nothing was found sealed with it and it has been out of use for as
  long as any request lasts, and usually much longer, since copies of the database need it.
- Killed anywhere, a rotation leaves a key file whose keys open everything. The next one begins
  anew.

A row is changed only in its blob, and only if that still is what was read: its revision stays, so
no client meets a conflict.

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

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from edge_server.base import clock
from edge_server.data.database import SERVER, Database
from edge_server.keys.sealed_column import SealedColumn
from edge_server.keys.sealing import Key, KeyFile, Sealer, Unsealable, key_id

BATCH = 100
"""Rows sealed anew in one transaction, which others' writes wait for."""

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
        resealed: how many blobs it sealed anew.
        stuck: how many it could not open and left as they are; the log names them.
        kept: how many older keys the file still has.
        removed: how many it has no longer.
        unreached: subsystems that are not loaded and have tables, for whose sake no key was removed.
    """

    file: Path
    resealed: int = 0
    stuck: int = 0
    kept: int = 0
    removed: int = 0
    unreached: tuple[str, ...] = ()


def rotate(
    database: Database,
    file: KeyFile,
    columns: Sequence[SealedColumn],
    *,
    kept: dt.timedelta = KEPT,
    unreached: Sequence[str] = (),
    begun: Callable[[], None] | None = None,
) -> Rotation:
    """Make a new key and seal everything with it.

    Args:
        database: the database, migrated; a server may be running on it.
        file: the keys.
        columns: where sealed content is, all of it but that of `unreached`.
        kept: how long a key that nothing is sealed with stays, at least `UNDER_WAY`.
        unreached: subsystems that are not loaded and have tables; with one, all keys stay.
        begun: called when no other rotation is running, before anything is changed.

    Raises:
        filelock.Timeout: another rotation is running.
        BadKeyFile: the key file cannot be used.
    """
    done = Rotation(file.path, unreached=tuple(unreached))
    with file.locked():
        if begun is not None:
            begun()
        oldest = clock.now() - max(kept, UNDER_WAY)
        newest = file.renew()
        used: set[bytes] = set()
        stuck: set[bytes] = set()
        for sealed in columns:
            for old, opened in _reseal(database, Sealer(file), sealed, newest):
                used.add(old)
                if opened:
                    done.resealed += 1
                else:
                    stuck.add(old)
                    done.stuck += 1
        before = file.read().keys
        after = [_judged(key, newest, used, stuck) for key in before]
        after = [key for key in after if unreached or key.retired_at is None or key.retired_at > oldest]
        file.keep(after)
        done.kept, done.removed = len(after) - 1, len(before) - len(after)
    return done


def any_sealed(database: Database, columns: Sequence[SealedColumn]) -> bool:
    """Whether the database holds anything sealed."""
    with database.read() as session:
        return any(
            session.scalar(select(sealed.column).where(sealed.column.is_not(None)).limit(1)) for sealed in columns
        )


def _judged(key: Key, newest: Key, used: set[bytes], stuck: set[bytes]) -> Key:
    """The key, with since when nothing is sealed with it."""
    if key.id == newest.id or key.id in stuck:
        return dataclasses.replace(key, retired_at=None)
    if key.id in used or key.retired_at is None:
        return dataclasses.replace(key, retired_at=clock.now())
    return key


def _reseal(database: Database, sealer: Sealer, sealed: SealedColumn, newest: Key) -> Iterator[tuple[bytes, bool]]:
    """Seal a column anew; gives the former key of each blob, and whether it could be opened."""
    last: int | None = 0
    while last is not None:
        with database.write(SERVER) as session:
            # Whole before it is handed on, so that nothing else happens while the database is held.
            last, done = _batch(session, sealer, sealed, newest, last)
        yield from done
        time.sleep(PAUSE)


def _batch(
    session: Session, sealer: Sealer, sealed: SealedColumn, newest: Key, after: int
) -> tuple[int | None, list[tuple[bytes, bool]]]:
    """Seal the next rows anew; returns the last one's id, if there may be more."""
    column, table = sealed.column, sealed.column.class_
    batch = select(table).where(column.is_not(None), table.id > after).order_by(table.id).limit(BATCH)
    rows = list(session.scalars(batch))
    done = []
    for row in rows:
        blob = getattr(row, column.key)
        if key_id(blob) == newest.id:
            continue
        place = sealed.place(row)
        try:
            content = sealer.open(blob, **place)
        except Unsealable:
            done.append((key_id(blob), False))
            continue
        # Where writers do not wait for one another, a blob that was replaced meanwhile is the newer one.
        unchanged = update(table).where(table.id == row.id, column == blob)
        values = {column.key: sealer.seal(content, **place)}
        session.execute(unchanged.values(values), execution_options={"synchronize_session": False})
        done.append((key_id(blob), True))
    return rows[-1].id if len(rows) == BATCH else None, done
