"""The tables. What is declared here and what the migrations build must be the same, which a test checks."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column, relationship
from sqlalchemy.types import BigInteger, Integer

from edge_server import clock

NAME_LENGTH = 255
"""Most characters of a node's name; `paths` limits it to as many bytes."""

# SQLite numbers rows by itself only in a column whose type is exactly INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")

# SQLite compares text by its UTF-8 bytes unless told otherwise; PostgreSQL has to be told.
ByteOrdered = String(NAME_LENGTH).with_variant(String(NAME_LENGTH, collation="C"), "postgresql")

Trigram = String(3).with_variant(String(3, collation="C"), "postgresql")


class UtcDateTime(TypeDecorator[dt.datetime]):
    """A moment: aware and in UTC on both sides, also where the database keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Any) -> dt.datetime | None:
        return None if value is None else value.astimezone(dt.UTC)

    def process_result_value(self, value: dt.datetime | None, dialect: Any) -> dt.datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


class Whole(TypeDecorator[int]):
    """A whole number of any size; the bytes of a large store times the microseconds of a day need 28 digits."""

    impl = String(60)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Any) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Any) -> int | None:
        return None if value is None else int(value)


class Exact(TypeDecorator[decimal.Decimal]):
    """A decimal number as it was given; SQLite would make it binary."""

    impl = String(60)
    cache_ok = True

    def process_bind_param(self, value: decimal.Decimal | None, dialect: Any) -> str | None:
        return None if value is None else format(value, "f")

    def process_result_value(self, value: str | None, dialect: Any) -> decimal.Decimal | None:
        return None if value is None else decimal.Decimal(value)


def new_uid() -> str:
    """A universally unique id."""
    return str(uuid.uuid4())


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # as SQLAlchemy declares it
        dt.datetime: UtcDateTime(),
        str: Text(),
    }


class Revised:
    """Adds a count of changes to a table, by which `changes` tells states of a row apart."""

    revision: Mapped[int] = mapped_column(default=1)

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        # SQLAlchemy counts, and refuses an update of a row that has been counted further meanwhile.
        return {"version_id_col": cls.revision}


class Organization(Revised, Base):
    """A group of users with data of their own.

    Removing one removes the rows that refer to it, and the rows that refer to those, of whatever
    table; see `removal`. A reference that can be null and is not called `organization_id` is set to
    null instead.
    """

    __tablename__ = "organizations"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    title: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(20), default="active")
    disable_launch: Mapped[bool] = mapped_column(default=False)
    shutdown_apps: Mapped[bool] = mapped_column(default=False)
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)
    # Bytes of the newest versions of its files: all it may have, where that is not the server's
    # default, and all it has.
    quota_bytes: Mapped[int | None] = mapped_column(BigInteger)
    used_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


class User(Revised, Base):
    """A person or machine that tokens belong to.

    What says who made something refers to this row for ever, so removing a user empties it and
    removes the rows of other tables whose column `user_id` refers to it.
    """

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    user_name: Mapped[str] = mapped_column(String(100), unique=True)
    first_name: Mapped[str | None] = mapped_column(String(200))
    last_name: Mapped[str | None] = mapped_column(String(200))
    email: Mapped[str | None] = mapped_column(String(320))
    server_admin: Mapped[bool] = mapped_column(default=False)
    license_name: Mapped[str | None] = mapped_column(String(100))
    home_organization_id: Mapped[int | None] = mapped_column(ForeignKey("organizations.id"))
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)
    activated_at: Mapped[dt.datetime | None]
    removed_at: Mapped[dt.datetime | None]

    home: Mapped[Organization | None] = relationship()


class Membership(Revised, Base):
    """That a user belongs to an organization, and in which roles."""

    __tablename__ = "memberships"
    __table_args__ = (UniqueConstraint("user_id", "organization_id"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), default=new_uid)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"), index=True)
    developer: Mapped[bool] = mapped_column(default=False)
    admin: Mapped[bool] = mapped_column(default=False)

    organization: Mapped[Organization] = relationship()
    user: Mapped[User] = relationship()


class Token(Base):
    """What is kept of an API token: enough to know it again, not enough to use it."""

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    note: Mapped[str | None] = mapped_column(String(200))
    prefix: Mapped[str] = mapped_column(String(20))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[dt.datetime | None]
    removed_at: Mapped[dt.datetime | None]
    last_used_at: Mapped[dt.datetime | None]

    user: Mapped[User] = relationship()


class Invitation(Base):
    """What is kept of an invitation: its code is known by its digest, as a token is.

    An accepted one stays, so that whoever sends the same request again can be given its answer: it
    holds the key of that request and the token that was made.
    """

    __tablename__ = "invitations"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"), index=True)
    user_name: Mapped[str] = mapped_column(String(100))
    email: Mapped[str | None] = mapped_column(String(320))
    developer: Mapped[bool] = mapped_column(default=False)
    admin: Mapped[bool] = mapped_column(default=False)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)
    created_by: Mapped[int] = mapped_column(ForeignKey("users.id"))
    expires_at: Mapped[dt.datetime]
    accepted_at: Mapped[dt.datetime | None]
    accepted_key: Mapped[str | None] = mapped_column(String(64))
    token_uid: Mapped[str | None] = mapped_column(String(36))

    organization: Mapped[Organization] = relationship()
    creator: Mapped[User] = relationship()


class Version(Base):
    """Content that was or is visible under some name; it never changes.

    The row stays when the content is gone, since stored byte-hours are computed from it.
    """

    __tablename__ = "versions"
    __table_args__ = (
        CheckConstraint("size >= 0", name="size"),
        Index(
            "ix_versions_to_collect",
            "removed_at",
            sqlite_where=text("removed_at IS NOT NULL AND collected_at IS NULL"),
            postgresql_where=text("removed_at IS NOT NULL AND collected_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"), index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)
    removed_at: Mapped[dt.datetime | None] = mapped_column(index=True)
    collected_at: Mapped[dt.datetime | None]
    created_by: Mapped[int] = mapped_column(ForeignKey("users.id"))


class Node(Base):
    """A name in an organization's tree: a file if it has a version, else a folder.

    One that has `removed_at` is no part of the tree any more, with all below it: what is left of a
    large folder that was deleted.
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
            "removed_at",
            sqlite_where=text("removed_at IS NOT NULL"),
            postgresql_where=text("removed_at IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("nodes.id"), index=True)
    name: Mapped[str] = mapped_column(ByteOrdered)
    version_id: Mapped[int | None] = mapped_column(ForeignKey("versions.id"), unique=True)
    modified_at: Mapped[dt.datetime] = mapped_column(default=clock.now)
    removed_at: Mapped[dt.datetime | None]

    version: Mapped[Version | None] = relationship()


class Upload(Base):
    """An upload in parts, open until `version_id` is set."""

    __tablename__ = "uploads"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"), index=True)
    path: Mapped[str]
    size: Mapped[int | None] = mapped_column(BigInteger)
    part_size: Mapped[int] = mapped_column(BigInteger)
    overwrite: Mapped[bool]
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[dt.datetime] = mapped_column(index=True)
    created_by: Mapped[int] = mapped_column(ForeignKey("users.id"))
    version_id: Mapped[int | None] = mapped_column(ForeignKey("versions.id"))
    node_uid: Mapped[str | None] = mapped_column(String(36))

    version: Mapped[Version | None] = relationship()
    parts: Mapped[list[UploadPart]] = relationship(order_by="UploadPart.n", viewonly=True)


class UploadPart(Base):
    """A part of an upload whose bytes are on disk."""

    __tablename__ = "upload_parts"

    upload_id: Mapped[int] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))


class SearchName(Base):
    """A name that `search` finds, of whatever kind."""

    __tablename__ = "search_names"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    uid: Mapped[str] = mapped_column(String(36), unique=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))


class SearchWord(Base):
    """A word that stands in names of an organization, once for all of them."""

    __tablename__ = "search_words"
    __table_args__ = (UniqueConstraint("organization_id", "word"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    word: Mapped[str] = mapped_column(ByteOrdered)


class SearchTrigram(Base):
    """That a word holds three characters in a row."""

    __tablename__ = "search_trigrams"
    __table_args__ = {"sqlite_with_rowid": False}

    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"), primary_key=True)
    trigram: Mapped[str] = mapped_column(Trigram, primary_key=True)
    # No foreign key: to remove a word, the database would look for it through the whole table.
    word_id: Mapped[int] = mapped_column(RowId, primary_key=True)


class SearchPlace(Base):
    """That a word stands in a name."""

    __tablename__ = "search_places"
    __table_args__ = {"sqlite_with_rowid": False}

    word_id: Mapped[int] = mapped_column(ForeignKey("search_words.id"), primary_key=True)
    # No foreign key, likewise.
    name_id: Mapped[int] = mapped_column(RowId, primary_key=True)


class IdempotencyKey(Base):
    """A key that a request came with: free to be run, claimed by a run of it, or answered."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("user_id", "key"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    key: Mapped[str] = mapped_column(String(255))
    fingerprint: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[dt.datetime] = mapped_column(index=True)
    claim: Mapped[str | None] = mapped_column(String(16))
    claimed_until: Mapped[dt.datetime | None]
    subject: Mapped[str | None] = mapped_column(String(36))
    status: Mapped[int | None]
    headers: Mapped[str | None]
    body: Mapped[bytes | None] = mapped_column(LargeBinary)


class Secret(Revised, Base):
    """A secret of a user in an organization, or of the organization itself if it has no user."""

    __tablename__ = "secrets"
    __table_args__ = (
        UniqueConstraint("organization_id", "user_id", "name"),
        # The constraint above does not hold organizations' names apart: NULLs are all different to it.
        Index(
            "uq_secrets_organization_name",
            "organization_id",
            "name",
            unique=True,
            sqlite_where=text("user_id IS NULL"),
            postgresql_where=text("user_id IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(ByteOrdered)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)
    modified_at: Mapped[dt.datetime] = mapped_column(default=clock.now)

    organization: Mapped[Organization] = relationship()
    user: Mapped[User | None] = relationship()


class Application(Revised, Base):
    """What an organization publishes under one id, in versions."""

    __tablename__ = "applications"
    __table_args__ = (UniqueConstraint("organization_id", "app_id"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    app_id: Mapped[str] = mapped_column(ByteOrdered)
    visible_auto_add: Mapped[bool]
    visible_versions: Mapped[list[str]] = mapped_column(JSON)
    idle_minutes: Mapped[int | None]
    status: Mapped[str] = mapped_column(String(20))
    max_resources: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    max_global_resources: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)

    organization: Mapped[Organization] = relationship()


class AppVersion(Revised, Base):
    """One version of an application."""

    __tablename__ = "app_versions"
    __table_args__ = (UniqueConstraint("application_id", "version"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    application_id: Mapped[int] = mapped_column(ForeignKey("applications.id", ondelete="CASCADE"))
    version: Mapped[str] = mapped_column(ByteOrdered)
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str]
    icon: Mapped[str]
    kind: Mapped[str] = mapped_column(String(50))
    framework: Mapped[str | None] = mapped_column(String(50))
    link: Mapped[str]
    recommended_profile: Mapped[str | None] = mapped_column(String(100))
    volume_mount_point: Mapped[str | None]
    suggested_volume_size: Mapped[int | None]
    profiles: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    default_profile: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)


class AppServer(Revised, Base):
    """An application's credentials for a registry; the password is sealed."""

    __tablename__ = "app_servers"
    __table_args__ = (UniqueConstraint("application_id", "domain"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    application_id: Mapped[int] = mapped_column(ForeignKey("applications.id", ondelete="CASCADE"))
    domain: Mapped[str] = mapped_column(ByteOrdered)
    username: Mapped[str] = mapped_column(String(200))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)

    application: Mapped[Application] = relationship()


class OAuthClient(Revised, Base):
    """An application as an OAuth client; its secret is known by its digest, as a token is."""

    __tablename__ = "oauth_clients"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    application_id: Mapped[int] = mapped_column(ForeignKey("applications.id", ondelete="CASCADE"), unique=True)
    client_id: Mapped[str] = mapped_column(ByteOrdered, unique=True)
    digest: Mapped[str] = mapped_column(String(64))
    redirect_uri: Mapped[str]
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)


class AppProfile(Revised, Base):
    """A machine, or a part of one, that an organization's applications can be given."""

    __tablename__ = "app_profiles"
    __table_args__ = (UniqueConstraint("organization_id", "profile_id"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    profile_id: Mapped[str] = mapped_column(ByteOrdered)
    name: Mapped[str] = mapped_column(String(200))
    instance_name: Mapped[str] = mapped_column(String(100))
    cpu: Mapped[float] = mapped_column(Float)
    gpu: Mapped[int]
    memory: Mapped[float] = mapped_column(Float)
    status: Mapped[str] = mapped_column(String(20), index=True)
    disable: Mapped[bool]
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)


class AppPlaceholder(Revised, Base):
    """Machines of an app profile that are to be kept running."""

    __tablename__ = "app_placeholders"
    __table_args__ = (UniqueConstraint("organization_id", "name"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    name: Mapped[str] = mapped_column(ByteOrdered)
    profile_id: Mapped[str] = mapped_column(ByteOrdered)
    quantity: Mapped[int]
    disable: Mapped[bool]
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)


class Connector(Revised, Base):
    """A connection that is kept for the members of an organization; its credentials are sealed."""

    __tablename__ = "connectors"
    __table_args__ = (UniqueConstraint("organization_id", "name"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(ByteOrdered)
    title: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(50))
    definition: Mapped[str] = mapped_column(Text)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)
    modified_at: Mapped[dt.datetime] = mapped_column(default=clock.now)

    organization: Mapped[Organization] = relationship()


class BillingUsage(Base):
    """What an organization used of one kind on one day, and once its month is closed, what that cost.

    Open, the row counts on. Final, it never changes again. It stays when the organization is removed,
    and then names it without referring to it.
    """

    __tablename__ = "billing_usage"
    __table_args__ = (
        UniqueConstraint(
            "user_organization_id",
            "billing_date",
            "usage_type",
            "cost_allocation_tag",
            name="uq_billing_usage_day",
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    user_organization_id: Mapped[int | None] = mapped_column(ForeignKey("organizations.id"))
    org_name: Mapped[str] = mapped_column(String(100))
    billing_date: Mapped[dt.date] = mapped_column(Date, index=True)
    usage_type: Mapped[str] = mapped_column(String(50))
    classification: Mapped[str] = mapped_column(String(20))
    # "" for none: NULLs are all different to the constraint above.
    cost_allocation_tag: Mapped[str] = mapped_column(String(200))
    amount: Mapped[int] = mapped_column(Whole)
    final: Mapped[bool] = mapped_column(default=False)
    computed_cost: Mapped[decimal.Decimal | None] = mapped_column(Exact)
    currency: Mapped[str | None] = mapped_column(String(3))


class BillingMonth(Base):
    """A month that is closed; so are all before the newest one."""

    __tablename__ = "billing_months"

    month: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    closed_at: Mapped[dt.datetime]


class BillingReading(Base):
    """Up to when an organization's stored content has been measured."""

    __tablename__ = "billing_readings"

    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"), primary_key=True, autoincrement=False)
    measured_until: Mapped[dt.datetime]
