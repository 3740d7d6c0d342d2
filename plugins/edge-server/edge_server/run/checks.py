"""What `edge server check` does: each engine of a server is tried, and nothing is made or changed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy.exc

from edge_server.base import configuration
from edge_server.base.problems import CannotStart
from edge_server.data.database import Database
from edge_server.data.migration import own_history
from edge_server.data.migrations import HEAD
from edge_server.identity.hub import HubUnavailable
from edge_server.identity.hub_identity import HubIdentity, hub_of
from edge_server.keys import agreement
from edge_server.keys.keepers import FILE
from edge_server.keys.sealed_column import SealedColumn
from edge_server.keys.signing import FILE_NAME as SIGNING_KEY
from edge_server.keys.signing import Signer, read_key
from edge_server.run import app, data_folder, logs, metrics, server_settings, start
from edge_server.web.engines import Engines

if TYPE_CHECKING:
    from edge_server.keys.transit import TransitSealer

AT_FIRST_START = "not there yet; the first start makes it"


class Checked(NamedTuple):
    """One engine.

    Attributes:
        name: what it is.
        is_usable: whether a server can start with it.
        sentence: what is there, or why it cannot be used.
    """

    name: str
    is_usable: bool
    sentence: str


def check(data: Path, config: Path | None = None) -> Iterator[Checked]:
    """Try the engines of the server on `data`, one after another.

    Args:
        data: the data folder.
        config: the file of the operator's settings; by default that of the data folder.
    """
    try:
        data_folder.require_restored(data)
        data_folder.require_not_moved(data)
        settings = configuration.of_server(data, config)
        # A signer of its own, since the server's would be made.
        logs.require_writable(settings)
        if server_settings.metrics_listen_of(settings) is not None:
            metrics.require_installed()
        engines = app.engines_at(data, Signer(b""), settings, threads=1)
        columns = start.sealed_columns(app.load(engines))
    except CannotStart as error:
        yield Checked("settings", False, str(error))
        return
    yield Checked("settings", True, str(settings.path) if settings.path.exists() else f"{settings.path} is not there")
    with contextlib.closing(engines.database):
        looks: list[tuple[str, Callable[[Engines], str]]] = [
            ("database", _database),
            ("keys", lambda _: _keys(engines, columns)),
        ]
        hub = hub_of(engines.identity)
        if hub is not None:
            looks.append(("identity", lambda _: _hub(hub)))
        transit = engines.sealer.transit
        if transit is not None:
            looks.append(("secrets", lambda engines: _secrets(engines, transit)))
        for name, look in (*looks, ("store", _store)):
            yield _checked(name, look, engines)


def _checked(name: str, look: Callable[[Engines], str], engines: Engines) -> Checked:
    try:
        with data_folder.explained(engines.folder):
            return Checked(name, True, look(engines))
    except CannotStart as error:
        return Checked(name, False, str(error))


def _database(engines: Engines) -> str:
    database = engines.database
    if not _is_there(database):
        return f"{database.place} is {AT_FIRST_START}"
    start.require_usable(database)
    start.require_whole(database)
    revision = database.revision()
    if revision == HEAD:
        return f"{database.place} is at revision {revision}"
    if revision is None:
        return f"{database.place} is empty; the first start fills it"
    if own_history().can_use(database):
        return f"{database.place} is at revision {revision}, of a newer server; this one knows {HEAD} and can use it"
    return f"{database.place} is at revision {revision}; {start.migrating(database)} brings it to {HEAD}"


def _hub(identity: HubIdentity) -> str:
    try:
        return identity.hub.trial()
    except HubUnavailable as error:
        raise CannotStart(f"the JupyterHub at {identity.hub.api_url}: {error.why}") from None


def _keys(engines: Engines, columns: Sequence[SealedColumn]) -> str:
    file = engines.sealer.file
    signing = file.path.with_name(SIGNING_KEY)
    needed = [signing, file.path] if engines.sealer.keeper == FILE or file.path.exists() else [signing]
    missing = [path.name for path in needed if not path.exists()]
    if signing.exists():
        read_key(signing.parent)
    if file.path.exists():
        file.check_mode()
        file.read()
    elif _is_there(engines.database):
        start.require_nothing_sealed(engines, columns, engines.folder)
    if _is_there(engines.database):
        start.require_transit_set(engines, columns)
    if engines.database.is_shared and not missing:
        agreement.require_same(engines.database, Signer(read_key(signing.parent)), file)
    usable = f"{' and '.join(path.name for path in needed)} can be used"
    state = f"{' and '.join(missing)} {AT_FIRST_START}" if missing else usable
    return f"{file.path.parent}: {state}"


def _secrets(engines: Engines, transit: TransitSealer) -> str:
    sentence = transit.trial()
    if engines.database.is_shared:
        agreement.require_same_transit(engines.database, engines.sealer)
    return sentence


def _is_there(database: Database) -> bool:
    return not isinstance(database.address, Path) or database.address.exists()


def _is_current(database: Database) -> bool:
    """Whether it has the tables of this version; why it cannot be looked into is the line of the database to tell."""
    try:
        return database.revision() == HEAD
    except sqlalchemy.exc.DBAPIError:
        return False


def _store(engines: Engines) -> str:
    sentence = engines.store.check()
    if _is_there(engines.database):
        start.require_no_other_owner(engines)
        if _is_current(engines.database):
            start.require_content(engines)
    return sentence
