"""A server of fixed answers, so that what is measured is the client: `python -m benchmarks.answering` prints its URL.

What is asked for below ``/late`` is answered `LATE` seconds after it was. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

PAGE = 1000
ITEMS = 100_000

LATE = 0.02
"""Seconds."""

ME = {
    "user_name": "ada",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "email": "ada@example.com",
    "server_admin": False,
    "license_name": None,
    "organizations": [
        {"organization_name": "default", "title": "The default organization", "roles": ["admin", "developer"]},
        {"organization_name": "plates", "title": "Plate readers and their results", "roles": []},
    ],
}


def row(number: int) -> dict[str, object]:
    """A record of 13 fields: 2 moments, 1 object, 1 dictionary and 1 list among them."""
    return {
        "id": number,
        "uid": f"1488ac82-8e38-11ee-84c0-{number:012x}",
        "name": f"plate-{number}.csv",
        "kind": "file",
        "size": number * 37,
        "ratio": 0.25,
        "ready": True,
        "note": None,
        "created_at": "2026-03-01T12:30:00Z",
        "modified_at": "2026-03-02T12:30:00.250000Z",
        "owner": {"user_name": "ada", "first_name": "Ada"},
        "labels": {"assay": "elisa", "reader": "north"},
        "tags": ["raw", "checked"],
    }


class _Answers(asyncio.Protocol):
    pages: dict[int, bytes] = {}
    me = json.dumps(ME).encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            target = self._received.split(b" ", 2)[1].decode()
            self._received = self._received[end + 4 :]
            body = self._body(target)
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            answer = head.encode() + body
            if target.startswith("/late"):
                asyncio.get_running_loop().call_later(LATE, self._write, answer)
            else:
                self._write(answer)

    def _write(self, answer: bytes) -> None:
        self._transport.write(answer)  # type: ignore[attr-defined]

    def _body(self, target: str) -> bytes:
        parts = urlsplit(target)
        if not parts.path.endswith("/items"):
            return self.me
        start = int(parse_qs(parts.query).get("cursor", ["0"])[0])
        if start not in self.pages:
            following = str(start + PAGE) if start + PAGE < ITEMS else None
            items = [row(number) for number in range(start, start + PAGE)]
            self.pages[start] = json.dumps({"items": items, "next": following}).encode()
        return self.pages[start]


@contextlib.contextmanager
def answering() -> Iterator[str]:
    """Such a server in a process of its own; gives its URL."""
    command = [sys.executable, "-m", "benchmarks.answering"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Answers, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve())
