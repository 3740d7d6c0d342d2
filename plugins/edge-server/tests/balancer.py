"""What stands in front of several hosts: connections go to those that take them, by turns."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit


class Balancer:
    """Takes connections at an address of its own and hands their bytes on, as a proxy on the level of TCP does.

    Args:
        urls: the hosts' addresses; to be changed at any time.

    Attributes:
        urls: the hosts' addresses.
        url: its own address.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self.urls = list(urls)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._turn = 0
        self._threads = [threading.Thread(target=self._take, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Take no more connections; those there are end with their clients."""
        # A thread that waits in `accept` does not see that the listener is closed.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(30)

    def _take(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._hand_on, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _hand_on(self, client: socket.socket) -> None:
        with client:
            self._turn += 1
            urls = list(self.urls)
            for n in range(len(urls)):
                where = urlsplit(urls[(self._turn + n) % len(urls)])
                try:
                    host = socket.create_connection((where.hostname, where.port), 10)
                except OSError:
                    continue
                with host:
                    _exchange(client, host)
                return


def _exchange(client: socket.socket, host: socket.socket) -> None:
    """Hand on what either side sends, until one of them ends."""
    host.settimeout(60)
    client.settimeout(60)
    with selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ, host)
        selector.register(host, selectors.EVENT_READ, client)
        while True:
            for key, _ in selector.select():
                side: socket.socket = key.fileobj  # type: ignore[assignment]
                try:
                    block = side.recv(1 << 16)
                    if not block:
                        return
                    key.data.sendall(block)
                except OSError:
                    return


@contextlib.contextmanager
def balanced(urls: Sequence[str]) -> Iterator[Balancer]:
    """A balancer that is closed in the end."""
    balancer = Balancer(urls)
    try:
        yield balancer
    finally:
        balancer.close()
