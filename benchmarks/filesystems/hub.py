"""A stand-in of the Hugging Face Hub: as much of it as `HfFileSystem` asks for to read a data set."""

from __future__ import annotations

import contextlib
import http.server
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.filesystems.counting import serving

REPOSITORY = "bench/files"

COMMIT = "0" * 40

API = f"/api/datasets/{REPOSITORY}"

CONTENT = f"/datasets/{REPOSITORY}/resolve/"


class _Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: Mapping[str, Path]
    addresses: Mapping[str, str]

    def do_GET(self) -> None:
        path = urllib.parse.unquote(self.path.partition("?")[0])
        if path.startswith(CONTENT):
            name = path.rpartition("/")[2]
            self._answer(302, b"", Location=self.addresses[name])
        elif path.startswith(f"{API}/tree/"):
            self._json([self._entry(name) for name in self.files])
        elif path.startswith(API):
            self._json({"_id": "0", "id": REPOSITORY, "sha": COMMIT, "private": False, "siblings": [], "tags": []})
        else:
            self._answer(404, b"")

    do_HEAD = do_GET  # noqa: N815  # names of the library

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        paths = json.loads(body)["paths"] if body.startswith("{") else urllib.parse.parse_qs(body)["paths"]
        self._json([self._entry(path) for path in paths if path in self.files])

    def _entry(self, name: str) -> dict[str, object]:
        oid = f"{sum(name.encode()):040x}"
        return {"type": "file", "path": name, "size": self.files[name].stat().st_size, "oid": oid}

    def _json(self, content: object) -> None:
        self._answer(200, json.dumps(content).encode(), **{"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@contextlib.contextmanager
def hub(files: Mapping[str, Path], addresses: Mapping[str, str]) -> Iterator[str]:
    """Serve a data set during the block; gives the address of the hub.

    Args:
        files: the files of the data set by their names.
        addresses: where the content of each is.
    """
    with serving(type("Hub", (_Hub,), {"files": files, "addresses": addresses})) as address:
        yield address
