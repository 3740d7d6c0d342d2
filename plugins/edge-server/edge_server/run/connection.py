"""One connection of the server, as gunicorn's parser and answers use a socket, but without ever waiting unbounded.

What has come in is kept here until it is a whole header, and what goes out is kept until the other
side takes it, so that a thread waits for neither. It waits for a body alone, and only as long as
the body keeps to the least rate.
"""

from __future__ import annotations

import collections
import contextlib
import contextvars
import os
import re
import select
import socket
import time
from collections.abc import Callable, Generator
from typing import Any, BinaryIO, TypeVar

RATE = 8 << 10
"""Bytes a second that a body, or an answer that is being read, makes at least, averaged over `RATE_SECONDS`."""

RATE_SECONDS = 30.0
"""Long enough for a line that is away for a moment."""

SMALL_BODY = 64 << 10
"""Bytes of a body that is read before anybody looks at the request; it may take `RATE_SECONDS`."""

LONGEST_HEADER = 1 << 20
"""Bytes after which what was read is parsed, whole or not, to say what is wrong with it."""

UNSENT = 256 << 10
"""Bytes that the system keeps for a slow reader, beside what is under way; it would take 4 MiB."""

SENT_AT_ONCE = 4 << 20
"""Bytes after which whoever sends gives way to the others."""

_RECEIVED_AT_ONCE = 64 << 10

_JOINED = 64 << 10

_T = TypeVar("_T")

_END = b"\r\n\r\n"

# Zeros in front change nothing; with more digits than these it is refused whatever comes.
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*0*([0-9]{1,19})[ \t]*\r\n", re.IGNORECASE)

# No operation by these methods has a body. One that comes all the same is not waited for.
_WITHOUT_BODY = (b"GET ", b"HEAD ", b"DELETE ")

# A sender that waits to be told, and a body that does not say how long it is.
_NOT_NOW = re.compile(rb"\r\n(?:expect|transfer-encoding):", re.IGNORECASE)


def _nothing() -> None:
    pass


class _FilePart:
    """Bytes of a file that are still to be sent."""

    def __init__(self, file: BinaryIO, offset: int, left: int) -> None:
        self.file = file
        self.offset = offset
        self.left = left


class Connection:
    """A peer.

    Args:
        peer: the socket that was accepted; it never blocks from here on.
        address: of the other side.
        server: of ours.

    Attributes:
        received: what has come and was not asked for yet.
        context: the context of the request at hand, which more than one thread may answer in turns.
        steps: the answer to it, as far as it was not sent yet.
        keeps: whether the connection is kept after that answer.
        discardable: bytes of a body that nobody wants which are read and thrown away.
        sent: bytes that were sent so far.
        window: when the rate of sending is looked at next, and what was sent before; None for not yet.
        watched: events that the poller is told of; 0 for none.
        held: bytes of an incomplete request, as the poller counts them.
        is_whole: whether all of a request is here once it has a header and a small body.
        may_wait: whether `recv` reads a body that it may wait for.
        before_body: called then, each time.
    """

    def __init__(self, peer: socket.socket, address: Any, server: Any) -> None:
        peer.setblocking(False)
        with contextlib.suppress(OSError):
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        self.socket = peer
        self.address = address
        self.server = server
        self.received = bytearray()
        self.context = contextvars.Context()
        self.steps: Generator[None] | None = None
        self.keeps = False
        self.discardable = 0
        self.sent = 0
        self.window: tuple[float, int] | None = None
        self.watched = 0
        self.held = 0
        self.is_whole = True
        self.may_wait = False
        self.before_body: Callable[[], object] = _nothing
        self._go_ahead = b""
        self._outgoing: collections.deque[memoryview | _FilePart] = collections.deque()
        self._searched = 0
        self._header = 0
        self._whole = 0
        self._waited = 0.0
        self._arrived = 0
        self._stalled = False

    # --- without waiting --------------------------------------------------------------------------

    def fill(self) -> bool:
        """Take what has come; False if the other side is gone."""
        block = self._taken()
        self.received += block or b""
        return block is not None

    def has_header(self) -> bool:
        """Whether a whole header has come, or too much for one."""
        if not self._header:
            if self.received.startswith((b"\r", b"\n")):  # what RFC 9112, section 2.2, says to pass over
                self.received[:] = self.received.lstrip(b"\r\n")
            end = self.received.find(_END, max(0, self._searched - len(_END)))
            self._searched = len(self.received)
            if end < 0:
                return len(self.received) > LONGEST_HEADER
            self._header = end + len(_END)
            # Only how much to wait for. What the body is, the parser says.
            head = self.received[: self._header]
            length = _LENGTH.search(head)
            size = int(length[1]) if length else 0
            is_small = size <= SMALL_BODY and not _NOT_NOW.search(head)
            self.is_whole = is_small or head.startswith(_WITHOUT_BODY)
            self._whole = self._header + (size if is_small else 0)
        return True

    def has_small_body(self) -> bool:
        """Whether the body has come too, if it is one to wait for here; asked once there is a header."""
        return len(self.received) >= self._whole

    def begin(self) -> None:
        """Forget the request before; another one is about to be read."""
        self.context = contextvars.Context()
        self.is_whole = True
        self.may_wait = False
        self.before_body = _nothing
        self.window = None
        self.discardable = self._header = self._whole = self._searched = 0
        self._go_ahead = b""
        self._waited, self._arrived = 0.0, 0

    def discard(self) -> bool:
        """Throw away what has come; False once the other side is done."""
        block = self._taken()
        self.discardable -= len(block or b"")
        return block is not None

    def _taken(self) -> bytes | None:
        """What has come, which may be nothing yet; None once nothing more comes."""
        try:
            return self.socket.recv(_RECEIVED_AT_ONCE) or None
        except BlockingIOError:
            return b""
        except OSError:
            return None

    def flush(self) -> bool:
        """Send what there is to send, as far as the other side takes it; True if nothing is left.

        Raises:
            OSError: the other side is gone.
        """
        budget = SENT_AT_ONCE
        while self._outgoing and budget > 0:
            part = self._outgoing[0]
            try:
                if isinstance(part, memoryview):
                    count = self.socket.send(part)
                else:
                    count = os.sendfile(self.socket.fileno(), part.file.fileno(), part.offset, min(part.left, budget))
            except BlockingIOError:
                return False
            self.sent += count
            budget -= count
            if isinstance(part, memoryview):
                if count < len(part):
                    self._outgoing[0] = part[count:]
                    continue
            else:
                part.offset += count
                part.left -= count
                part.file.seek(part.offset)  # which is how a file that counts learns of it
                if not count:
                    raise OSError("the file is shorter than it was")
                if part.left:
                    continue
            self._outgoing.popleft()
        return not self._outgoing

    def clear(self) -> None:
        """Forget what was to be sent."""
        self._outgoing.clear()

    def close(self) -> None:
        """Close it, whatever is left."""
        self.clear()
        with contextlib.suppress(OSError):
            self.socket.close()

    # --- what gunicorn calls ----------------------------------------------------------------------

    def recv(self, size: int) -> bytes:
        """What has come; waits only for a body.

        Raises:
            TimeoutError: the body comes too slowly.
            OSError: the other side is gone.
        """
        if self.may_wait:
            self.before_body()
        if self.received:
            block = bytes(self.received[:size])
            del self.received[:size]
            return block
        if not self.may_wait:
            return b""
        self._tell_to_go_ahead()
        block = self._once_ready(lambda: self.socket.recv(size))
        self._arrived += len(block)
        return block

    def recv_into(self, buffer: memoryview) -> int:
        """Put what has come of a body into `buffer`, as `recv` gives it; returns how many bytes.

        Raises:
            TimeoutError: the body comes too slowly.
            OSError: the other side is gone.
        """
        if self.received or not self.may_wait:
            block = self.recv(len(buffer))
            buffer[: len(block)] = block
            return len(block)
        self.before_body()
        self._tell_to_go_ahead()
        count = self._once_ready(lambda: self.socket.recv_into(buffer))
        self._arrived += count
        return count

    def _tell_to_go_ahead(self) -> None:
        if self._go_ahead:
            self.socket.send(self._go_ahead)
            self._go_ahead = b""

    def _once_ready(self, receive: Callable[[], _T]) -> _T:
        """What `receive` gives once something has come."""
        while not self._stalled:
            try:
                return receive()
            except BlockingIOError:
                self._wait_for_more()
        raise TimeoutError

    def _wait_for_more(self) -> None:
        """Wait, and note whether what came is too little for the time that was spent waiting."""
        begun = time.monotonic()
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        poll.poll(1000 * (RATE_SECONDS - self._waited))
        self._waited += time.monotonic() - begun
        if self._waited >= RATE_SECONDS:
            self._stalled = self._arrived < RATE * RATE_SECONDS
            self._waited, self._arrived = 0.0, 0

    def send(self, go_ahead: bytes) -> None:
        """Keep gunicorn's word that the body may come (``100 Continue``) until somebody asks for it."""
        self._go_ahead = go_ahead

    def sendall(self, content: bytes) -> None:
        """Have `content` sent by `flush`."""
        last = self._outgoing[-1] if self._outgoing else None
        if isinstance(last, memoryview) and len(last) + len(content) <= _JOINED:
            # A short answer is one packet with its header.
            self._outgoing[-1] = memoryview(bytes(last) + content)
        elif content:
            self._outgoing.append(memoryview(content))

    def sendfile(self, file: BinaryIO, offset: int = 0, count: int | None = None) -> None:
        """Have `count` bytes of a file sent by `flush`; it must stay open until then."""
        left = os.fstat(file.fileno()).st_size - offset if count is None else count
        self._outgoing.append(_FilePart(file, offset, left))

    def getsockname(self) -> Any:
        """The address of ours."""
        return self.server
