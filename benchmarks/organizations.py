"""Organizations with many files, as rows that are put into the database directly: through the tree they take hours."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from edge_server.base import clock
from edge_server.data.database import SERVER, Database
from edge_server.data.declarative import Base, new_uid
from edge_server.files import tree
from edge_server.identity import directory
from edge_server.identity.models import Organization, User
from edge_server.search import index, trigrams
from edge_server.web.engines import Engines

SIZE = 1000
"""Bytes of each file."""

IN_FOLDER = 100
"""Files in each folder."""

_AT_ONCE = 2000


def add_organization(session: Session, engines: Engines, admin: User, name: str) -> int:
    """An empty organization with an admin; gives its id."""
    organization = directory.create_organization(session, engines.lifecycle.organization_added, name)
    directory.add_member(session, admin, organization, ["admin"])
    return organization.id


def insert_rows(database: Database, table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, of which each has the same columns."""
    columns = Base.metadata.tables[table].c.keys()
    # An older server, measured for comparison, has fewer columns.
    rows = [{name: row[name] for name in row.keys() & set(columns)} for row in rows]
    with database.write(SERVER) as session:
        for at in range(0, len(rows), _AT_ONCE):
            session.execute(Base.metadata.tables[table].insert(), rows[at : at + _AT_ONCE])


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
    node, version, now = next_id(database, "nodes"), next_id(database, "versions"), since or clock.now()
    nodes: list[dict[str, Any]] = []
    versions: list[dict[str, Any]] = []

    def add(parent: int, name: str, version: int | None = None, *, height: int = 0) -> int:
        nonlocal node
        nodes.append(
            {
                "id": node,
                "uid": new_uid(),
                "organization_id": organization,
                "parent_id": parent,
                "name": name,
                "version_id": version,
                "modified_at": now,
                "height": height,
            }
        )
        node += 1
        return node - 1

    top = add(root_of(database, organization), "screens", height=3)
    plate = run = top
    for n in range(files):
        if n % (10 * in_folder) == 0:
            plate = add(top, f"plate-{n // (10 * in_folder):05}", height=2)
        if n % in_folder == 0:
            run = add(plate, f"run-{n // in_folder % 10}", height=1)
        add(run, f"2024-05-15_plate-{n // 1000:05}_run-{n // 100 % 10}_G{n % 24:02}_DAPI_S{n:07}.tif", version)
        versions.append(
            {
                "id": version,
                "uid": new_uid(),
                "key": secrets.token_hex(20),
                "organization_id": organization,
                "size": SIZE,
                "digest": "0" * 64,
                # No two at the same moment, over a day.
                "created_at": now + dt.timedelta(microseconds=n * 86_000),
                "created_by": user,
            }
        )
        version += 1
    insert_rows(database, "versions", versions)
    insert_rows(database, "nodes", nodes)
    with database.write(SERVER) as session:
        session.execute(
            sa.update(Organization).where(Organization.id == organization).values(used_bytes=files * SIZE),
            execution_options={"synchronize_session": False},
        )
    index_names(database, organization, nodes)


def index_names(database: Database, organization: int, nodes: list[dict[str, Any]]) -> None:
    """Put the names of nodes into the index of search."""
    names, places, trigram_rows = [], [], []
    words: dict[str, int] = {}
    first = next_id(database, "search_words")
    for name_id, node in enumerate(nodes, next_id(database, "search_names")):
        kind = "folder" if node["version_id"] is None else "file"
        names.append(
            {
                "id": name_id,
                "organization_id": organization,
                "kind": kind,
                "uid": node["uid"],
                "name": node["name"],
                "key": index.key(node["name"]),
            }
        )
        for word in set(trigrams.words(node["name"])):
            if word not in words:
                words[word] = first + len(words)
                trigram_rows += [
                    {"organization_id": organization, "trigram": trigram, "word_id": words[word]}
                    for trigram in set(trigrams.of_words([word])[1:])
                ]
            places.append({"word_id": words[word], "name_id": name_id})
    insert_rows(
        database,
        "search_words",
        [{"id": word_id, "organization_id": organization, "word": word} for word, word_id in words.items()],
    )
    insert_rows(database, "search_names", names)
    insert_rows(database, "search_trigrams", trigram_rows)
    insert_rows(database, "search_places", places)


def fill_with_folders(database: Database, organization: int, count: int) -> None:
    """Put folders into the root folder, which search does not find."""
    root, first = root_of(database, organization), next_id(database, "nodes")
    rows = [
        {
            "id": first + n,
            "uid": new_uid(),
            "organization_id": organization,
            "parent_id": root,
            "name": f"folder-{n:07}",
            "modified_at": clock.now(),
        }
        for n in range(count)
    ]
    insert_rows(database, "nodes", rows)
