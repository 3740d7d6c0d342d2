"""Names that differ by case alone, of which older servers took both, and giving one of them another name.

It works on the database of an older server as well, which is not migrated before its names are apart.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from edge_server.base.problems import CannotStart
from edge_server.identity.name_keys import name_key
from edge_server.identity.token_scopes import ORGANIZATION


@dataclasses.dataclass(frozen=True)
class Kind:
    """What has names.

    Attributes:
        name: what one is called.
        table: its table.
        column: the column of names.
    """

    name: str
    table: str
    column: str


USER = Kind("user", "users", "user_name")
ORGANIZATIONS = Kind("organization", "organizations", "name")


def namesakes(connection: sa.Connection, kind: Kind) -> Sequence[str]:
    """The first names that differ by case or composition alone; none if all are apart."""
    table = sa.table(kind.table, sa.column(kind.column))
    by_key: dict[str, list[str]] = {}
    for name in connection.scalars(sa.select(table.c[kind.column]).order_by(table.c[kind.column])):
        by_key.setdefault(name_key(name), []).append(name)
    return next((names for names in by_key.values() if len(names) > 1), ())


def require_distinct(connection: sa.Connection, data: str) -> None:
    """See that no two names are the same but for case.

    Args:
        connection: to a database that an older server made.
        data: the data folder, as a shell takes it.

    Raises:
        CannotStart: two are; the sentence names them, and the command that renames one.
    """
    for kind in (USER, ORGANIZATIONS):
        names = namesakes(connection, kind)
        if names:
            raise CannotStart(
                f"the {kind.name}s {' and '.join(names)} differ by upper and lower case alone, which is one name now; "
                f"rename one of them, as by `edge server rename-{kind.name} {names[-1]} NEW-NAME --data {data}`, and "
                "start again"
            )


def rename(connection: sa.Connection, kind: Kind, name: str, new_name: str) -> int:
    """Give a user or an organization another name.

    Args:
        connection: to the database, in a writing transaction.
        kind: which of them.
        name: the name, letter for letter.
        new_name: the new one, which is valid.

    Returns:
        the id of its row.

    Raises:
        CannotStart: there is none of that name, or another has the new one.
    """
    table = sa.Table(kind.table, sa.MetaData(), autoload_with=connection, resolve_fks=False)
    column = table.c[kind.column]
    rows = {row[1]: row[0] for row in connection.execute(sa.select(table.c.id, column))}
    if name not in rows:
        near = [other for other in rows if name_key(other) == name_key(name)]
        hint = f"; there is {' and '.join(near)}" if near else ""
        raise CannotStart(f"there is no {kind.name} {name!r}{hint}; write the name letter for letter")
    taken = [other for other in rows if other != name and name_key(other) == name_key(new_name)]
    if taken:
        raise CannotStart(f"the {kind.name} {taken[0]} has that name already; choose another one")
    values: dict[str, Any] = {kind.column: new_name}
    if "revision" in table.c:
        values["revision"] = table.c.revision + 1
    if "name_key" in table.c:
        values["name_key"] = name_key(new_name)
    connection.execute(table.update().where(table.c.id == rows[name]).values(values))
    if kind is USER and sa.inspect(connection).has_table("invitations"):
        invitations = sa.table("invitations", sa.column("user_name"), sa.column("accepted_at"))
        unanswered = (invitations.c.user_name == name) & invitations.c.accepted_at.is_(None)
        connection.execute(invitations.update().where(unanswered).values(user_name=new_name))
    elif kind is ORGANIZATIONS:
        _rename_scopes(connection, f"{ORGANIZATION}{name}", f"{ORGANIZATION}{new_name}")
    number: int = rows[name]
    return number


def organizations_of(connection: sa.Connection, kind: Kind, number: int) -> Sequence[tuple[int, str]]:
    """Id and short name of the organizations that a renamed user is a member of, or of the renamed one."""
    organizations = sa.table("organizations", sa.column("id"), sa.column("name"))
    named = sa.select(organizations.c.id, organizations.c.name).order_by(organizations.c.id)
    if kind is USER:
        memberships = sa.table("memberships", sa.column("user_id"), sa.column("organization_id"))
        own = sa.select(memberships.c.organization_id).where(memberships.c.user_id == number)
        named = named.where(organizations.c.id.in_(own))
    else:
        named = named.where(organizations.c.id == number)
    return [(row.id, row.name) for row in connection.execute(named)]


def _rename_scopes(connection: sa.Connection, scope: str, new_scope: str) -> None:
    """Have the tokens that are limited to an organization follow it."""
    tokens = sa.Table("tokens", sa.MetaData(), autoload_with=connection, resolve_fks=False)
    if "scopes" not in tokens.c:
        return
    for row in connection.execute(sa.select(tokens.c.id, tokens.c.scopes)).all():
        scopes = json.loads(row.scopes) if isinstance(row.scopes, str) else row.scopes
        if scopes and scope in scopes:
            renamed = sorted(new_scope if each == scope else each for each in scopes)
            connection.execute(tokens.update().where(tokens.c.id == row.id).values(scopes=renamed))
