"""A socket that speaks as much HTTP/1.1 as tells one message from the next."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Iterator

_BLOCK = 1 << 16
_LONGEST_HEAD = 1 << 20


class Connection:
    """A socket, and what of HTTP has to be understood to tell one message from the next."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connection
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self) -> bytes:
        """A message's head with the empty line that ends it; empty if the other side has gone."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _LONGEST_HEAD or not self._receive():
                return b""
        return self._take(end + 4)

    def body(self, head: bytes, *, to_the_end: bool = False) -> Iterator[bytes]:
        """The body that follows a head, as it is on the wire.

        Args:
            head: the message's head.
            to_the_end: a body of no stated length ends with the connection, as answers' do.
        """
        headers = headers_of(head)
        if headers.get("transfer-encoding", "").lower() == "chunked":
            yield from self._chunks()
        elif "content-length" in headers:
            yield from self._stretch(int(headers["content-length"]))
        elif to_the_end:
            while self._buffer or self._receive():
                yield self._take(len(self._buffer))

    def _stretch(self, length: int) -> Iterator[bytes]:
        while length:
            if not self._buffer and not self._receive():
                raise ConnectionError("the other side has gone in the middle of a message")
            block = self._take(min(length, len(self._buffer)))
            length -= len(block)
            yield block

    def _chunks(self) -> Iterator[bytes]:
        while True:
            while (end := self._buffer.find(b"\r\n")) < 0:
                if not self._receive():
                    return
            line = self._take(end + 2)
            yield line
            size = int(line.partition(b";")[0], 16)
            yield from self._stretch(size + 2)  # trailers are not understood; nobody sends them
            if size == 0:
                return

    def gone(self, seconds: float, *, only_peek: bool = False) -> bool:
        """Whether the other side closes the connection within some seconds."""
        if not select.select([self.socket], [], [], seconds)[0]:
            return False
        try:
            seen = self.socket.recv(_BLOCK, socket.MSG_PEEK if only_peek else 0)
        except OSError:
            return True
        if seen and only_peek:
            time.sleep(seconds)  # there is something to read, so select does not wait
        return not seen

    def _receive(self) -> bool:
        block = self.socket.recv(_BLOCK)
        self._buffer += block
        return bool(block)

    def _take(self, size: int) -> bytes:
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def hang_up(self) -> None:
        """End the connection from another thread; its own one notices and closes the socket."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()


def request_line(head: bytes) -> tuple[str, str]:
    method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
    return method, rest.rpartition(" ")[0]


def headers_of(head: bytes) -> dict[str, str]:
    """A head's headers, under their names in lower case."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
