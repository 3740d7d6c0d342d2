"""Versions keep their ids, keys and digests as bytes instead of text that is twice as long.

On SQLite the table is filled anew, all in the one transaction of the migration.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Moment = sa.DateTime(timezone=True)
ByteOrdered = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")

REMOVED = "removed_at IS NOT NULL"
READABLE = "removed_at IS NOT NULL AND collected_at IS NULL"
NAMED = "removed_name IS NOT NULL AND collected_at IS NULL"
CACHE = 256 << 10
"""KiB of memory for SQLite's pages, enough for the indexes of some million versions, whose entries come in no order."""

INDEXES = (
    ("ix_versions_key", ["key"], None),
    ("ix_versions_created", ["organization_id", "created_at"], None),
    ("ix_versions_removed", ["organization_id", "removed_at"], REMOVED),
    ("ix_versions_to_collect", ["removed_at"], READABLE),
    ("ix_versions_replaced", ["file_uid"], READABLE),
    ("ix_versions_removed_name", ["organization_id", "removed_name"], NAMED),
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        binary = sa.LargeBinary()
        _make_anew(binary, binary, binary, _bytes_of, bytes.fromhex)
    else:
        op.execute(
            """ALTER TABLE versions
            ALTER uid TYPE BYTEA USING decode(replace(uid, '-', ''), 'hex'),
            ALTER file_uid TYPE BYTEA USING decode(replace(file_uid, '-', ''), 'hex'),
            ALTER "key" TYPE BYTEA USING decode("key", 'hex'),
            ALTER sha256 TYPE BYTEA USING decode(sha256, 'hex')"""
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _make_anew(sa.String(36), sa.String(64), sa.String(64), lambda uid: str(uuid.UUID(bytes=uid)), bytes.hex)
    else:
        op.execute(
            """ALTER TABLE versions
            ALTER uid TYPE VARCHAR(36) USING encode(uid, 'hex')::uuid::text,
            ALTER file_uid TYPE VARCHAR(36) USING encode(file_uid, 'hex')::uuid::text,
            ALTER "key" TYPE VARCHAR(64) USING encode("key", 'hex'),
            ALTER sha256 TYPE VARCHAR(64) USING encode(sha256, 'hex')"""
        )


def _make_anew(
    uid_type: sa.types.TypeEngine[Any],
    key_type: sa.types.TypeEngine[Any],
    digest_type: sa.types.TypeEngine[Any],
    convert_uid: Callable[..., object],
    convert_hex: Callable[..., object],
) -> None:
    """Copy SQLite's table away with its new values, drop it and fill it anew, since SQLite changes no column's type.

    References to the rows are broken in between, and are looked at when the transaction commits.

    Args:
        uid_type: of the columns `uid` and `file_uid`.
        key_type: of the column `key`.
        digest_type: of the column `sha256`.
        convert_uid: makes the new value of a uid.
        convert_hex: makes the new value of a key or digest.
    """
    connection = op.get_bind()
    driver: Any = connection.connection.driver_connection
    for name, convert in (("new_uid", convert_uid), ("new_hex", convert_hex)):
        driver.create_function(name, 1, _unless_null(convert), deterministic=True)
    cache = connection.exec_driver_sql("PRAGMA cache_size").scalar_one()
    op.execute(f"PRAGMA cache_size = -{CACHE}")
    op.execute("PRAGMA defer_foreign_keys = ON")
    op.execute(
        """CREATE TABLE versions_moved AS SELECT id, new_uid(uid), new_hex("key"), organization_id, size,
        new_hex(sha256), created_at, removed_at, created_by, collected_at, source_mtime_ns, new_uid(file_uid),
        removed_folder, removed_name FROM versions ORDER BY id"""
    )
    op.drop_table("versions")
    op.create_table(
        "versions",
        sa.Column("id", RowId, nullable=False),
        sa.Column("uid", uid_type, nullable=False),
        sa.Column("key", key_type, nullable=False),
        sa.Column("organization_id", RowId, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", digest_type, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("removed_at", Moment),
        sa.Column("created_by", RowId, nullable=False),
        sa.Column("collected_at", Moment),
        sa.Column("source_mtime_ns", sa.BigInteger()),
        sa.Column("file_uid", uid_type),
        sa.Column("removed_folder", sa.Text()),
        sa.Column("removed_name", ByteOrdered),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.UniqueConstraint("uid", name="uq_versions_uid"),
        sa.CheckConstraint("size >= 0", name=op.f("ck_versions_size")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_versions_organization_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name="fk_versions_created_by", ondelete="RESTRICT"),
    )
    op.execute("INSERT INTO versions SELECT * FROM versions_moved ORDER BY rowid")
    op.drop_table("versions_moved")
    for index, columns, where in INDEXES:
        op.create_index(index, "versions", columns, sqlite_where=None if where is None else sa.text(where))
    op.execute(f"PRAGMA cache_size = {cache}")


def _bytes_of(uid: str) -> bytes:
    return bytes.fromhex(uid.replace("-", ""))  # an object of a UUID for each would take longer than that


def _unless_null(convert: Callable[..., object]) -> Callable[[object], object]:
    return lambda value: None if value is None else convert(value)
