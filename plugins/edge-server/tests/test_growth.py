"""What an organization's size must not cost: others who want to write, and more than its share of work."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from edge_server.accounts import removal
from edge_server.accounts.removal import Removals
from edge_server.base.problems import Refusal
from edge_server.data import database, ownership, slices
from edge_server.data.database import SERVER, Database
from edge_server.data.declarative import Base
from edge_server.data.migration import own_history
from edge_server.files import tree
from edge_server.files.models import Node
from edge_server.identity import directory
from edge_server.identity.models import Organization
from edge_server.keys.signing import Signer
from edge_server.run import app
from edge_server.web.context import OwnContext
from edge_server.web.engines import Engines

from .grown import grow, organization
from .postgresql import scratch_postgresql
from .trees import TREE
from .work import Watch


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with contextlib.ExitStack() as stack:
        if request.param == "sqlite":
            opened = stack.enter_context(contextlib.closing(Database(tmp_path / database.FILE_NAME)))
        else:
            opened = stack.enter_context(scratch_postgresql())
        own_history().upgrade(opened)
        yield opened


@pytest.fixture(autouse=True)
def _whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction takes as many rows as it may at most, however slow the machine is."""
    monkeypatch.setattr(slices, "LEAST", 1.0)


@pytest.fixture
def engines(opened: Database, tmp_path: Path) -> Engines:
    """What a server runs on, with its subsystems loaded."""
    engines = app.engines_at(tmp_path, Signer(b""), database=opened)
    engines.store.create()
    app.load(engines, plugins=False)
    return engines


# --- removing an organization


def remove(engines: Engines, organization_id: int) -> tuple[int, int, int, int]:
    """Remove an organization: how many transactions and steps that takes, and the most statements and rows of one."""
    with engines.database.write(SERVER) as session:
        session.get_one(Organization, organization_id).status = directory.DELETING
    with Watch(engines.database).watching() as done:
        Removals(OwnContext("accounts", engines, ())).run()
    with engines.database.read() as session:
        assert session.get(Organization, organization_id) is None
    written = [work for work in done if work.writes] or done
    return (
        len(done),
        sum(work.steps for work in done),
        max(work.statements for work in written),
        max(work.rows for work in written),
    )


def test_an_organization_of_four_times_as_many_files_takes_four_times_the_work_to_remove(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "BATCH", 20)
    monkeypatch.setattr(removal, "PAUSE", 0.0)
    small, large = organization(engines.database, "small"), organization(engines.database, "large")
    grow(engines.database, organization(engines.database, "other"), "kept", 400)
    grow(engines.database, small, "files", 200)
    grow(engines.database, large, "files", 800)
    transactions, steps, statements, rows = remove(engines, small)
    more_transactions, more_steps, more_statements, more_rows = remove(engines, large)
    assert more_transactions < 5 * transactions
    assert more_steps <= 5 * steps
    # In one transaction, however many there are: while it lasts, nobody else can write.
    assert more_rows <= rows <= 20
    assert more_statements <= statements < 40


def test_removing_an_organization_costs_nothing_for_the_rows_of_others(engines: Engines) -> None:
    costs = []
    for name, more in (("first", 0), ("second", 800)):
        organization_id = organization(engines.database, name)
        grow(engines.database, organization_id, "files", 60)
        if more:
            grow(engines.database, organization(engines.database, "other"), "kept", more)
        costs.append(remove(engines, organization_id))
    (transactions, steps, *_), (more_transactions, more_steps, *_) = costs
    assert more_transactions == transactions
    assert more_steps <= 1.2 * steps


def test_organizations_are_removed_in_turns(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "BATCH", 5)
    monkeypatch.setattr(removal, "SLICE", 0.0)
    large, small = organization(engines.database, "large"), organization(engines.database, "small")
    grow(engines.database, large, "files", 100)
    with engines.database.write(SERVER) as session:
        session.execute(sa.update(Organization).values(status=directory.DELETING))
    left: list[list[int]] = []
    remove_row = Removals._remove_row

    def note(self: Removals, to_organizations: list[sa.ForeignKey], organization_id: int) -> str | None:
        table = remove_row(self, to_organizations, organization_id)
        with engines.database.read() as session:
            left.append(list(session.scalars(sa.select(Organization.id))))
        return table

    monkeypatch.setattr(Removals, "_remove_row", note)
    Removals(OwnContext("accounts", engines, ())).run()
    assert left == [[large], []]
    assert small > large


def test_an_index_leads_to_what_refers_to_rows_that_go() -> None:
    """A database looks for such rows at each row that is removed."""
    tables = Base.metadata
    removed = {"organizations"} | {
        key.parent.table.name
        for table in tables.sorted_tables
        for key in table.foreign_keys
        if ownership.owned_by(table, "organizations", 1) is not None
    }
    unindexed = []
    for table in tables.sorted_tables:
        leading = {next(iter(table.primary_key)).name}
        leading |= {
            next(iter(each.columns)).name for each in table.constraints if isinstance(each, sa.UniqueConstraint)
        }
        for index in table.indexes:
            (column, *_) = index.columns
            where = index.dialect_options["sqlite"]["where"]
            if where is None or str(where) == f"{column.name} IS NOT NULL":
                leading.add(column.name)
        unindexed += [
            f"{table.name}.{key.parent.name}"
            for key in table.foreign_keys
            if key.column.table.name in removed and key.parent.name not in leading
        ]
    assert unindexed == []


# --- listing


def test_listing_folders_costs_what_it_returns_whatever_else_there_is(engines: Engines) -> None:
    mine, other = organization(engines.database, "mine"), organization(engines.database, "other")
    grow(engines.database, mine, "files", 60, indexed=False)

    def work() -> int:
        with Watch(engines.database).watching() as done, engines.database.read() as session:
            page = tree.children(session, mine, ("files",), kind="folder", limit=2)
            assert [node.name for node in page] == ["run-00000", "run-00001"]
        return done[-1].steps

    before = work()
    grow(engines.database, other, "files", 500, each=1, indexed=False)
    grow(engines.database, mine, "files/the same folder", 300, each=1, indexed=False)
    for n in range(5):
        grow(engines.database, mine, f"elsewhere-{n}", 100, each=1, indexed=False)
    assert work() <= before + 2


# --- moving


def heights(session: Session) -> dict[str, tuple[int, int]]:
    """How many levels each folder has below it, and how many it says it has, by its path."""
    nodes = {node.id: node for node in session.scalars(sa.select(Node).where(Node.removed_at.is_(None)))}
    levels = dict.fromkeys(nodes, 0)
    for node in nodes.values():
        depth, above = 1, node.parent_id
        while above is not None:
            levels[above] = max(levels[above], depth)
            depth, above = depth + 1, nodes[above].parent_id
    shown = tree.paths_of(session, [node.uid for node in nodes.values()])
    return {shown[node.uid]: (levels[node.id], node.height) for node in nodes.values()}


def test_a_folder_knows_how_many_levels_are_below_it(engines: Engines) -> None:
    lab = organization(engines.database, "lab")
    steps: list[Callable[[Session], object]] = [
        lambda session: TREE.make_folder(session, lab, ("a", "b", "c"), exist_ok=False),
        lambda session: TREE.make_folder(session, lab, ("x", "y"), exist_ok=False),
        lambda session: TREE.move(session, lab, ("a", "b"), ("x", "y", "z", "b"), overwrite=False),
        lambda session: TREE.make_folder(session, lab, ("x", "y", "z", "b", "c", "d"), exist_ok=False),
        lambda session: TREE.make_folder(session, lab, ("x", "y", "e"), exist_ok=False),
    ]
    expected = [
        {"": 3, "a": 2, "a/b": 1, "a/b/c": 0},
        {"": 3, "a": 2, "a/b": 1, "a/b/c": 0, "x": 1, "x/y": 0},
        {"": 5, "a": 0, "x": 4, "x/y": 3, "x/y/z": 2, "x/y/z/b": 1, "x/y/z/b/c": 0},
        {"": 6, "a": 0, "x": 5, "x/y": 4, "x/y/z": 3, "x/y/z/b": 2, "x/y/z/b/c": 1, "x/y/z/b/c/d": 0},
    ]
    expected.append(expected[-1] | {"x/y/e": 0})
    for step, levels in zip(steps, expected, strict=True):
        with engines.database.write(lab) as session:
            step(session)
        with engines.database.read() as session:
            known = heights(session)
        assert {path: exact for path, (exact, _) in known.items()} == levels
        # What was moved away counts on: nobody looks for what is deepest then.
        assert {path for path, (exact, height) in known.items() if height != exact} <= {"a"}
        assert all(height >= exact for exact, height in known.values())


def test_what_a_folder_once_held_is_named_as_in_the_way(engines: Engines) -> None:
    lab = organization(engines.database, "lab")
    with engines.database.write(lab) as session:
        TREE.make_folder(session, lab, ("a", *"b" * 98), exist_ok=False)
        TREE.remove(session, lab, ("a", "b"), recursive=True)
        TREE.make_folder(session, lab, ("a", "c"), exist_ok=False)
    with (
        pytest.raises(Refusal, match="or once was, would lie more than 100 segments deep"),
        engines.database.write(lab) as session,
    ):
        TREE.move(session, lab, ("a",), ("x", "y", "z", "a"), overwrite=False)
    with engines.database.write(lab) as session:  # as the sentence says
        TREE.move(session, lab, ("a", "c"), ("x", "y", "z", "a", "c"), overwrite=False)
