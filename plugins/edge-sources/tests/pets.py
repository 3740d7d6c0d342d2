"""A service to call: a pet shop."""

from __future__ import annotations

import http.server
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

PETS = Path(__file__).with_name("pets.yaml").read_text()

ANIMALS = {1: {"id": 1, "name": "Rex", "status": "sold"}, 2: {"id": 2, "name": "Tom", "status": "available"}}


class Pets(http.server.BaseHTTPRequestHandler):
    """A pet shop; the server object keeps the last request as `request`."""

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.request = (self.command, parts.path, parse_qs(parts.query), dict(self.headers), body)  # type: ignore[attr-defined]
        query = parse_qs(parts.query)
        if parts.path in ("/openapi.yaml", "/openapi.json"):
            text = PETS if parts.path.endswith("yaml") else json.dumps(yaml.safe_load(PETS), default=str)
            return self._answer(200, text.encode(), "application/yaml")
        if self.headers.get("Authorization") == "Bearer wrong":
            return self._json(401, {"detail": "who are you"})
        if parts.path == "/v1/pet/findByStatus":
            return self._json(200, [animal for animal in ANIMALS.values() if animal["status"] in query["status"]])
        if parts.path == "/v1/pet" and self.command == "POST":
            return self._json(200, json.loads(body))
        if parts.path.startswith("/v1/pet/"):
            word = parts.path.rpartition("/")[2]
            status = {"403": 403, "500": 500, "418": 418, "302": 302, "200": 200}.get(word)
            if status == 200:
                return self._answer(200, b"{", "application/json")
            if status is not None:
                return self._json(status, {"message": "as you wish"})
            animal = ANIMALS.get(int(word))
            return self._json(200, animal) if animal else self._json(404, {"message": "unknown pet"})
        return self._answer(200, b"pong", "text/plain")

    def _json(self, status: int, content: Any) -> None:
        self._answer(status, json.dumps(content).encode(), "application/json")

    def _answer(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()
        self.wfile.write(content)
