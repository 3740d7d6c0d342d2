"""A plugin's statements reach its own tables. It catches slips; code in the process can always get around it."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import Any, cast

import sqlalchemy as sa
import sqlalchemy.event
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.sql import visitors

from edge_server.data.database import Transaction

_LIFTED = "edge_server.fence_lifted"
"""In the `info` of a transaction while the server itself executes statements in it."""


class OutsideOwnTables(RuntimeError):
    """A plugin's statement reaches for what is not in its own tables."""


@contextlib.contextmanager
def fenced(session: Session, name: str, tables: Collection[str]) -> Iterator[None]:
    """Keep statements to some tables during the block.

    Args:
        session: the transaction they are executed in.
        name: the subsystem's whose statements they are.
        tables: names of its tables.

    Raises:
        OutsideOwnTables: a statement has another table in it, or is text, which cannot be looked into.
    """

    def check(state: ORMExecuteState) -> None:
        if _LIFTED in session.info:
            return
        for element in visitors.iterate(cast(Any, state.statement)):
            if isinstance(element, sa.TextClause) or (
                isinstance(element, sa.TableClause) and element.name not in tables
            ):
                raise OutsideOwnTables(
                    f"a statement of {name} reaches for {getattr(element, 'name', 'text')}; "
                    f"its statements are made of its own tables: {', '.join(sorted(tables)) or 'none'}"
                )

    sqlalchemy.event.listen(session, "do_orm_execute", check)
    try:
        yield
    finally:
        # What the server itself does at the end of the transaction is not the plugin's.
        sqlalchemy.event.remove(session, "do_orm_execute", check)


@contextlib.contextmanager
def lifted(transaction: Transaction) -> Iterator[None]:
    """Let the server itself use tables of its own during the block, in a transaction of a plugin's."""
    transaction.info[_LIFTED] = True
    try:
        yield
    finally:
        del transaction.info[_LIFTED]
