"""A server that throws uploads away, so that what is measured is the client: `python -m benchmarks.transfers.sink`.

It prints its URL, and ends when its standard input does. It speaks as much of the API as an upload in parts needs; any
other PUT is taken as well. What is sent is dropped inside the system, without being copied to this process. Linux only.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

PART_SIZE = 8 << 20

DROPPED = 4 << 20
"""Bytes that are dropped at once."""

LATER = "2999-01-01T00:00:00Z"


def _answer(method: str, target: str, body: bytes, url: str) -> object:
    """Return what is answered to a request that is no part, as JSON."""
    if method != "POST":
        return {}
    request = json.loads(body)
    if target.endswith("/uploads"):
        upload = {"id": "sink", "path": request["path"], "part_size": PART_SIZE, "expires_at": LATER}
        return {**upload, "size": request["size"], "parts": [], "signed_digest": None, "resumed": False}
    if target.endswith("/sign"):
        numbers = [part["n"] for part in request["parts"]]
        parts = [{"n": n, "url": f"{url}/part/{n}", "headers": {}, "expires_at": LATER} for n in numbers]
        return {"parts": parts}
    entry = {"name": "sink", "kind": "file", "uid": "sink", "modified_at": LATER}
    return {**entry, "digest": request["digest"], "part_size": PART_SIZE}


def _serve(connection: socket.socket, url: str) -> None:
    with connection, contextlib.suppress(ConnectionError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received, dropped = b"", bytearray(DROPPED)
        while True:
            while b"\r\n\r\n" not in received:
                block = connection.recv(1 << 16)
                if not block:
                    return
                received += block
            head, _, received = received.partition(b"\r\n\r\n")
            method, target, _ = head.split(b"\r\n")[0].decode().split(" ", 2)
            length = int((re.findall(rb"(?im)^content-length: *(\d+)", head) or [b"0"])[0])
            if re.search(rb"(?im)^expect: *100-continue", head):
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            if method == "PUT":
                left = length - len(received)
                while left > 0:
                    # tcp(7): MSG_TRUNC drops the bytes.
                    count = connection.recv_into(dropped, min(left, DROPPED), socket.MSG_TRUNC)
                    if not count:
                        return
                    left -= count
                received = b""
                body = b"{}"
            else:
                while len(received) < length:
                    received += connection.recv(1 << 16)
                request, received = received[:length], received[length:]
                body = json.dumps(_answer(method, target, request, url)).encode()
            connection.sendall(
                b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: "sink"\r\n'
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )


@contextlib.contextmanager
def sink() -> Iterator[tuple[int, str]]:
    """Such a server in a process of its own; gives the id of the process and its URL."""
    command = [sys.executable, "-m", "benchmarks.transfers.sink"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.pid, process.stdout.readline().strip()
        finally:
            process.stdin.close()


def _listen() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection, url), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print(url, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _listen()
