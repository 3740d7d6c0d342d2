"""Organizations with many files, put into the database directly: through the tree they would take minutes."""

from __future__ import annotations

import datetime as dt
import secrets

import sqlalchemy as sa

from edge_server.base import clock
from edge_server.data.database import SERVER, Database
from edge_server.data.declarative import new_uid
from edge_server.files import tree
from edge_server.files.models import Node, Version
from edge_server.identity import directory
from edge_server.identity.models import Organization, User
from edge_server.search import index

SIZE = 10
"""Bytes of each file."""


def organization(database: Database, name: str) -> int:
    """An empty organization, with a member of the same name."""
    with database.write(SERVER) as session:
        added = directory.create_organization(session, [tree.plant], name)
        directory.add_member(session, directory.create_user(session, name), added, ["admin"])
        return added.id


def grow(
    database: Database,
    organization_id: int,
    path: str,
    count: int,
    *,
    each: int = 20,
    created_at: dt.datetime | None = None,
    indexed: bool = True,
) -> None:
    """Add a folder with files in folders of its own.

    Args:
        database: where.
        organization_id: whose.
        path: of the new folder; its parents are there.
        count: files in it.
        each: files in each folder below it.
        created_at: when the files were made; now by default.
        indexed: whether search finds them.
    """
    *above, name = path.split("/")
    created_at = created_at or clock.now()
    with database.write(SERVER) as session:
        user = session.scalars(sa.select(User.id)).first()
        parent = tree.get(session, organization_id, tuple(above)).id
        version = (session.scalar(sa.select(sa.func.max(Version.id))) or 0) + 1
        node = (session.scalar(sa.select(sa.func.max(Node.id))) or 0) + 1
        top, folder = node, node
        node += 1
        nodes = [_node(top, organization_id, parent, name, height=2)]
        session.execute(sa.update(Node).where(Node.id == parent).values(height=3))
        versions = []
        for n in range(count):
            if n % each == 0:
                folder = node
                nodes.append(_node(folder, organization_id, top, f"run-{n // each:05}", height=1))
                node += 1
            nodes.append(_node(node, organization_id, folder, f"plate_{n:06}.csv", version + n))
            node += 1
            versions.append(
                {
                    "id": version + n,
                    "uid": new_uid(),
                    "key": secrets.token_hex(20),
                    "organization_id": organization_id,
                    "size": SIZE,
                    "digest": "0" * 64,
                    "created_at": created_at,
                    "created_by": user,
                }
            )
        session.execute(sa.insert(Version), versions)
        session.execute(sa.insert(Node), nodes)
        if database.engine.dialect.name == "postgresql":
            for table in ("versions", "nodes"):
                session.execute(
                    sa.text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")
                )
        session.execute(
            sa.update(Organization)
            .where(Organization.id == organization_id)
            .values(used_bytes=Organization.used_bytes + count * SIZE)
        )
        for row in nodes if indexed else ():
            kind = "folder" if row["version_id"] is None else "file"
            index.add(session, organization_id, kind, str(row["uid"]), str(row["name"]))


def _node(
    id: int, organization_id: int, parent: int, name: str, version: int | None = None, *, height: int = 0
) -> dict[str, object]:
    return {
        "id": id,
        "uid": new_uid(),
        "organization_id": organization_id,
        "parent_id": parent,
        "name": name,
        "version_id": version,
        "height": height,
    }
