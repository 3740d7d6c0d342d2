"""Hosts are restarted one after another, on a database that is migrated meanwhile, and clients notice nothing."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest

from edge_core.session import EdgeSession
from edge_server.data.migration import migrate
from edge_server.data.migrations import HEAD
from tests.waiting import wait_for

from .balancer import Balancer, balanced
from .hosts import Hosts, two_hosts
from .test_database import ADDITIVE, newer_history

CLIENTS = 3
"""Who work at once."""

STEPS = 2
"""Rounds of work that each client does between two restarts at least."""


class Client(threading.Thread):
    """Works with files and secrets until it is told to stop.

    Attributes:
        kept: the files that it has stored, by their paths.
        rounds: how often it has done all.
        errors: what it met.
    """

    def __init__(self, number: int, url: str, token: str, organization: str) -> None:
        super().__init__(daemon=True)
        self.kept: dict[str, bytes] = {}
        self.rounds = 0
        self.errors: list[Exception] = []
        self.over = threading.Event()
        self._number = number
        self._access = (token, url, organization)

    def run(self) -> None:
        with EdgeSession(*self._access) as edge:
            for n in itertools.count():
                if self.over.is_set():
                    return
                try:
                    self._round(edge, f"{self._number}-{n}")
                except Exception as error:
                    self.errors.append(error)
                self.rounds += 1

    def _round(self, edge: EdgeSession, name: str) -> None:
        content = name.encode() * 100
        edge.files.upload(f"in/{name}", content)
        self.kept[f"in/{name}"] = content
        assert edge.files.read_bytes(f"in/{name}") == content
        edge.files.move(f"in/{name}", f"kept/{name}")
        self.kept[f"kept/{name}"] = self.kept.pop(f"in/{name}")
        edge.secrets.create_user_secret(name, {"value": name})
        assert edge.secrets.read_user_secret(name) == {"value": name}
        edge.secrets.delete_user_secret(name)


@pytest.mark.slow
def test_a_rolling_restart_on_a_newer_database_shows_no_client_an_error(tmp_path: Path) -> None:
    with two_hosts(tmp_path) as hosts:
        hosts.a.start()
        hosts.b.start()
        organization = hosts.a.create_organization()
        token = hosts.a.create_token(hosts.a.create_user(organization=organization))
        with balanced([hosts.a.url, hosts.b.url]) as balancer:
            clients = [Client(n, balancer.url, token, organization) for n in range(CLIENTS)]
            for each in clients:
                each.start()
            _restart_all(hosts, balancer, clients)
            migrate(hosts.a.database, tmp_path / "backups", [newer_history(tmp_path / "newer", ADDITIVE)])
            assert hosts.a.database.revision() == f"{int(HEAD) + 1:04}"
            _restart_all(hosts, balancer, clients)
            for each in clients:
                each.over.set()
            for each in clients:
                each.join(120)
                assert not each.is_alive()
        assert [error for each in clients for error in each.errors] == []
        with EdgeSession(token, hosts.b.url, organization) as edge:
            kept = {path: content for each in clients for path, content in each.kept.items()}
            names = {f"{folder.path}/{name}" for folder, _, files in edge.files.walk() for name in files}
            assert {name.lstrip("/") for name in names} == set(kept)
            for path, content in kept.items():
                assert edge.files.read_bytes(path) == content


def _restart_all(hosts: Hosts, balancer: Balancer, clients: list[Client]) -> None:
    """Restart each host while the other goes on, with work before, between and afterwards."""
    for n, host in enumerate((hosts.a, hosts.b)):
        _let_work(clients)
        assert host.stop() == 0
        _let_work(clients)
        host.start()
        balancer.urls[n] = host.url
    _let_work(clients)


def _let_work(clients: list[Client]) -> None:
    before = [each.rounds for each in clients]
    wait_for(lambda: all(each.rounds >= was + STEPS for each, was in zip(clients, before, strict=True)))
