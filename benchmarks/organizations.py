"""Organizations with many files, as rows that are put into the database directly: through the tree they take hours."""

from __future__ import annotations

import array
import datetime as dt
import itertools
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from edge_server.base import clock
from edge_server.data.database import SERVER, Database
from edge_server.data.declarative import Base, new_uid
from edge_server.files import tree
from edge_server.files.models import Node
from edge_server.identity import directory
from edge_server.identity.models import Organization, User
from edge_server.search import index, trigrams
from edge_server.web.engines import Engines

SIZE = 1000
"""Bytes of each file."""

IN_FOLDER = 100
"""Files in each folder."""

_AT_ONCE = 2000

_CACHE = 1 << 30
"""Bytes of the database that are in memory while rows are inserted."""


def add_organization(session: Session, engines: Engines, admin: User, name: str) -> int:
    """An empty organization with an admin; gives its id."""
    organization = directory.create_organization(session, engines.lifecycle.organization_added, name)
    directory.add_member(session, admin, organization, ["admin"])
    return organization.id


def insert_rows(database: Database, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert rows, of which each has the same columns.

    The driver takes them, converted as SQLAlchemy does it: its own way takes three times as long. They come fastest in
    the order of the table's primary key.
    """
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return
    columns = Base.metadata.tables[table].c
    # An older server, measured for comparison, has fewer columns.
    names = [name for name in first if name in columns]
    dialect = database.engine.dialect
    processors = {name: columns[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names}
    changing = [(name, process) for name, process in processors.items() if process is not None]

    def as_kept(row: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**row, **{name: process(row[name]) for name, process in changing}} if changing else row

    kept = map(as_kept, itertools.chain([first], rows))
    with database.write(SERVER) as session:
        connection = session.connection()
        if dialect.name == "postgresql":
            _copy(connection, table, names, kept)
        else:
            _insert(connection, table, names, kept)


def _insert(connection: sa.Connection, table: str, names: Sequence[str], rows: Iterator[Mapping[str, Any]]) -> None:
    insert = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"
    # Ids are random, so that rows come everywhere into their indexes.
    connection.exec_driver_sql(f"PRAGMA cache_size = -{_CACHE >> 10}")
    while some := list(itertools.islice(rows, _AT_ONCE)):
        connection.exec_driver_sql(insert, some)
    connection.exec_driver_sql("PRAGMA cache_size = -2000")  # as it was


def _copy(connection: sa.Connection, table: str, names: Sequence[str], rows: Iterator[Mapping[str, Any]]) -> None:
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY {table} ({', '.join(names)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([row[name] for name in names])
    if "id" in names:  # which the database gives to the next rows
        connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")
    connection.exec_driver_sql(f"ANALYZE {table}")


def next_id(database: Database, table: str) -> int:
    with database.read() as session:
        return (session.scalar(sa.text(f"SELECT max(id) FROM {table}")) or 0) + 1


def root_of(database: Database, organization: int) -> int:
    with database.read() as session:
        return tree.get(session, organization, ()).id


def fill(
    database: Database,
    organization: int,
    user: int,
    files: int,
    *,
    in_folder: int = IN_FOLDER,
    since: dt.datetime | None = None,
) -> None:
    """Put files without content into ``screens``, in folders as laboratories have them, and their names into the index.

    Args:
        database: where.
        organization: whose.
        user: who has made them.
        files: how many.
        in_folder: how many are in the same folder; ten such folders are in another one.
        since: when the first was made, the others within a day after it; now by default.
    """
    first, now = next_id(database, "versions"), since or clock.now()
    uids = [new_uid() for _ in range(files)]
    versions = (
        {
            "id": first + n,
            "uid": new_uid(),
            "key": secrets.token_hex(20),
            "organization_id": organization,
            "size": SIZE,
            "digest": "0" * 64,
            # No two at the same moment, over a day.
            "created_at": now + dt.timedelta(microseconds=n * 86_000),
            "created_by": user,
            "file_uid": uid,
        }
        for n, uid in enumerate(uids)
    )
    insert_rows(database, "versions", versions)
    insert_rows(database, "nodes", _nodes(database, organization, uids, first, in_folder, now))
    with database.write(SERVER) as session:
        session.execute(
            sa.update(Organization).where(Organization.id == organization).values(used_bytes=files * SIZE),
            execution_options={"synchronize_session": False},
        )
    index_names(database, organization)


def _nodes(
    database: Database, organization: int, uids: Sequence[str], first_version: int, in_folder: int, now: dt.datetime
) -> Iterator[dict[str, Any]]:
    """The rows of `screens`, of the folders in it, and of the files with these uids."""
    ids = itertools.count(next_id(database, "nodes"))

    def node(parent: int, name: str, height: int, uid: str = "", version: int | None = None) -> dict[str, Any]:
        return {
            "id": next(ids),
            "uid": uid or new_uid(),
            "organization_id": organization,
            "parent_id": parent,
            "name": name,
            "version_id": version,
            "modified_at": now,
            "height": height,
        }

    top = plate = run = node(root_of(database, organization), "screens", 3)
    yield top
    for n, uid in enumerate(uids):
        if n % (10 * in_folder) == 0:
            plate = node(top["id"], f"plate-{n // (10 * in_folder):05}", 2)
            yield plate
        if n % in_folder == 0:
            run = node(plate["id"], f"run-{n // in_folder % 10}", 1)
            yield run
        name = f"2024-05-15_plate-{n // 1000:05}_run-{n // 100 % 10}_G{n % 24:02}_DAPI_S{n:07}.tif"
        yield node(run["id"], name, 0, uid, first_version + n)


def index_names(database: Database, organization: int) -> None:
    """Put the names of all nodes of an organization into the index of search, which has none of them."""
    named = sa.select(Node.uid, Node.name, Node.version_id).where(Node.organization_id == organization)
    with database.read() as session:
        nodes = session.execute(named.where(Node.parent_id.is_not(None)).order_by(Node.id)).all()
    first = next_id(database, "search_names")
    names = (
        {
            "id": name_id,
            "organization_id": organization,
            "kind": "folder" if node.version_id is None else "file",
            "uid": node.uid,
            "name": node.name,
            "key": index.key(node.name),
        }
        for name_id, node in enumerate(nodes, first)
    )
    insert_rows(database, "search_names", names)
    places: dict[str, array.array[int]] = {}
    for name_id, node in enumerate(nodes, first):
        for word in set(trigrams.words(node.name)):
            places.setdefault(word, array.array("q")).append(name_id)
    words = dict(enumerate(places, next_id(database, "search_words")))
    insert_rows(
        database,
        "search_words",
        ({"id": word_id, "organization_id": organization, "word": word} for word_id, word in words.items()),
    )
    words_with: dict[str, array.array[int]] = {}
    for word_id, word in words.items():
        for trigram in set(trigrams.of_words([word])[1:]):
            words_with.setdefault(trigram, array.array("q")).append(word_id)
    insert_rows(
        database,
        "search_trigrams",
        (
            {"organization_id": organization, "trigram": trigram, "word_id": word_id}
            for trigram in sorted(words_with)
            for word_id in words_with[trigram]
        ),
    )
    insert_rows(
        database,
        "search_places",
        ({"word_id": word_id, "name_id": name_id} for word_id, word in words.items() for name_id in places[word]),
    )


def fill_with_folders(database: Database, organization: int, count: int) -> None:
    """Put folders into the root folder, which search does not find."""
    root, first = root_of(database, organization), next_id(database, "nodes")
    rows = (
        {
            "id": first + n,
            "uid": new_uid(),
            "organization_id": organization,
            "parent_id": root,
            "name": f"folder-{n:07}",
            "modified_at": clock.now(),
        }
        for n in range(count)
    )
    insert_rows(database, "nodes", rows)
