"""A client of plain HTTP, so that what is tested is the wire and not our own client."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import requests

from edge_server.testing.local_server import EdgeServer
from edge_vfs import digests


@dataclasses.dataclass
class Api:
    """One token's view of one organization."""

    url: str
    token: str | None
    organization: str
    http: requests.Session

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = dict(options.pop("headers", {}))
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        options.setdefault("allow_redirects", False)
        return self.http.request(method, f"{self.url}{path}", headers=headers, timeout=60, **options)

    def files(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.call(method, f"/v1/orgs/{self.organization}/files{path}", **options)

    def put(self, path: str, content: bytes = b"x", **params: Any) -> requests.Response:
        return self.files("PUT", "/content", params={"path": path, **params}, data=content)

    def get(self, path: str, **params: Any) -> requests.Response:
        return self.files("GET", "/content", params={"path": path, **params})

    def stat(self, path: str) -> requests.Response:
        return self.files("GET", "/entry", params={"path": path})

    def names(self, path: str = "", **params: Any) -> list[str]:
        answer = self.files("GET", "/entries", params={"path": path, **params})
        assert answer.status_code == 200, answer.text
        return [entry["name"] for entry in answer.json()["items"]]

    def batch(self, files: dict[str, bytes] | list[tuple[str, bytes]], **more: Any) -> requests.Response:
        """Store small files in a request."""
        return self.send_batch(*batch_of(list(files.items()) if isinstance(files, dict) else files, **more))

    def send_batch(self, manifest: dict[str, Any], content: bytes, **headers: str) -> requests.Response:
        headers = {"Content-Type": "application/vnd.edge.batch", **headers}
        return self.files("POST", "/batch", data=json.dumps(manifest).encode() + b"\n" + content, headers=headers)

    def read_batch(self, *files: dict[str, Any]) -> tuple[list[dict[str, Any]], bytes]:
        """What the server says of small files, and the content that it sends."""
        answer = self.files("POST", "/batch/read", json={"files": list(files)})
        assert answer.status_code == 200, answer.text
        head, _, content = answer.content.partition(b"\n")
        return json.loads(head)["files"], content

    def signed(self, method: str, url: str, **options: Any) -> requests.Response:
        """Follow a signed address, without a token."""
        return self.http.request(method, f"{self.url}/{url}", timeout=60, **options)

    def start(self, path: str, size: int | None = None, **more: Any) -> dict[str, Any]:
        answer = self.files("POST", "/uploads", json={"path": path, "size": size, **more})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def address(self, upload: str, n: int, **bound: str) -> str:
        url: str = self.sign(upload, n, **bound)["url"]
        return url

    def sign(self, upload: str, n: int, **bound: str) -> dict[str, Any]:
        """The address of a part, with the headers that it is sent with."""
        answer = self.files("POST", f"/uploads/{upload}/sign", json={"parts": [{"n": n, **bound}]})
        assert answer.status_code == 200, answer.text
        return answer.json()["parts"][0]

    def part(self, upload: str, n: int, content: bytes) -> dict[str, Any]:
        answer = self.signed("PUT", self.address(upload, n), data=content)
        assert answer.status_code == 200, answer.text
        return {"n": n, "size": len(content), "etag": answer.headers["ETag"]}

    def complete_by_digest(self, upload: str, pieces: list[bytes], **more: Any) -> requests.Response:
        """Complete an upload whose parts are held, as clients do that hash each part once."""
        sha256s = [hashlib.sha256(piece) for piece in pieces]
        parts = [
            {"n": n, "size": len(piece), "etag": f'"{sha256.hexdigest()}"', "sha256": sha256.hexdigest()}
            for n, (piece, sha256) in enumerate(zip(pieces, sha256s, strict=True), 1)
        ]
        digest = digests.of_parts([sha256.digest() for sha256 in sha256s] or [hashlib.sha256().digest()])
        body = {"digest": digest, "parts": parts, **more}
        return self.files("POST", f"/uploads/{upload}/complete", json=body)

    def complete(self, upload: str, parts: list[dict[str, Any]], content: bytes) -> requests.Response:
        """Complete an upload as older clients do, which state the SHA-256 of all of it."""
        body = {"sha256": hashlib.sha256(content).hexdigest(), "parts": parts}
        return self.files("POST", f"/uploads/{upload}/complete", json=body)

    def upload(self, path: str, content: bytes, **more: Any) -> requests.Response:
        """A whole upload in parts."""
        upload = self.start(path, len(content), **more)
        size = upload["part_size"]
        pieces = [content[at : at + size] for at in range(0, len(content), size)]
        parts = [self.part(upload["id"], n, piece) for n, piece in enumerate(pieces, 1)]
        return self.complete(upload["id"], parts, content)


def batch_of(files: list[tuple[str, bytes]], **more: Any) -> tuple[dict[str, Any], bytes]:
    """The manifest of a batch, and its content."""
    entries = [
        {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()} for path, content in files
    ]
    return {"files": entries, **more}, b"".join(content for _, content in files)


def client(server: EdgeServer, token: str | None, organization: str) -> Api:
    return Api(server.url, token, organization, session())


def session() -> requests.Session:
    """A session without the environment's proxies and passwords, closed after the test."""
    http = requests.Session()
    http.trust_env = False
    _opened.append(http)
    return http


def close_all() -> None:
    """Close the sessions; a server that stops waits a while for those that are open."""
    while _opened:
        _opened.pop().close()


_opened: list[requests.Session] = []


def refused(answer: requests.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of a refusal, which must be whole."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == code, problem
    assert problem["status"] == status
    assert problem["type"] == "about:blank"
    assert problem["detail"]
    assert problem["title"]
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    return problem
