"""Removing a user: what subsystems do in its transaction, and what they do afterwards until it is done."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from edge_server.accounts.departures import Departures
from edge_server.accounts.models import Departure
from edge_server.data.database import SERVER, Database
from edge_server.data.migration import migrate, own_history
from edge_server.identity import directory
from edge_server.identity.models import Token, User
from edge_server.keys.signing import Signer
from edge_server.run import app
from edge_server.web.context import Context, OwnContext
from edge_server.web.engines import Engines

Start = Callable[[], Engines]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Make the engines of a server on one folder; another time they are those after a restart."""
    with contextlib.ExitStack() as stack:

        def start() -> Engines:
            engines = app.engines_at(tmp_path, Signer(b""))
            stack.callback(engines.database.close)
            migrate(engines.database, tmp_path / "backups", [own_history()])
            app.load(engines, plugins=False)
            return engines

        yield start


def departures(engines: Engines) -> Departures:
    return Departures(OwnContext("accounts", engines, ()))


def add_user(database: Database, name: str = "ada") -> int:
    with database.write(SERVER) as session:
        user = directory.create_user(session, name)
        directory.create_token(session, user)
        return user.id


def remove(engines: Engines, user_id: int) -> None:
    with engines.database.write(SERVER) as session:
        departures(engines).remove(session, session.get_one(User, user_id))


def notes(engines: Engines) -> list[tuple[int, str]]:
    with engines.database.read() as session:
        return [tuple(row) for row in session.execute(sa.select(Departure.user_id, Departure.subsystem))]


class Directory:
    """Another system's list of users, which does not answer every time."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls: list[int] = []

    def forget(self, user_id: int) -> None:
        self.calls.append(user_id)
        if len(self.calls) <= self.failures:
            raise ConnectionError("the directory does not answer")


def test_what_fails_twice_is_done_the_third_time_also_after_a_restart(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    engines = start()
    directory = Directory(failures=2)
    Context("lab", engines).on_user_gone(directory.forget)
    user_id = add_user(engines.database)
    remove(engines, user_id)
    assert directory.calls == []  # never in the transaction
    assert notes(engines) == [(user_id, "lab")]
    departures(engines).run()
    assert directory.calls == [user_id]
    assert "what lab does after a user was removed failed and is tried again" in caplog.text

    restarted = start()
    departures(restarted).run()  # the plugin is not installed
    assert notes(restarted) == [(user_id, "lab")]

    Context("lab", restarted).on_user_gone(directory.forget)
    departures(restarted).run()
    assert notes(restarted) == [(user_id, "lab")]
    departures(restarted).run()
    assert notes(restarted) == []
    departures(restarted).run()
    assert directory.calls == [user_id] * 3


def test_a_subsystem_that_fails_holds_no_other_back(start: Start) -> None:
    engines = start()
    broken, sound = Directory(failures=100), Directory(failures=0)
    Context("lab", engines).on_user_gone(broken.forget)
    Context("library", engines).on_user_gone(sound.forget)
    user_id = add_user(engines.database)
    remove(engines, user_id)
    departures(engines).run()
    assert sound.calls == [user_id]
    assert notes(engines) == [(user_id, "lab")]


def test_what_is_done_in_the_transaction_sees_the_users_rows_and_undoes_it_if_it_raises(start: Start) -> None:
    engines = start()
    tokens: list[int] = []

    def count(session: Session, user_id: int) -> None:
        tokens.append(len(session.scalars(sa.select(Token.id).where(Token.user_id == user_id)).all()))
        if len(tokens) == 1:
            raise ConnectionError("not now")

    OwnContext("applications", engines, ()).on_user_removed(count)
    Context("lab", engines).on_user_gone(Directory(failures=0).forget)
    user_id = add_user(engines.database)
    with pytest.raises(ConnectionError):
        remove(engines, user_id)
    assert notes(engines) == []
    with engines.database.read() as session:
        assert directory.find_user(session, "ada") is not None
    remove(engines, user_id)
    assert tokens == [1, 1]
    with engines.database.read() as session:
        assert directory.find_user(session, "ada") is None
        assert session.scalar(sa.select(sa.func.count()).select_from(Token)) == 0


def test_a_subsystem_says_once_what_it_does_after_a_user_is_gone(start: Start) -> None:
    lab = Context("lab", start())
    lab.on_user_gone(Directory(failures=0).forget)
    with pytest.raises(ValueError, match="lab does something after a user was removed already; do both in one"):
        lab.on_user_gone(Directory(failures=0).forget)
