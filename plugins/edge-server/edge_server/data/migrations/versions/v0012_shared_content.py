"""Copies share content, old versions are found by their file or path, and the times of sources are kept."""

from __future__ import annotations

import re
from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ByteOrdered = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")

READABLE = sa.text("removed_at IS NOT NULL AND collected_at IS NULL")
NAMED = sa.text("removed_name IS NOT NULL AND collected_at IS NULL")

UNIQUE = 'CONSTRAINT uq_versions_key UNIQUE ("key")'
INDEX = 'CREATE INDEX ix_versions_key ON versions ("key")'


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _make_plain()
    else:
        op.drop_constraint("uq_versions_key", "versions", type_="unique")
        op.create_index("ix_versions_key", "versions", ["key"])
    op.add_column("versions", sa.Column("source_mtime_ns", sa.BigInteger()))
    op.add_column("versions", sa.Column("file_uid", sa.String(36)))
    op.add_column("versions", sa.Column("removed_folder", sa.Text()))
    op.add_column("versions", sa.Column("removed_name", ByteOrdered))
    op.add_column("nodes", sa.Column("removed_path", sa.Text()))
    op.add_column("uploads", sa.Column("source_mtime_ns", sa.BigInteger()))
    versions = sa.table("versions", *map(sa.column, ("id", "file_uid")))
    nodes = sa.table("nodes", *map(sa.column, ("uid", "version_id")))
    file = sa.select(nodes.c.uid).where(nodes.c.version_id == versions.c.id).scalar_subquery()
    newest = sa.select(nodes.c.version_id).where(nodes.c.version_id.is_not(None))
    op.execute(versions.update().where(versions.c.id.in_(newest)).values(file_uid=file))
    op.create_index("ix_versions_replaced", "versions", ["file_uid"], sqlite_where=READABLE, postgresql_where=READABLE)
    op.create_index(
        "ix_versions_removed_name",
        "versions",
        ["organization_id", "removed_name"],
        sqlite_where=NAMED,
        postgresql_where=NAMED,
    )


def downgrade() -> None:
    versions = sa.table("versions", sa.column("key"))
    shared = sa.select(versions.c.key).group_by(versions.c.key).having(sa.func.count() > 1).limit(1)
    if op.get_bind().execute(shared).first() is not None:
        raise RuntimeError(
            "some files share their content with a copy, which revision 0011 cannot hold; restore the backup that was "
            "made before the upgrade"
        )
    op.drop_index("ix_versions_removed_name", "versions")
    op.drop_index("ix_versions_replaced", "versions")
    op.drop_column("uploads", "source_mtime_ns")
    op.drop_column("nodes", "removed_path")
    for column in ("removed_name", "removed_folder", "file_uid", "source_mtime_ns"):
        op.drop_column("versions", column)
    if op.get_bind().dialect.name == "sqlite":
        _make_unique()
    else:
        op.drop_index("ix_versions_key", "versions")
        op.create_unique_constraint("uq_versions_key", "versions", ["key"])


def _make_plain() -> None:
    """Drop SQLite's unique constraint on keys, and make the index it has for it an ordinary one."""
    index = f"sqlite_autoindex_versions_{_constraints()}"
    constraint = re.compile(r',\s*CONSTRAINT "?uq_versions_key"? UNIQUE ?\("?key"?\)')
    _rewrite(lambda declaration: constraint.subn("", declaration), index, "ix_versions_key", INDEX)


def _make_unique() -> None:
    """Undo `_make_plain`."""
    index = f"sqlite_autoindex_versions_{_constraints() + 1}"
    _rewrite(lambda declaration: (f"{declaration[:-1].rstrip()},\n\t{UNIQUE}\n)", 1), "ix_versions_key", index, None)


def _constraints() -> int:
    """Count the indexes that SQLite made for constraints of the table; it numbers them in the order of these."""
    indexes = op.get_bind().exec_driver_sql("PRAGMA index_list(versions)").mappings()
    return sum(index["origin"] == "u" for index in indexes)


def _rewrite(change: Callable[[str], tuple[str, int]], index: str, new_index: str, sql: str | None) -> None:
    """Change the declarations that SQLite keeps of the table and of the index on its keys.

    It drops no constraint. To make the table anew would copy all of its rows, and to drop the old one would break
    the references to it. The entries of a unique index and of an ordinary one are the same
    (https://sqlite.org/fileformat2.html, section 2.5), so that the declarations alone can be changed.

    Args:
        change: returns the changed declaration of the table, and how many places were changed.
        index: name of the index on keys.
        new_index: its new name.
        sql: its new declaration; None for the index of a constraint.
    """
    connection = op.get_bind()
    columns = connection.exec_driver_sql(f"PRAGMA index_info({index})").mappings()
    if [column["name"] for column in columns] != ["key"]:
        raise RuntimeError(f"the index {index} is not the one on the keys of versions")
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    try:
        select = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'versions'"
        declaration, count = change(connection.exec_driver_sql(select).scalar_one())
        if count != 1:
            raise RuntimeError(f"the table versions has {count} constraints uq_versions_key; expected 1")
        update = "UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = 'versions'"
        connection.exec_driver_sql(update, (declaration,))
        update = "UPDATE sqlite_master SET name = ?, sql = ? WHERE type = 'index' AND name = ?"
        connection.exec_driver_sql(update, (new_index, sql, index))
        # All connections read the declarations again, this one at RESET.
        connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
        connection.exec_driver_sql("PRAGMA writable_schema = RESET")
    finally:
        connection.exec_driver_sql("PRAGMA writable_schema = OFF")
    indexes = {each["name"]: each for each in connection.exec_driver_sql("PRAGMA index_list(versions)").mappings()}
    if index in indexes or indexes[new_index]["unique"] != (sql is None):
        raise RuntimeError(f"the index {new_index} is not as it must be after the change")
    problems = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    if problems != ["ok"]:
        raise RuntimeError(f"the database is damaged: {problems[0]}")
