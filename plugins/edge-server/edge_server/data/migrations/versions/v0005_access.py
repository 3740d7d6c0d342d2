"""Administration of organizations and users, invitations, and what tokens were last used for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    for name, value in (("disable_launch", sa.false()), ("shutdown_apps", sa.false()), ("active", sa.true())):
        op.add_column("organizations", sa.Column(name, sa.Boolean(), nullable=False, server_default=value))
    for table in ("organizations", "users", "memberships"):
        op.add_column(table, sa.Column("revision", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("users", sa.Column("activated_at", Moment))
    op.add_column("users", sa.Column("removed_at", Moment))
    # Whoever was here before has had a token, so that nobody else gets one in their name.
    op.execute("UPDATE users SET activated_at = created_at")
    if "home_organization_id" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("users")}:
        # SQLite takes a reference only where the column is declared, and `downgrade` leaves it there.
        kind = RowId.compile(dialect=op.get_bind().dialect)
        op.execute(
            f"ALTER TABLE users ADD COLUMN home_organization_id {kind} "
            "CONSTRAINT fk_users_home_organization_id REFERENCES organizations (id)"
        )
    op.add_column("memberships", sa.Column("uid", sa.String(36), nullable=False, server_default=""))
    memberships = sa.table("memberships", sa.column("id", sa.Integer()), sa.column("uid", sa.String()))
    # Those made from now on have a random one.
    uid = sa.literal("m") + sa.cast(memberships.c.id, sa.String(20))
    op.execute(memberships.update().values(uid=uid))
    op.add_column("tokens", sa.Column("last_used_at", Moment))
    op.add_column("idempotency_keys", sa.Column("subject", sa.String(36)))
    op.create_table(
        "invitations",
        sa.Column("id", RowId, nullable=False),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("organization_id", RowId, nullable=False),
        sa.Column("user_name", sa.String(100), nullable=False),
        sa.Column("email", sa.String(320)),
        sa.Column("developer", sa.Boolean(), nullable=False),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("created_by", RowId, nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        sa.Column("accepted_at", Moment),
        sa.Column("accepted_key", sa.String(64)),
        sa.Column("token_uid", sa.String(36)),
        sa.PrimaryKeyConstraint("id", name="pk_invitations"),
        sa.UniqueConstraint("uid", name="uq_invitations_uid"),
        sa.UniqueConstraint("digest", name="uq_invitations_digest"),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_invitations_organization_id"),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name="fk_invitations_created_by"),
    )
    op.create_index("ix_invitations_organization_id", "invitations", ["organization_id"])


def downgrade() -> None:
    op.drop_table("invitations")
    op.drop_column("idempotency_keys", "subject")
    op.drop_column("tokens", "last_used_at")
    for name in ("uid", "revision"):
        op.drop_column("memberships", name)
    if op.get_bind().dialect.name == "sqlite":
        # It drops no column that refers to another table; unused, it harms nobody.
        op.execute("UPDATE users SET home_organization_id = NULL")
    else:
        op.drop_column("users", "home_organization_id")
    for name in ("removed_at", "activated_at", "revision"):
        op.drop_column("users", name)
    for name in ("revision", "active", "shutdown_apps", "disable_launch"):
        op.drop_column("organizations", name)
