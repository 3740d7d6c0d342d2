"""What the thread that waits does for a request, and that it misses nothing."""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from edge_server.run.connection import Connection
from edge_server.run.poller import Poller
from edge_server.run.threads import Threads

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Counting(selectors.DefaultSelector):
    """Counts what it is told to watch."""

    registered = 0

    def register(self, *arguments: Any) -> selectors.SelectorKey:
        self.registered += 1
        return super().register(*arguments)


class Site:
    """A poller whose requests the test answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.selector = Counting()
        monkeypatch.setattr(selectors, "DefaultSelector", lambda: self.selector)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.pipe = os.pipe()
        for end in self.pipe:
            os.set_blocking(end, False)
        self.requests: list[Connection] = []
        self.abandoned: list[Connection] = []
        self.poller = Poller(
            [self.listener],
            self.pipe,
            10,
            answer=self.requests.append,
            receive=self.requests.append,
            proceed=self.requests.append,
            abandon=self.abandoned.append,
            too_slow=lambda: b"",
        )

    def connect(self) -> socket.socket:
        return socket.create_connection(self.listener.getsockname())

    def poll_for_request(self, count: int) -> Connection:
        while len(self.requests) < count:
            self.poller.poll(60)
        return self.requests[-1]

    def answer(self, connection: Connection, *, keep: bool = True) -> None:
        del connection.received[: len(REQUEST)]
        connection.keeps = keep
        self.poller.give_back(connection)

    def wakings(self) -> int:
        """How often the poller was woken by who gave a connection back."""
        try:
            return len(os.read(self.pipe[0], 4096))
        except BlockingIOError:
            return 0

    def close(self) -> None:
        self.listener.close()
        for connection in {*self.requests}:
            connection.close()
        for end in self.pipe:
            os.close(end)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    site = Site(monkeypatch)
    yield site
    site.close()


def test_requests_of_a_connection_that_is_kept_cost_no_registering_and_no_waking(site: Site) -> None:
    with site.connect() as wire:
        for count in range(1, 6):
            wire.sendall(REQUEST)
            site.answer(site.poll_for_request(count))
            assert site.wakings() == 0
    assert site.selector.registered == 3  # the pipe, the listener, and the connection


def test_a_poller_that_sleeps_is_woken_to_close_a_connection(site: Site) -> None:
    with site.connect() as wire:
        wire.sendall(REQUEST)
        connection = site.poll_for_request(1)
        asleep = threading.Thread(target=site.poller.poll, args=(60,))
        asleep.start()
        site.answer(connection, keep=False)
        wire.settimeout(60)
        asleep.join()
        assert wire.recv(1) == b""


def test_a_request_that_comes_before_the_answer_to_the_last_is_not_missed(site: Site) -> None:
    with site.connect() as wire:
        wire.sendall(REQUEST)
        connection = site.poll_for_request(1)
        wire.sendall(REQUEST)
        site.poller.poll(60)
        assert site.requests == [connection]
        site.poller.poll(0)  # which is not told again and again
        site.answer(connection)
        assert site.poll_for_request(2) is connection


def test_pipelined_requests_are_answered_in_their_order(site: Site) -> None:
    with site.connect() as wire:
        wire.sendall(2 * REQUEST)
        connection = site.poll_for_request(1)
        assert site.requests == [connection]
        site.answer(connection)
        assert site.poll_for_request(2) is connection


def test_a_client_that_leaves_while_it_is_answered_is_forgotten(site: Site) -> None:
    with site.connect() as wire:
        wire.sendall(REQUEST)
        connection = site.poll_for_request(1)
    site.poller.poll(60)
    site.answer(connection)
    while not site.poller.is_empty():
        site.poller.poll(60)


def test_a_poller_without_connections_has_stopped_at_once(site: Site) -> None:
    site.poller.poll(0)
    site.poller.stop()
    assert site.poller.is_empty()


def test_a_poller_that_stops_keeps_a_connection_until_its_request_is_answered(site: Site) -> None:
    with site.connect() as client:
        client.sendall(REQUEST)
        at_hand = site.poll_for_request(1)
        site.poller.stop()
        site.poller.poll(0)
        assert not site.poller.is_empty()
        site.answer(at_hand, keep=False)
        site.poller.poll(0)
        assert site.poller.is_empty()


# --- threads --------------------------------------------------------------------------------------


def connection() -> Connection:
    ours, theirs = socket.socketpair()
    theirs.close()
    ours_connection = Connection(ours, "", "")
    ours.close()
    return ours_connection


def test_threads_are_started_as_they_are_needed_and_no_more_than_allowed() -> None:
    release = threading.Semaphore(0)
    running = threading.Semaphore(0)
    names: set[str] = set()

    def act(_: Connection) -> None:
        names.add(threading.current_thread().name)
        running.release()
        release.acquire()

    threads = Threads(2, "acting", act, logging.getLogger("edge_server"))
    for _ in range(3):
        threads.take(connection())
    for _ in range(2):
        assert running.acquire(timeout=60)
    assert not running.acquire(blocking=False)
    release.release(3)
    assert running.acquire(timeout=60)
    assert names == {"acting_1", "acting_2"}
    threads.stop()


def test_a_failure_is_logged_without_its_text_and_the_thread_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()
    failing, last = connection(), connection()

    def act(at_hand: Connection) -> None:
        if at_hand is failing:
            raise ValueError("Bearer secret")
        done.set()

    threads = Threads(1, "acting", act, logging.getLogger("gunicorn.error"))
    threads.take(failing)
    threads.take(last)
    assert done.wait(60)
    assert [record.getMessage() for record in caplog.records] == [
        "a request failed outside of the application: ValueError"
    ]
    threads.stop()
