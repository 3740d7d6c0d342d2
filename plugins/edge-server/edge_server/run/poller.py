"""The one thread that waits: for requests to be whole, for slow readers, and for connections to be closed.

It does nothing that takes time. A connection is either here, or with a thread that answers its
request; a thread that cannot go on without the other side gives it back.
"""

from __future__ import annotations

import collections
import contextlib
import enum
import errno
import os
import selectors
import socket
import time
from collections.abc import Callable, Sequence

from edge_server.run.connection import RATE, RATE_SECONDS, Connection

IDLE_SECONDS = 75.0
"""Seconds for which a connection without a request is kept; it costs a file descriptor."""

HEADER_SECONDS = 10.0
"""Seconds from the first byte of a request to the end of its header."""

CLOSING_SECONDS = 2.0
"""Seconds for which the rest of a body is thrown away, so that its sender gets to read the answer."""

STOPPING_SECONDS = 2.0
"""Seconds for which a server that stops takes requests on connections that are open."""

HELD = 64 << 20
"""Bytes of requests that are not whole, of all connections; beyond, the one that began first is closed."""

_ACCEPTED_AT_ONCE = 100


class State(enum.Enum):
    """What a connection that is here waits for."""

    IDLE = "the first byte of a request"
    HEADER = "the rest of a header"
    BODY = "the rest of a small body"
    SENDING = "the other side to take more of the answer"
    CLOSING = "the other side to close as well"


SPARE = (State.IDLE, State.CLOSING, State.HEADER, State.BODY)
"""Which connections are closed where there are too many, those first that have waited longest."""


class Poller:
    """The connections of a process that wait.

    Args:
        listeners: sockets that listen.
        wake: reading end and writing end of a pipe that wakes the poller.
        most: connections at once.
        answer: answers the request of a connection, which is all here, in another thread.
        receive: answers one with a body that is to be waited for, in another thread.
        proceed: goes on with an answer, in another thread.
        abandon: ends an answer that nobody takes, in another thread.
        too_slow: what is sent to whoever does not come to an end with a request.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        wake: Sequence[int],
        most: int,
        *,
        answer: Callable[[Connection], object],
        receive: Callable[[Connection], object],
        proceed: Callable[[Connection], object],
        abandon: Callable[[Connection], object],
        too_slow: Callable[[], bytes],
    ) -> None:
        self._listeners = listeners
        self._wake = wake
        self._most = most
        self._answer = answer
        self._receive = receive
        self._proceed = proceed
        self._abandon = abandon
        self._too_slow = too_slow
        self._stopping = False
        self._accepting = False
        self._is_asleep = False
        self._held = 0
        self._connections: set[Connection] = set()
        self._states: dict[Connection, State] = {}
        self._deadlines = {state: collections.OrderedDict[Connection, float]() for state in State}
        self._returned: collections.deque[Connection] = collections.deque()
        self._looked_at = 0.0
        self._selector = selectors.DefaultSelector()
        self._selector.register(wake[0], selectors.EVENT_READ)
        for listener in listeners:
            listener.setblocking(False)

    def poll(self, seconds: float) -> None:
        """Do what is due, and wait for more at most that long."""
        self._accept_while(not self._stopping and (len(self._connections) < self._most or self._spare() is not None))
        self._is_asleep = True
        events = self._selector.select(0 if self._returned else seconds)
        self._is_asleep = False
        while self._returned:
            self._take_back(self._returned.popleft())
        for key, _ in events:
            if isinstance(key.fileobj, int):
                with contextlib.suppress(BlockingIOError):
                    os.read(key.fileobj, 4096)
            elif not isinstance(key.data, Connection):
                self._accept(key.data)
            elif key.data in self._connections:  # an event before may have closed it
                self._on_event(key.data)
        now = time.monotonic()
        if now >= self._looked_at + min(1.0, HEADER_SECONDS / 4, RATE_SECONDS / 4):
            self._looked_at = now
            self._expire(now)

    def give_back(self, connection: Connection) -> None:
        """Return a connection whose thread is done with it for now; called by that thread."""
        says_nothing_yet = connection.keeps and not connection.received
        self._returned.append(connection)
        # Asked only now: the poller says that it sleeps, or watches no more, before it looks for what was returned.
        if not self._is_asleep or (says_nothing_yet and connection.watched and self._accepting):
            return  # it is awake, or will be as soon as that connection has its next request
        # If the pipe is full, the poller is awake.
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake[1], b".")

    def stop(self) -> None:
        """Take no more connections, and those that are open only for a moment."""
        self._stopping = True
        self._accept_while(False)
        for listener in self._listeners:
            listener.close()
        until = time.monotonic() + STOPPING_SECONDS
        idle = self._deadlines[State.IDLE]
        idle.update({connection: min(deadline, until) for connection, deadline in idle.items()})

    def is_empty(self) -> bool:
        """Whether there are no connections, neither here nor with a thread."""
        return not self._connections

    # --- accepting --------------------------------------------------------------------------------

    def _accept_while(self, accepting: bool) -> None:
        if accepting == self._accepting:
            return
        self._accepting = accepting
        for listener in self._listeners:
            if accepting:
                self._selector.register(listener, selectors.EVENT_READ, listener)
            else:
                self._selector.unregister(listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            if len(self._connections) >= self._most and not self._close_spare():
                return
            try:
                peer, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE) and self._close_spare():
                    continue
                return
            connection = Connection(peer, address, listener.getsockname())
            self._connections.add(connection)
            self._wait(connection, State.IDLE)

    def _spare(self) -> Connection | None:
        for state in SPARE:
            if self._deadlines[state]:
                return next(iter(self._deadlines[state]))
        return None

    def _close_spare(self) -> bool:
        connection = self._spare()
        if connection is not None:
            self._close(connection)
        return connection is not None

    # --- waiting ----------------------------------------------------------------------------------

    def _wait(self, connection: Connection, state: State) -> None:
        before = self._states.get(connection)
        if before is state:
            return
        if before is not None:
            del self._deadlines[before][connection]
        else:
            self._watch(connection, selectors.EVENT_WRITE if state is State.SENDING else selectors.EVENT_READ)
        self._states[connection] = state
        self._deadlines[state][connection] = self._deadline(connection, state)

    def _deadline(self, connection: Connection, state: State) -> float:
        now = time.monotonic()
        match state:
            case State.IDLE:
                return now + (STOPPING_SECONDS if self._stopping else IDLE_SECONDS)
            case State.HEADER:
                return now + HEADER_SECONDS
            case State.CLOSING:
                return now + CLOSING_SECONDS
            case State.BODY:
                return now + RATE_SECONDS
            case State.SENDING:
                if connection.window is None:
                    connection.window = (now + RATE_SECONDS, connection.sent)
                return connection.window[0]

    def _wait_no_more(self, connection: Connection) -> None:
        state = self._states.pop(connection, None)
        if state is not None:
            del self._deadlines[state][connection]

    def _watch(self, connection: Connection, events: int) -> None:
        """Have the selector tell of these events of a connection; of none with 0."""
        if events == connection.watched:
            return
        if not events:
            self._selector.unregister(connection.socket)
        elif not connection.watched:
            self._selector.register(connection.socket, events, connection)
        else:
            self._selector.modify(connection.socket, events, connection)
        connection.watched = events

    def _close(self, connection: Connection) -> None:
        self._wait_no_more(connection)
        self._watch(connection, 0)
        self._connections.discard(connection)
        self._hold(connection, 0)
        if connection.steps is None:
            connection.close()
        else:
            # What the application does at the end of an answer may take time.
            self._abandon(connection)

    def _hold(self, connection: Connection, count: int) -> None:
        self._held += count - connection.held
        connection.held = count

    def _expire(self, now: float) -> None:
        for state, deadlines in self._deadlines.items():
            for connection in [connection for connection, deadline in deadlines.items() if deadline <= now]:
                if state is State.SENDING and connection.window is not None:
                    if connection.sent - connection.window[1] >= RATE * RATE_SECONDS:
                        connection.window = (now + RATE_SECONDS, connection.sent)
                        deadlines[connection] = connection.window[0]
                        continue
                elif state in (State.HEADER, State.BODY):
                    with contextlib.suppress(OSError):
                        connection.socket.send(self._too_slow())
                self._close(connection)

    # --- what happens -----------------------------------------------------------------------------

    def _on_event(self, connection: Connection) -> None:
        match self._states.get(connection):
            case None:
                # Most say nothing while a thread answers them, and are watched all the while. This one does.
                self._watch(connection, 0)
            case State.SENDING:
                self._wait_no_more(connection)
                self._watch(connection, 0)
                self._proceed(connection)
            case State.CLOSING:
                if not connection.discard():
                    self._close(connection)
                elif connection.discardable <= 0:
                    # Closing now would take the answer from a sender that has not read it yet.
                    self._watch(connection, 0)
            case state:
                if connection.fill():
                    self._read(connection)
                elif state is State.BODY:
                    # The application knows what becomes of half a body.
                    connection.is_whole = False
                    self._hand_over(connection)
                else:
                    self._close(connection)

    def _read(self, connection: Connection) -> None:
        """Look at what has come of a request."""
        if not connection.received:
            self._wait(connection, State.IDLE)
        elif not connection.has_header():
            self._keep(connection, State.HEADER)
        elif not connection.has_small_body():
            self._keep(connection, State.BODY)
        else:
            self._hand_over(connection)

    def _hand_over(self, connection: Connection) -> None:
        self._wait_no_more(connection)
        self._hold(connection, 0)
        if connection.is_whole:
            self._answer(connection)
        else:
            self._watch(connection, 0)  # the thread does
            self._receive(connection)

    def _keep(self, connection: Connection, state: State) -> None:
        """Wait for the rest of a request."""
        self._wait(connection, state)
        self._hold(connection, len(connection.received))
        while self._held > HELD:
            for incomplete in (State.HEADER, State.BODY):
                if self._deadlines[incomplete]:
                    self._close(next(iter(self._deadlines[incomplete])))
                    break

    def _take_back(self, connection: Connection) -> None:
        if connection.steps is not None:
            self._wait(connection, State.SENDING)
        elif connection.keeps:
            connection.begin()
            self._read(connection)
        elif connection.discardable > 0:
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_WR)
            self._wait(connection, State.CLOSING)
        else:
            self._close(connection)
