"""Writes the next migration of a plugin's tables: `python -m edge_server.run.plugin_migration NAME -m "what changes"`.

`edge plugins migration` starts it. It compares the plugin's classes with what its migrations build in an
empty database, and tries what it has written there before it leaves it.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa
from alembic import autogenerate
from alembic.migration import MigrationContext
from alembic.operations import ops
from alembic.util import rev_id

from edge_cli import output
from edge_server.base.problems import CannotStart
from edge_server.data.database import Database
from edge_server.data.declarative import Base
from edge_server.data.migration import History, own_history
from edge_server.keys.signing import Signer
from edge_server.run import app

OWN = "server"
"""The name of the server's own tables."""

_MODULE = '''"""{message}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = {revision}
down_revision = {down_revision}
branch_labels = None
depends_on = None


def upgrade() -> None:
{upgrade}


def downgrade() -> None:
{downgrade}
'''


def write(name: str, message: str) -> Path | None:
    """Write the next migration of a subsystem's tables.

    Args:
        name: the plugin's entry point in ``edge.server``, or `OWN`.
        message: what changes, in a few words; it names the file.

    Returns:
        The file; None if the migrations build what the classes declare.

    Raises:
        CannotStart: the plugin cannot be used or found, or the migration cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        engines = app.engines_at(Path(folder), Signer(b""))
        histories = {each.name: each.history for each in app.load(engines)}
        own = own_history(Base.metadata)
        history = own if name == OWN else _of_plugin(name, histories)
        with contextlib.closing(engines.database) as database:
            own.upgrade(database)
            if history is not own:
                history.upgrade(database)
            source = _source(history, database, message)
            if source is None:
                return None
            _require_writable(history)
            path = history.folder / f"v{_next(history)}_{_slug(message)}.py"
            _try(history, database, path, source)
            return path


def _of_plugin(name: str, histories: dict[str, History | None]) -> History:
    if name not in histories:
        raise CannotStart(
            f"the server half {name!r} is not installed, or switched off; "
            "install its distribution with `python -m pip install -e FOLDER`, and see `edge plugins list`"
        )
    history = histories[name]
    if history is None:
        raise CannotStart(
            f"{name!r} has no tables of its own; a plugin gives its metadata and the folder of its "
            f"migrations to context.subsystem, and the server's own tables are {OWN!r}"
        )
    return history


def _require_writable(history: History) -> None:
    if {"site-packages", "dist-packages"} & set(history.folder.parts):
        raise CannotStart(
            f"{history.owner} is installed as a copy, in which a migration would be lost; "
            "install it from its folder with `python -m pip install -e FOLDER`"
        )
    try:
        history.folder.mkdir(exist_ok=True)
        if (history.folder.parent / "__init__.py").exists():
            # A package, so that the wheel has it.
            (history.folder / "__init__.py").touch()
    except OSError as error:
        raise _unwritable(error) from None


def _unwritable(error: OSError) -> CannotStart:
    return CannotStart(f"{error.filename} cannot be written ({error.strerror}); make the folder writable")


def _source(history: History, database: Database, message: str) -> str | None:
    """The text of the migration; None if there is nothing to do."""
    tables = _declared(history)
    with database.engine.connect() as connection:
        _refer_to_organizations(tables, sa.inspect(connection))
        own = {table.name for table in history.metadata.sorted_tables} if history.metadata is not None else set()

        def is_compared(thing: Any, name: str | None, kind: str, reflected: bool, _other: Any) -> bool:
            if kind == "table":
                return name in own or (reflected and _belongs(history, str(name)))
            # The classes of a plugin know nothing of the server's tables, to which its migrations refer.
            return not (
                kind == "foreign_key_constraint" and reflected and thing.elements[0].column.table.name not in own
            )

        options = {"include_object": is_compared, "render_as_batch": True, "version_table": history.version_table}
        context = MigrationContext.configure(connection, opts={**options, "target_metadata": tables})
        script = autogenerate.produce_migrations(context, tables)
        if script.upgrade_ops is None or script.downgrade_ops is None or script.upgrade_ops.is_empty():
            return None
        for column in _added(script.upgrade_ops):
            if not column.nullable and column.server_default is None:
                raise CannotStart(
                    f"the new column {column.name} has no value for the rows there are; give it a server_default, "
                    "or let it be nullable"
                )
        upgrade, downgrade = (
            autogenerate.render_python_code(part, render_as_batch=True, migration_context=context)
            for part in (script.upgrade_ops, script.downgrade_ops)
        )
    return _MODULE.format(
        message=message.strip().rstrip(".").replace("\\", "\\\\").replace('"', "'"),
        revision=json.dumps(_next(history)),
        down_revision=json.dumps(newest) if (newest := next(iter(history.revisions().get_heads()), None)) else None,
        upgrade=_body(upgrade),
        downgrade=_body(downgrade),
    )


def _body(code: str) -> str:
    """The lines of a function, without Alembic's marks around them."""
    lines = [line for line in code.splitlines() if not line.lstrip().startswith("# ###")]
    return textwrap.indent(textwrap.dedent("\n".join(lines)), "    ")


def _belongs(history: History, table: str) -> bool:
    """Whether a table of the database is one of the history's, which the classes declare no longer."""
    if not history.name:
        return table != history.version_table
    return table == history.name or table.startswith(f"{history.name}_")


def _declared(history: History) -> sa.MetaData:
    """The declared tables, with columns of types that need nothing of the plugin's code."""
    tables = sa.MetaData(naming_convention=history.metadata.naming_convention if history.metadata is not None else None)
    for table in history.metadata.sorted_tables if history.metadata is not None else ():
        copy = table.to_metadata(tables)
        for column in copy.columns:
            if isinstance(column.type, sa.TypeDecorator):
                # A migration is a picture of its time, and the class may change or go.
                column.type = column.type.impl_instance
    return tables


def _refer_to_organizations(tables: sa.MetaData, inspector: sa.Inspector) -> None:
    """Let rows with a new `organization_id` go with their organization, if they do not say otherwise."""
    there = {name: {column["name"] for column in inspector.get_columns(name)} for name in inspector.get_table_names()}
    for table in list(tables.sorted_tables):
        column = table.columns.get("organization_id")
        if column is not None and not column.foreign_keys and column.name not in there.get(table.name, ()):
            organizations = tables.tables.get("organizations")
            if organizations is None:
                organizations = sa.Table("organizations", tables, sa.Column("id", sa.BigInteger(), primary_key=True))
            table.append_constraint(sa.ForeignKeyConstraint([column], [organizations.c.id], ondelete="CASCADE"))


def _added(operations: ops.OpContainer) -> Iterator[sa.Column[Any]]:
    """The columns that are added to tables there are."""
    for operation in operations.ops:
        if isinstance(operation, ops.OpContainer):
            yield from _added(operation)
        elif isinstance(operation, ops.AddColumnOp):
            yield operation.column


def _next(history: History) -> str:
    """The next revision: the number after the newest, if these are numbers."""
    newest = next(iter(history.revisions().get_heads()), "0000")
    return f"{int(newest) + 1:0{len(newest)}d}" if newest.isdecimal() else str(rev_id())


def _slug(message: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", message.lower()).strip("_")[:40] or "tables"


def _try(history: History, database: Database, path: Path, source: str) -> None:
    """Write the migration and run it; it does not stay if it cannot be run."""
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(source)
    except OSError as error:
        raise _unwritable(error) from None
    try:
        history.upgrade(database)
        left = history.missing(database)
    except Exception as error:
        path.unlink()
        raise CannotStart(f"the migration from these classes cannot be run, and is not kept: {error}") from error
    if left:
        path.unlink()
        raise CannotStart(
            f"the migration from these classes does not make {left[0]}, and is not kept; write it yourself"
        )


@click.command()
@click.argument("name")
@click.option("-m", "--message", required=True, help="What changes, in a few words.")
def main(name: str, message: str) -> None:
    """Write the next migration of the plugin NAME."""
    try:
        path = write(name, message)
    except CannotStart as error:
        raise click.ClickException(str(error)) from None
    if path is None:
        output.line(f"Nothing to write: the migrations of {name} build what its classes declare.")
        return
    output.line(f"{path} is written.")
    output.line(
        "Read it first: a renamed column looks like a removed and a new one. `edge server run` runs it, after a backup."
    )


if __name__ == "__main__":
    main()
