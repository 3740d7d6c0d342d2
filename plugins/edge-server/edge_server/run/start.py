"""What a server makes ready before it answers, and what commands do with its data folder."""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import filelock
import sqlalchemy as sa
from sqlalchemy.orm import Session

from edge_server import files
from edge_server.base import clock, configuration
from edge_server.base.configuration import Configuration
from edge_server.base.problems import CannotStart, is_full, log
from edge_server.data import database, moving, postgresql, site_values
from edge_server.data.database import SERVER, Database
from edge_server.data.declarative import Base, new_uid
from edge_server.data.migration import migrate, own_history
from edge_server.data.migrations import HEAD
from edge_server.data.store import Store
from edge_server.files import fsck, storage
from edge_server.identity import directory, operator_audit, renaming
from edge_server.identity.hub_identity import hub_of
from edge_server.identity.models import Organization
from edge_server.keys import agreement, folder, rotation, sealing, signing
from edge_server.keys.keepers import FILE, TRANSIT
from edge_server.keys.sealed_column import SealedColumn
from edge_server.keys.sealing import KeeperAway
from edge_server.keys.signing import Signer
from edge_server.run import app, data_folder, lost_keys
from edge_server.web import idempotency, subsystems
from edge_server.web.engines import Engines
from edge_server.web.subsystems import Subsystem
from edge_vfs.progress import Tracker

FIRST_TOKEN_LIFETIME = dt.timedelta(days=90)

MOST_AHEAD = dt.timedelta(minutes=1)
"""How far the clock of a host may be from the database's when it starts."""

OWNER = "content-owner"
"""The value in the database by which it claims the store of its content."""

_NAMED = 1000
"""Keys of content that the database is asked for at once."""


@contextlib.contextmanager
def engines(data: Path, config: Path | None = None) -> Iterator[Engines]:
    """The engines of the server on `data`, for a command; the database is closed in the end.

    Args:
        data: the data folder.
        config: the file of the operator's settings, as in all functions here; by default that of the data folder.

    Raises:
        CannotStart: there is no server's data, or it cannot be used.
    """
    settings = configuration.of_server(data, config)
    with _database(data, settings) as own, data_folder.explained(data):
        yield app.engines_at(data, settings=settings, database=own)


@contextlib.contextmanager
def _database(data: Path, settings: Configuration) -> Iterator[Database]:
    """The database of the server on `data`, closed in the end.

    Raises:
        CannotStart: there is none, or it cannot be used.
    """
    with contextlib.closing(database.of_server(settings, data)) as opened, data_folder.explained(data):
        data_folder.require_restored(data)
        if isinstance(opened.address, Path) and not opened.address.is_file():
            raise CannotStart(f"{data} holds no server's data; name its folder with --data")
        data_folder.require_not_moved(data)
        require_whole(opened)
        yield opened


def prepare(
    data: Path,
    config: Path | None = None,
    *,
    first_token: dt.timedelta | None = FIRST_TOKEN_LIFETIME,
    threads: int = database.THREADS,
) -> tuple[Engines, list[Subsystem], str | None]:
    """Make ready what a server needs in `data`.

    Args:
        data: the data folder.
        config: the file of the operator's settings.
        first_token: how long the first token of a new server is good for; None for ever.
        threads: threads of each process that answer requests.

    Returns:
        What the server runs on, what it is made of, and the first token, if this is the first start.

    Raises:
        CannotStart: something in it cannot be read or written; a subsystem cannot be used, or its
            migration fails; the key file is damaged, or missing though something is sealed, or
            others can read it; a newer server made the database, or an older one with two names that
            differ by case alone.
    """
    with data_folder.explained(data):
        engines = app.engines_at(data, settings=configuration.of_server(data, config), threads=threads)
        loaded = app.load(engines)
        with contextlib.closing(engines.database):
            shared = engines.database.is_shared
            follow_clock(engines.database)
            require_whole(engines.database)
            _require_own(engines)
            stores = {engines.store, *(stored.store for stored in engines.stored)}
            if storage.is_in_data_folder(engines.configuration):  # where nobody else is, and there may be no room
                _create(stores)
                _drop_incoming(stores, math.inf)
            _migrate(engines.database, loaded, data, only_empty=shared)
            require_content(engines)
            _create(stores)
            _require_own_content(engines)
            _drop_incoming(stores, (clock.now() - fsck.GRACE).timestamp())
            subsystems.require_ownership(engines.database, loaded)
            _prepare_sealing(engines, sealed_columns(loaded), data)
            if shared:
                agreement.agree(engines.database, engines.signer, engines.sealer)
            for subsystem in loaded:
                for run in subsystem.parts.before_start:
                    run()
            with engines.database.write(SERVER) as session:
                moving.require_ended(session.connection(), engines.database.place)  # which may have begun since
                # Of a database that is shared, another host may be running what holds a key; that lapses by itself.
                if not shared:
                    idempotency.release_all(session)
                token = _first_token(engines, session, first_token)
    return engines, loaded, token


def require_whole(opened: Database) -> None:
    """See that no server is still being moved into the database.

    Raises:
        CannotStart: one is.
    """
    with opened.engine.connect() as connection:
        moving.require_ended(connection, opened.place)


def _require_own(engines: Engines) -> None:
    """See that content which is there belongs to the database: `fsck` drops what no row of it names."""
    if engines.database.revision() is None and not engines.store.is_empty():
        raise CannotStart(
            f"the database {engines.database.place} is empty, and there is content already, which belongs to another; "
            "put back a backup of that database, or name its place or another one for the content in [database] and "
            "[storage]"
        )


def _require_own_content(engines: Engines) -> None:
    """See that the store is the database's, which would take others' content for nobody's, and claim it if it is new.

    Raises:
        CannotStart: it is another server's, or may be.
    """
    if is_alone(engines):
        return
    owner = _owner(engines.database)
    owners = engines.store.owners()
    if not owners:
        if not engines.store.is_empty() and not _names_content(engines):
            raise CannotStart(
                f"the store holds content of which the database {engines.database.place} names nothing, so that it may "
                "be another server's; name another directory, bucket or prefix in [storage], or remove the content if "
                "nobody needs it"
            )
        owners = engines.store.claim(owner)
    require_no_other(engines, owner, owners)


def require_content(engines: Engines) -> None:
    """See that content which the database names has not gone with its store, as where a file system is not mounted.

    What would be stored there then is nowhere for the other hosts, and no more once the file system is back.

    Raises:
        CannotStart: the store that the database has claimed is empty, and names nobody.
    """
    if is_alone(engines):
        return
    with engines.database.engine.connect() as connection:
        owner = site_values.read(connection, OWNER)
        if owner is None or engines.store.owners() or not engines.store.is_empty():
            return
        names = any(
            connection.scalar(sa.select(stored.column).where(stored.column.is_not(None)).limit(1)) is not None
            for stored in engines.stored
        )
    if names:
        raise CannotStart(
            f"nothing is in {engines.store.place}, where the content of the database {engines.database.place} is to "
            "be; mount it, put back its backup, or name its directory, bucket or prefix in [storage]; if it is lost "
            f"for good, have {engines.store.claimed_by(owner)} say {owner}"
        )


def require_no_other_owner(engines: Engines) -> None:
    """See that no other server has claimed the store; nothing is made or changed.

    Raises:
        CannotStart: one has.
    """
    owners = [] if is_alone(engines) else engines.store.owners()
    if owners:
        with engines.database.engine.connect() as connection:
            require_no_other(engines, site_values.read(connection, OWNER), owners)


def is_alone(engines: Engines) -> bool:
    """Whether content and database are in the data folder, so that they belong together and its lock is enough."""
    return storage.is_in_data_folder(engines.configuration) and not engines.database.is_shared


def _owner(opened: Database) -> str:
    """The name by which a database claims its store, the same one for ever."""
    with opened.engine.connect() as connection:
        owner = site_values.read(connection, OWNER)
    if owner is None:
        with opened.write_rows(SERVER) as connection:
            owner = site_values.read(connection, OWNER)
            if owner is None:
                owner = new_uid()
                site_values.keep(connection, OWNER, owner)
    return owner


def require_no_other(engines: Engines, owner: str | None, owners: Iterable[str]) -> None:
    """See that nobody else is among those who have claimed the store.

    Args:
        engines: with the store.
        owner: the name by which their database claims it.
        owners: who has claimed it.

    Raises:
        CannotStart: somebody else is.
    """
    others = [engines.store.claimed_by(other) for other in owners if other != owner]
    if others:
        raise CannotStart(
            f"the store holds the content of another server's database, as {' and '.join(others)} says; name another "
            "directory, bucket or prefix in [storage], or remove that if the content is this server's"
        )


def _names_content(engines: Engines) -> bool:
    """Whether the database names any of the content that is there."""
    for stored in engines.stored:
        for prefix in stored.store.prefixes():
            keys = stored.store.keys(prefix, math.inf)
            for at in range(0, len(keys), _NAMED):
                named = sa.select(stored.column).where(stored.column.in_(keys[at : at + _NAMED])).limit(1)
                with engines.database.read() as session:
                    if session.scalar(named) is not None:
                        return True
    return False


def _create(stores: Iterable[Store]) -> None:
    for store in stores:
        store.create()


def _drop_incoming(stores: Iterable[Store], unchanged_since: float) -> None:
    for store in stores:
        store.drop_incoming(unchanged_since)


def follow_clock(opened: Database) -> None:
    """Tell the time of a database that several hosts share from now on.

    Raises:
        CannotStart: this host's clock is far from it, so that it would misjudge how old a file is.
    """
    ahead = clock.follow(opened.now)
    if abs(ahead) > MOST_AHEAD:
        raise CannotStart(
            f"this host's clock is {ahead.total_seconds():+.0f} seconds off that of the database {opened.place}; "
            "set it right, best by NTP"
        )


def _migrate(opened: Database, loaded: Sequence[Subsystem], data: Path, *, only_empty: bool) -> None:
    """Bring the database to where this code needs it, or see that it is there.

    Args:
        opened: the database.
        loaded: the subsystems.
        data: the data folder.
        only_empty: leave a database with tables as it is: other hosts may be working with it.
    """
    require_usable(opened)
    histories = [own_history(Base.metadata), *(each.history for each in loaded if each.history is not None)]
    if opened.revision() not in (None, HEAD):
        with opened.engine.connect() as connection:
            renaming.require_distinct(connection, shlex.quote(str(data)))
    if opened.revision() is None or not only_empty:
        migrate(opened, data / "backups", histories)
    for history in histories:
        history.require_migrated(opened, migrating(opened))


def migrating(opened: Database) -> str:
    """What brings a database to where this code needs it, as a sentence names it."""
    return "`edge server migrate`, after a backup (pg_dump)," if opened.is_shared else "`edge server run`"


def migrate_only(data: Path, config: Path | None = None) -> tuple[str | None, str]:
    """Bring the database of the server on `data` to where this code needs it, and start nothing.

    Args:
        data: the data folder. Of a database in it, no server may be running.
        config: the file of the operator's settings.

    Returns:
        The revisions before and after, of the server's own tables.

    Raises:
        CannotStart: the database is missing or cannot be used, a server runs on it, or a migration fails.
    """
    settings = configuration.of_server(data, config)
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(_database(data, settings))
        if not opened.is_shared:
            stack.enter_context(data_folder.locked(data))
        loaded = app.load(app.engines_at(data, Signer(b""), settings, database=opened))
        before = opened.revision()
        _migrate(opened, loaded, data, only_empty=False)
        return before, str(opened.revision())


def require_usable(opened: Database) -> None:
    """See that a database on PostgreSQL is one that the server can use, and nobody else's.

    Raises:
        CannotStart: it is not.
    """
    if isinstance(opened.address, Path):
        return
    with opened.engine.connect() as connection:
        postgresql.require_usable(connection, opened.place)
        postgresql.require_kept(connection, opened.address, opened.place)
        tables = set(sa.inspect(connection).get_table_names())
    own = {*Base.metadata.tables, database.VERSION_TABLE}
    plugins = {table.removeprefix(database.PLUGIN_TABLE) for table in tables if table.startswith(database.PLUGIN_TABLE)}
    own |= {f"{database.PLUGIN_TABLE}{name}" for name in plugins}
    own |= {table for table in tables for name in plugins if table == name or table.startswith(f"{name}_")}
    is_filled = Organization.__tablename__ in tables
    # One at another revision may have tables that this code does not know.
    strangers = sorted(tables - own) if not is_filled or opened.revision() in (None, HEAD) else []
    if strangers or (tables and not is_filled):
        raise CannotStart(
            f"the database {opened.place} holds tables that are not the server's ({', '.join(strangers or tables)}); "
            "give it an empty database of its own, or a schema (options=-csearch_path=NAME in [database] url)"
        )


def _prepare_sealing(engines: Engines, columns: Sequence[SealedColumn], data: Path) -> None:
    """Make the key file, unless there once was another that is needed; and see whether another keeper can be used."""
    keepers = engines.sealer
    file = keepers.file
    # Others may only read it where it is, and it is replaced as a whole.
    if not file.path.exists():
        file.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with file.locked(data_folder.LOCK_WAIT):
            _make_key_file(engines, columns, data)
    if file.path.exists():
        file.check_mode()
        file.read()
    require_transit_set(engines, columns)
    if keepers.transit is None:
        return
    try:
        keepers.transit.trial()
    except CannotStart as error:
        log.error("what a transit engine seals cannot be used until this is settled: %s", error)


def _make_key_file(engines: Engines, columns: Sequence[SealedColumn], data: Path) -> None:
    file = engines.sealer.file
    if file.path.exists():  # another host was first
        return
    require_nothing_sealed(engines, columns, data)
    if engines.sealer.keeper == FILE:
        file.create()


def require_nothing_sealed(engines: Engines, columns: Sequence[SealedColumn], data: Path) -> None:
    """See that nothing needs the key file, which is missing.

    Args:
        engines: of the server.
        columns: all columns of sealed content that there are.
        data: the data folder.

    Raises:
        BadKeyFile: the database holds what it has sealed.
    """
    if rotation.any_sealed(engines.database, columns, by_file=True):
        raise sealing.BadKeyFile(
            f"the key file {engines.sealer.file.path} is missing, without which nothing that is sealed in the database "
            "can be read; put it back from its backup, or, if it is lost for good, go on without it by "
            f"`edge server rotate-keys --lost --data {shlex.quote(str(data))}`"
        )


def require_transit_set(engines: Engines, columns: Sequence[SealedColumn]) -> None:
    """See that a transit engine is set where one has sealed something.

    Args:
        engines: of the server.
        columns: all columns of sealed content that there are.

    Raises:
        CannotStart: none is.
    """
    if engines.sealer.transit is None and rotation.any_sealed(engines.database, columns, by_file=False):
        raise CannotStart(
            "the database holds what a transit engine has sealed, and none is set; set address, key and role_id in "
            "[secrets] as they were, and move what is sealed to the key file by `edge server rotate-keys` first"
        )


def rotate_keys(data: Path, config: Path | None = None, *, kept: dt.timedelta, lost: bool = False) -> rotation.Rotation:
    """Seal everything in `data` with the newest key of the keeper that seals; a server may be running on it.

    In a key file that is a new one. Of a transit engine it is the newest version, which is made there.

    Args:
        data: the data folder.
        config: the file of the operator's settings.
        kept: how long older keys stay for copies of the database.
        lost: the key file is gone for good, so begin with a new one; what it sealed stays closed.

    Raises:
        CannotStart: there is no server's data, another rotation is running, the key file or the transit engine cannot
            be used, or the database is not at the revision this code works with.
    """
    with engines(data, config) as opened:
        keepers = opened.sealer
        file = keepers.file
        loaded = app.load(opened)
        app.require_migrated(opened, loaded)

        def note() -> None:
            _note_rotation(opened.database, {"lost": "true" if lost else "", "keeper": keepers.keeper})
            if keepers.keeper == FILE:
                agreement.note_sealing(opened.database, file)

        try:
            if lost:
                with file.locked():
                    file.create_lost()
            elif opened.database.is_shared:
                agreement.require_same(opened.database, opened.signer, file)
            columns = sealed_columns(loaded)
            closed = lost_keys.closed(opened.database, columns, {key.id for key in file.read().keys}) if lost else None
            unreached = sorted(set(opened.database.plugins()) - {each.name for each in loaded})
            if keepers.keeper == TRANSIT and keepers.transit is not None:
                done = rotation.seal_by_transit(
                    *(opened.database, file, keepers.transit, columns),
                    unreached=unreached,
                    begun=note,
                    lost=lost,
                )
                if not unreached and not rotation.any_sealed(opened.database, columns, by_file=True):
                    agreement.note_sealing(opened.database, None)
                if not done.stuck:
                    agreement.note_transit(opened.database, keepers.transit)
            else:
                done = rotation.rotate(
                    *(opened.database, file, columns),
                    transit=keepers.transit,
                    kept=kept,
                    unreached=unreached,
                    begun=note,
                    lost=lost,
                )
                agreement.note_sealing(opened.database, file)
                if not unreached and not rotation.any_sealed(opened.database, columns, by_file=False):
                    agreement.note_transit(opened.database, None)
            done.lost = closed
            return done
        except filelock.Timeout:
            raise CannotStart(f"the keys in {file.path} are being rotated already; wait for that") from None
        except KeeperAway as away:
            raise CannotStart(f"{away.why}; then run this again, which goes on with the rest") from None


def renew_signing(data: Path, config: Path | None = None) -> Path:
    """Make another signing key for all hosts of the server on `data`; those that run go on with the one they have.

    Args:
        data: the data folder.
        config: the file of the operator's settings.

    Returns:
        the file of the key, for the other hosts.

    Raises:
        CannotStart: there is no server's data, or it cannot be used.
    """
    with engines(data, config) as opened:
        app.require_migrated(opened, app.load(opened))
        directory_of_keys = folder.folder_of(opened.configuration, data)
        signer = Signer(signing.renew_key(directory_of_keys))
        _note_rotation(opened.database, {"signing": "true"})
        agreement.note_signing(opened.database, signer)
        return directory_of_keys / signing.FILE_NAME


def _note_rotation(opened: Database, about: Mapping[str, str]) -> None:
    with opened.write(SERVER) as session:
        operator_audit.note(session.connection(), operator_audit.ROTATE_KEYS, about)


def sealed_columns(loaded: Sequence[Subsystem]) -> list[SealedColumn]:
    """All columns of sealed content that there are."""
    return [column for subsystem in loaded for column in subsystem.parts.sealed]


def _first_token(engines: Engines, session: Session, lifetime: dt.timedelta | None) -> str | None:
    if hub_of(engines.identity) is not None or directory.server_admins(session):
        return None  # who comes from a hub comes with a token
    organization = directory.create_organization(
        session, engines.lifecycle.organization_added, data_folder.ORGANIZATION, "Default"
    )
    admin = directory.create_user(session, data_folder.ADMIN, server_admin=True)
    directory.add_member(session, admin, organization, directory.ROLES)
    token, value = directory.add_token(session, admin, note="first-start", expires_in=lifetime, renewable=True)
    about = {"user_name": admin.user_name, "organization": organization.name, "token": token.uid}
    operator_audit.note(session.connection(), operator_audit.FIRST_START, about, [(organization.id, organization.name)])
    return value


def rename(data: Path, config: Path | None, kind: renaming.Kind, name: str, new_name: str) -> None:
    """Give a user or an organization in `data` another name, while no server runs on it.

    Raises:
        CannotStart: there is no server's data, a server runs on it, there is none of that name, or another has the
            new one.
    """
    with (
        _database(data, configuration.of_server(data, config)) as opened,
        data_folder.locked(data),
        opened.write_connection() as connection,
    ):
        number = renaming.rename(connection, kind, name, new_name)
        action = operator_audit.RENAME_USER if kind is renaming.USER else operator_audit.RENAME_ORGANIZATION
        organizations = renaming.organizations_of(connection, kind, number)
        operator_audit.note(connection, action, {"name": name, "new_name": new_name}, organizations)


def check(data: Path, config: Path | None = None, *, deep: bool, tracker: Tracker | None = None) -> fsck.Report:
    """Check a server's content, whether or not it runs; see `fsck`.

    Args:
        data: the data folder.
        config: the file of the operator's settings.
        deep: also read all content.
        tracker: counts the content that is read.

    Raises:
        CannotStart: there is no server's data, it cannot be used, a plugin cannot be loaded, whose content would
            look like nobody's, or another version's server made the database.
    """
    with engines(data, config) as opened:
        app.require_migrated(opened, app.load(opened))
        follow_clock(opened.database)
        require_content(opened)
        _require_own_content(opened)
        others = [stored for stored in opened.stored if stored.store is not opened.store]  # which has files alone
        return fsck.check(opened.database, opened.store, others, deep=deep, tracker=tracker)


def purge(data: Path, config: Path | None = None, *, organization: str | None = None) -> tuple[int, int]:
    """Drop all deleted content of a server now, whether or not it runs.

    Args:
        data: the data folder.
        config: the file of the operator's settings.
        organization: name of the one whose content is meant; None for all.

    Returns:
        how many versions were dropped, and the bytes that are free by that.

    Raises:
        CannotStart: there is no server's data, it cannot be used, the organization cannot be found, or another
            version's server made the database.
    """
    with engines(data, config) as opened:
        app.require_migrated(opened, app.load(opened))
        organization_id = None
        with opened.database.read() as session:
            everyone = session.execute(sa.select(Organization.id, Organization.name).order_by(Organization.id))
            organizations = [(row.id, row.name) for row in everyone if organization in (None, row.name)]
        if organization is not None:
            if not organizations:
                raise CannotStart(
                    f"the organization {organization!r} is not on this server; `edge admin organizations list` lists "
                    "those that are"
                )
            organization_id = organizations[0][0]
        cleaner = files.housekeeping_on(opened)
        dropped, noted = (0, 0), False

        def note() -> None:
            nonlocal noted
            with opened.database.write(SERVER) as session:
                about = {"organization": organization or ""}
                operator_audit.note(session.connection(), operator_audit.PURGE, about, organizations)
            noted = True

        def run() -> None:
            nonlocal dropped
            if not noted:
                # It goes in many transactions, so this is before the first one, unless there is no room for it.
                try:
                    note()
                except sa.exc.OperationalError as error:
                    if not is_full(error):
                        raise
            versions, freed = cleaner.purge(organization_id)
            dropped = dropped[0] + versions, dropped[1] + freed
            if not noted:
                note()

        cleaner.deleting(run)
        cleaner.reserve.keep()
        return dropped
