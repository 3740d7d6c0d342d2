"""What goes with an organization or a user stands on each foreign key; users' departures are noted."""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

RULES = (
    ("users", "home_organization_id", "organizations", "SET NULL"),
    ("memberships", "user_id", "users", "CASCADE"),
    ("memberships", "organization_id", "organizations", "CASCADE"),
    ("tokens", "user_id", "users", "CASCADE"),
    ("versions", "organization_id", "organizations", "CASCADE"),
    ("versions", "created_by", "users", "RESTRICT"),
    ("nodes", "organization_id", "organizations", "CASCADE"),
    ("uploads", "organization_id", "organizations", "CASCADE"),
    ("uploads", "created_by", "users", "RESTRICT"),
    ("idempotency_keys", "user_id", "users", "CASCADE"),
    ("search_names", "organization_id", "organizations", "CASCADE"),
    ("search_words", "organization_id", "organizations", "CASCADE"),
    ("search_trigrams", "organization_id", "organizations", "CASCADE"),
    ("invitations", "organization_id", "organizations", "CASCADE"),
    ("invitations", "created_by", "users", "RESTRICT"),
    ("billing_usage", "user_organization_id", "organizations", "SET NULL"),
    ("billing_readings", "organization_id", "organizations", "CASCADE"),
    ("applications", "organization_id", "organizations", "CASCADE"),
    ("app_profiles", "organization_id", "organizations", "CASCADE"),
    ("app_placeholders", "organization_id", "organizations", "CASCADE"),
)
"""Table, column, the table it refers to, and what becomes of the row when that one's row is deleted."""


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _rewrite({rule: f" ON DELETE {rule}" for *_, rule in RULES})
    else:
        for table, column, owner, rule in RULES:
            name = f"fk_{table}_{column}"
            op.drop_constraint(name, table, type_="foreignkey")
            op.create_foreign_key(name, table, owner, [column], ["id"], ondelete=rule)
    op.create_table(
        "departures",
        sa.Column("user_id", RowId, autoincrement=False, nullable=False),
        sa.Column("subsystem", sa.String(100), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "subsystem", name="pk_departures"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_departures_user_id", ondelete="RESTRICT"),
    )


def downgrade() -> None:
    op.drop_table("departures")
    if op.get_bind().dialect.name == "sqlite":
        _rewrite({rule: "" for *_, rule in RULES})
    else:
        for table, column, owner, _ in RULES:
            name = f"fk_{table}_{column}"
            op.drop_constraint(name, table, type_="foreignkey")
            op.create_foreign_key(name, table, owner, [column], ["id"])


def _rewrite(endings: dict[str, str]) -> None:
    """Change how the references of `RULES` end in the declarations that SQLite keeps of its tables.

    It alters no constraint. To make the tables anew would copy millions of rows, and to drop the old
    ones would delete the rows that refer to them. What becomes of a row is no part of what is stored, so
    that the declarations alone can be changed (https://sqlite.org/lang_altertable.html, section 7).

    Args:
        endings: of a reference, by its rule.
    """
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    try:
        for table, column, owner, rule in RULES:
            select = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?"
            declaration = connection.exec_driver_sql(select, (table,)).scalar_one()
            name, target = f"fk_{table}_{column}", rf'REFERENCES "?{owner}"? ?\("?id"?\)'
            declaration, moved = re.subn(rf' CONSTRAINT "?{name}"? {target}', "", declaration)
            if moved:
                # Made with its column, by ALTER TABLE; SQLAlchemy reads the rule of the table's own references only.
                plain = f"CONSTRAINT {name} FOREIGN KEY({column}) REFERENCES {owner} (id)"
                declaration = f"{declaration[:-1].rstrip()},\n\t{plain}\n)"
            reference = rf'(CONSTRAINT "?{name}"? FOREIGN KEY ?\("?{column}"?\) {target})(?: ON DELETE {rule})?'
            declaration, count = re.subn(reference, rf"\g<1>{endings[rule]}", declaration)
            if count != 1:
                raise RuntimeError(f"the table {table} has {count} references {name}; expected 1")
            update = "UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = ?"
            connection.exec_driver_sql(update, (declaration, table))
        # All connections read the declarations again, this one at RESET.
        connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
        connection.exec_driver_sql("PRAGMA writable_schema = RESET")
    finally:
        connection.exec_driver_sql("PRAGMA writable_schema = OFF")
    for table, column, _, rule in RULES:
        keys = connection.exec_driver_sql(f"PRAGMA foreign_key_list({table})").mappings()
        actions = [key["on_delete"] for key in keys if key["from"] == column]
        if actions != [rule if endings[rule] else "NO ACTION"]:
            raise RuntimeError(f"the reference fk_{table}_{column} has the actions {actions} after the change")
    problems = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    if problems != ["ok"]:
        raise RuntimeError(f"the database is damaged: {problems[0]}")
