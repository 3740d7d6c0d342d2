"""What the tests of billing share: servers in whose world time passes as a test says."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_core.session import EdgeSession
from edge_server.base import clock
from edge_server.testing.local_server import EdgeServer
from edge_server.testing.simulation import SimulatedTime

START = dt.datetime(2031, 3, 1, tzinfo=dt.UTC)

PRICES = """
currency = "EUR"

[object_storage]
price = 0.023
per = "GB-month"

[transfer_out]
price = 0.09
per = "GB"

[api_requests]
price = 0.40
per = "million requests"

[app_hours]
price = 0.05
per = "hour"
by_tag = { "edge.medium" = 0.20 }
"""


@pytest.fixture
def simulated_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimulatedTime:
    """The first of March 2031, 00:00, until a test changes it; in this process too."""
    time = SimulatedTime(tmp_path / "time")
    time.set(START)
    monkeypatch.setattr(clock, "_now", time.now)
    monkeypatch.setattr(clock, "_monotonic", time.monotonic)
    return time


@pytest.fixture
def server(simulated_time: SimulatedTime, tmp_path: Path) -> Iterator[EdgeServer]:
    """A server in that time, with prices; not started yet."""
    running = EdgeServer(tmp_path / "data", time=simulated_time)
    running.data.mkdir()
    (running.data / "server.lock").touch()  # by which a server knows its folder
    (running.data / "prices.toml").write_text(PRICES)
    yield running
    running.close()


@pytest.fixture
def connect() -> Iterator[Callable[..., EdgeSession]]:
    """Opens a session of a new user of an organization, by default as its admin."""
    opened: list[EdgeSession] = []

    def make(server: EdgeServer, organization: str, *roles: str, server_admin: bool = False) -> EdgeSession:
        user = server.create_user(organization=organization, roles=roles or ("admin",), server_admin=server_admin)
        session = EdgeSession(api_token=server.create_token(user), service_url=server.url, organization=organization)
        opened.append(session)
        return session

    yield make
    for session in opened:
        session.close()
