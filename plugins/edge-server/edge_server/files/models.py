"""The tables of files: names in the tree, versions of content, and open uploads."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.types import BigInteger

from edge_server.base import clock
from edge_server.data.declarative import Base, ByteOrdered, HexBytes, RowId, UidBytes, new_uid
from edge_server.identity.models import User

# Without the plus, which changes nothing, SQLite would take the index on version_id, and walk over the folders of all
# organizations.
IS_FOLDER = "+version_id IS NULL"


class Version(Base):
    """Content that was or is visible under some name; what changes of it is only what is known of its source.

    Versions that a copy or a restore made share a key: the content under it goes with the last of them. The row
    stays when the content is gone, since stored byte-hours are computed from it.
    """

    __tablename__ = "versions"
    __table_args__ = (
        CheckConstraint("size >= 0", name="size"),
        # What came and what went in some time.
        Index("ix_versions_created", "organization_id", "created_at"),
        Index(
            "ix_versions_removed",
            "organization_id",
            "removed_at",
            sqlite_where=text("removed_at IS NOT NULL"),
            postgresql_where=text("removed_at IS NOT NULL"),
        ),
        Index(
            "ix_versions_to_collect",
            "removed_at",
            sqlite_where=text("removed_at IS NOT NULL AND collected_at IS NULL"),
            postgresql_where=text("removed_at IS NOT NULL AND collected_at IS NULL"),
        ),
        Index(
            "ix_versions_replaced",
            "file_uid",
            sqlite_where=text("removed_at IS NOT NULL AND collected_at IS NULL"),
            postgresql_where=text("removed_at IS NOT NULL AND collected_at IS NULL"),
        ),
        # By the name alone: PostgreSQL refuses an entry of an index that is as long as a path can be.
        Index(
            "ix_versions_removed_name",
            "organization_id",
            "removed_name",
            sqlite_where=text("removed_name IS NOT NULL AND collected_at IS NULL"),
            postgresql_where=text("removed_name IS NOT NULL AND collected_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(UidBytes, unique=True, default=new_uid)
    key: Mapped[str] = mapped_column(HexBytes, index=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    size: Mapped[int] = mapped_column(BigInteger)
    # The SHA-256 of all of the content; where it has parts of `part_size` bytes, that over their SHA-256s.
    digest: Mapped[str] = mapped_column(HexBytes)
    part_size: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)
    removed_at: Mapped[dt.datetime | None]
    collected_at: Mapped[dt.datetime | None]
    created_by: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    # When the uploaded local file was last modified, as its uploader tells: nanoseconds since 1970, UTC.
    source_mtime_ns: Mapped[int | None] = mapped_column(BigInteger)
    # The file it is or was a version of, and where that was when it stopped being the newest: path of the folder
    # (empty for the root) and name.
    file_uid: Mapped[str | None] = mapped_column(UidBytes)
    removed_folder: Mapped[str | None]
    removed_name: Mapped[str | None] = mapped_column(ByteOrdered)

    creator: Mapped[User] = relationship()


class PartDigests(Base):
    """The SHA-256s of the parts of content that has several, by its key; the row goes with the last version of the key.

    In a table of its own, since no list of files reads them.
    """

    __tablename__ = "part_digests"

    key: Mapped[str] = mapped_column(HexBytes, primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), index=True)
    digests: Mapped[bytes] = mapped_column(LargeBinary)  # 32 bytes a part, in order
    # Of all of the content, as its uploader stated it; nobody has compared it.
    uploader_sha256: Mapped[str | None] = mapped_column(HexBytes)


class Node(Base):
    """A name in an organization's tree: a file if it has a version, else a folder.

    One that has `removed_at` is no part of the tree any more, with all below it: what is left of a
    large folder that was deleted. Nothing below it changes until its bytes are `released` (see `quotas`);
    then it is cleared away.
    """

    __tablename__ = "nodes"
    __table_args__ = (
        UniqueConstraint("organization_id", "parent_id", "name"),
        # The constraint above does not hold a second root back: NULLs are all different to it.
        Index(
            "uq_nodes_root",
            "organization_id",
            unique=True,
            sqlite_where=text("parent_id IS NULL AND removed_at IS NULL"),
            postgresql_where=text("parent_id IS NULL AND removed_at IS NULL"),
        ),
        Index(
            "ix_nodes_removed",
            "organization_id",
            "released",
            sqlite_where=text("removed_at IS NOT NULL"),
            postgresql_where=text("removed_at IS NOT NULL"),
        ),
        Index(
            "ix_nodes_folders",
            "organization_id",
            "parent_id",
            "name",
            sqlite_where=text(IS_FOLDER),
            postgresql_where=text(IS_FOLDER),
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("nodes.id"), index=True)
    name: Mapped[str] = mapped_column(ByteOrdered)
    version_id: Mapped[int | None] = mapped_column(ForeignKey("versions.id"), unique=True)
    modified_at: Mapped[dt.datetime] = mapped_column(default=clock.now)
    # How many levels are below a folder, or once were: what moves looks at this instead of at all that is below.
    height: Mapped[int] = mapped_column(default=0, server_default="0")
    removed_at: Mapped[dt.datetime | None]
    removed_path: Mapped[str | None]  # where a folder was that is out of the tree
    released: Mapped[bool] = mapped_column(default=False, server_default=false())

    version: Mapped[Version | None] = relationship()


class Upload(Base):
    """An upload in parts: open, completing from when `completing_until` is set, completed once `version_id` is.

    While it is completing no part changes. Whoever completes it, the `completer`, renews `completing_until`. Once that
    has passed somebody else may complete it.
    """

    __tablename__ = "uploads"
    __table_args__ = (
        Index(
            "ix_uploads_open",
            "organization_id",
            "id",
            sqlite_where=text("version_id IS NULL"),
            postgresql_where=text("version_id IS NULL"),
        ),
        Index(
            "ix_uploads_open_by",
            "created_by",
            sqlite_where=text("version_id IS NULL"),
            postgresql_where=text("version_id IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    store_id: Mapped[str] = mapped_column(default="", server_default="")  # what the store calls it
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), index=True)
    path: Mapped[str]
    size: Mapped[int | None] = mapped_column(BigInteger)
    source_mtime_ns: Mapped[int | None] = mapped_column(BigInteger)
    part_size: Mapped[int] = mapped_column(BigInteger)
    overwrite: Mapped[bool]
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[dt.datetime] = mapped_column(index=True)
    created_by: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    version_id: Mapped[int | None] = mapped_column(ForeignKey("versions.id"), index=True)
    node_uid: Mapped[str | None] = mapped_column(String(36))
    # Bytes: what counts in the quota; what its parts take on disk, at least; what the file held that it replaces.
    reserved_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    held_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    replaced_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    active_at: Mapped[dt.datetime | None]  # when a part was last begun or held, or the upload resumed
    completing_until: Mapped[dt.datetime | None]
    completer: Mapped[str | None] = mapped_column(String(36))
    # Whether a part was taken from somebody who may write on, so that all of them are compared once more.
    in_doubt: Mapped[bool] = mapped_column(default=False, server_default=false())

    creator: Mapped[User] = relationship()
    version: Mapped[Version | None] = relationship()
    parts: Mapped[list[UploadPart]] = relationship(order_by="UploadPart.n", viewonly=True)


class UploadPart(Base):
    """A part of an upload whose bytes the store has."""

    __tablename__ = "upload_parts"

    upload_id: Mapped[int] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    etag: Mapped[str | None] = mapped_column(Text)  # that the store gave it


class UploadSpace(Base):
    """The most bytes that were ever sent, or are being sent, for a part of an open upload; and who sends it.

    Whoever writes the part, the `writer`, renews `writing_until`. Once that has passed somebody else may write it.
    """

    __tablename__ = "upload_space"

    upload_id: Mapped[int] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    size: Mapped[int] = mapped_column(BigInteger)
    writer: Mapped[str | None] = mapped_column(String(36))
    writing_until: Mapped[dt.datetime | None]
