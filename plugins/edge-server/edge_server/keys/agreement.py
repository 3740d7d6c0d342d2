"""Whether the hosts of a server have the same keys.

One that signed with another key would give out addresses that the others refuse, and run a request a second time that
is sent again to it; one without the key that seals could not open what the others keep. So the database has a digest of
the key that signs and of the one that seals, neither of which tells anything of the key. Of a key in a transit engine,
which nobody sees, it has a blob that this key has sealed.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import sqlalchemy as sa

from edge_server.base.problems import CannotStart
from edge_server.data import site_values
from edge_server.data.database import SERVER, Database
from edge_server.keys import sealing, signing
from edge_server.keys.keepers import FILE, TRANSIT, Keepers
from edge_server.keys.sealing import KeeperAway, Key, KeyFile
from edge_server.keys.signing import Signer

if TYPE_CHECKING:
    from edge_server.keys.transit import TransitSealer

SIGNING = signing.FILE_NAME
SEALING = sealing.FILE_NAME
"""The names under which the database has the digests."""

PROBE = "transit probe"
"""The name under which it has what the transit engine has sealed."""

log = logging.getLogger("edge_server")


def require_same(database: Database, signer: Signer, file: KeyFile) -> None:
    """See that this host's keys are those of the others, or that there are no others yet; nothing is changed.

    Args:
        database: what the hosts share.
        signer: signs this host's addresses.
        file: this host's sealing keys, which need not be there where none of the others seals with a file.

    Raises:
        CannotStart: they are not the same.
    """
    with database.engine.connect() as connection:
        _compare(connection, database.place, signer, file)


def require_same_transit(database: Database, keepers: Keepers) -> None:
    """See that the transit engine of this host has the key of the others'; one that is away is not asked again.

    Args:
        database: what the hosts share.
        keepers: of this host's sealing keys.

    Raises:
        CannotStart: it has another.
    """
    if keepers.transit is None:
        return
    with database.engine.connect() as connection:
        probe = site_values.read(connection, PROBE)
    with _unless_away():
        if probe is not None and not keepers.transit.is_own(bytes.fromhex(probe)):
            raise CannotStart(
                f"{keepers.transit.engine.place} is not the key that the other hosts of {database.place} seal with; "
                "set address, mount and key in [secrets] as they have them (if all have lost that key, "
                "`edge server rotate-keys` makes this one that of all)"
            )


def agree(database: Database, signer: Signer, keepers: Keepers) -> None:
    """See that this host's keys are those of the others; those of the first host are what the others must have.

    Args:
        database: what the hosts share.
        signer: signs this host's addresses.
        keepers: of this host's sealing keys.

    Raises:
        CannotStart: they are not the same.
    """
    _agree_on_transit(database, keepers)
    file = keepers.file
    own = {SIGNING: _of_signer(signer)}
    if keepers.keeper == FILE:
        own[SEALING] = _of_newest(file)
    with database.engine.connect() as connection:
        _compare(connection, database.place, signer, file)
        if all(site_values.read(connection, name) == value for name, value in own.items()):
            return
    # Of two hosts that start first, one is the other's.
    with database.write_rows(SERVER) as connection:
        _compare(connection, database.place, signer, file)
        for name, value in own.items():
            site_values.keep(connection, name, value)


def note_signing(database: Database, signer: Signer) -> None:
    """Make this host's signing key the one that the others must have."""
    with database.write_rows(SERVER) as connection:
        site_values.keep(connection, SIGNING, _of_signer(signer))


def note_sealing(database: Database, file: KeyFile | None) -> None:
    """Make the key that this host seals with one that the others must have.

    Args:
        database: what the hosts share.
        file: this host's sealing keys; None if nothing is sealed with those of a file any more. A rotation calls this
            before it makes another key and afterwards: the key that the database names is in the file of one that was
            killed in between.
    """
    with database.write_rows(SERVER) as connection:
        site_values.keep(connection, SEALING, None if file is None else _of_newest(file))


def note_transit(database: Database, transit: TransitSealer | None) -> None:
    """Make the key of a transit engine the one that the others must have; None if it has sealed nothing any more.

    Raises:
        KeeperAway: the engine cannot be used just now.
    """
    probe = None if transit is None else transit.probe().hex()
    with database.write_rows(SERVER) as connection:
        site_values.keep(connection, PROBE, probe)


def _agree_on_transit(database: Database, keepers: Keepers) -> None:
    require_same_transit(database, keepers)
    if keepers.keeper != TRANSIT or keepers.transit is None:
        return
    with _unless_away():
        with database.engine.connect() as connection:
            if site_values.read(connection, PROBE) is not None:
                return
        own = keepers.transit.probe().hex()
        # Of two hosts that start first, one is the other's.
        with database.write_rows(SERVER) as connection:
            probe = site_values.read(connection, PROBE)
            if probe is None:
                site_values.keep(connection, PROBE, own)
        if probe is not None:
            require_same_transit(database, keepers)


@contextlib.contextmanager
def _unless_away() -> Iterator[None]:
    """Go on without what is in the block where the transit engine is away: a server starts without it."""
    try:
        yield
    except KeeperAway as away:
        log.warning(
            "whether this host seals with the key of the others is not known before the next start: %s", away.why
        )


def _compare(connection: sa.Connection, place: str, signer: Signer, file: KeyFile) -> None:
    signs, seals = (site_values.read(connection, name) for name in (SIGNING, SEALING))
    if signs not in (None, _of_signer(signer)):
        raise CannotStart(
            f"{file.path.with_name(SIGNING)} is not the key that the other hosts of {place} sign with; copy it from "
            "one of them, or let [keys] directory name what all hosts share (if all have lost it, "
            "`edge server rotate-keys --signing` makes another)"
        )
    if seals is not None:
        key_id, digest = json.loads(seals)
        own = file.read().find(bytes.fromhex(key_id))
        if own is None or _of_key(own) != digest:
            raise CannotStart(
                f"{file.path} misses the key that the other hosts of {place} seal with; copy it from the host whose "
                "keys were rotated last, or let [keys] directory name what all hosts share (if all have lost it, "
                "move it away and run `edge server rotate-keys --lost`)"
            )


def _of_newest(file: KeyFile) -> str:
    newest = file.read().newest
    return json.dumps([newest.id.hex(), _of_key(newest)])


def _of_signer(signer: Signer) -> str:
    return signer.digest(b"which key this is")


def _of_key(key: Key) -> str:
    return hmac.digest(key.secret, b"which key this is", hashlib.sha256).hex()
