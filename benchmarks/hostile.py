"""What the worst requests cost a server: `python -m benchmarks.hostile` prints its CPU-seconds for each, on Linux.

A server is started as people start it, and its processes' CPU time is read before and after each request. The requests
are what was found to be dear once, and what is the dearest that the limits let in; beside the good one of the most work
that is of the same kind, for comparison.
"""

from __future__ import annotations

import collections
import concurrent.futures
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import requests
import sqlalchemy as sa

from benchmarks.measuring import cpu_seconds
from edge_server.data.database import SERVER
from edge_server.data.declarative import new_uid
from edge_server.files.models import Node
from edge_server.identity import directory
from edge_server.search import index
from edge_server.testing.local_server import EdgeServer

FOLDERS = 4142
"""Folders whose names are of two letters and as long as a name can be."""

QUERY = "".join(random.Random(3).choices("ab", k=255))

_JSON = {"Content-Type": "application/json"}

Send = Callable[[str | None], requests.Response]


def parts(count: int, wrong: int, *, bad: object) -> bytes:
    """A completion of an upload whose last parts are wrong."""
    good = [{"n": n + 1, "size": 8 << 20, "etag": f'"{"a" * 64}"', "sha256": "a" * 64} for n in range(count - wrong)]
    return json.dumps({"sha256": "0" * 64, "parts": good + [bad] * wrong}, separators=(",", ":")).encode()


def fill(server: EdgeServer, organization: str) -> None:
    """Make the folders."""
    chance = random.Random(7)
    with server.database.write(SERVER) as session:
        row = directory.find_organization(session, organization)
        assert row is not None
        root = session.scalars(sa.select(Node).where(Node.organization_id == row.id, Node.parent_id.is_(None))).one()
        for _ in range(FOLDERS):
            uid, name = new_uid(), "".join(chance.choices("ab", k=255))
            session.execute(sa.insert(Node).values(organization_id=row.id, parent_id=root.id, name=name, uid=uid))
            index.add(session, row.id, "folder", uid, name)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = EdgeServer(Path(folder) / "data")
        server.start()
        try:
            organization = server.create_organization()
            user = server.create_user(organization=organization, roles=directory.ROLES)
            token = server.create_token(user)
            fill(server, organization)
            run(server, organization, token)
            crowd(server, organization)
        finally:
            server.close()


def run(server: EdgeServer, organization: str, token: str) -> None:
    http = requests.Session()
    http.trust_env = False
    base = f"{server.url}/v1/orgs/{organization}"

    def post(url: str, content: bytes, *, key: bool = False) -> Send:
        def send(token: str | None) -> requests.Response:
            headers = {**_JSON, **_authorization(token)}
            if key:
                headers["Idempotency-Key"] = new_uid()
            return http.post(url, data=content, headers=headers, timeout=600)

        return send

    def get(url: str) -> Send:
        return lambda token: http.get(url, headers=_authorization(token), timeout=600)

    complete = f"{base}/files/uploads/x/complete"
    unknown = ("{" + ",".join(f'"a{n}":1' for n in range(160_000)) + "}").encode()
    requested: dict[str, Send] = {
        "10,000 good parts of an upload that is not there": post(complete, parts(10_000, 0, bad=0), key=True),
        "20,000 bad parts, with a key": post(complete, parts(20_000, 20_000, bad={"n": 0}), key=True),
        "10,000 parts, the last 30 bad": post(complete, parts(10_000, 30, bad={"n": 0}), key=True),
        "4 MB of empty lists": post(complete, b'{"parts":[' + b",".join([b"[]"] * 1_390_000) + b"]}"),
        "1.8 MB of unknown fields": post(f"{base}/files/folders", unknown),
        "1.8 MB of unknown fields, where no token is needed": post(f"{server.url}/v1/invitations/accept", unknown),
        "a path of 30,000 accents": post(
            f"{base}/files/folders", json.dumps({"path": "a" + "\u0301\u0323" * 15_000}, ensure_ascii=False).encode()
        ),
        "a query of 12,000 parameters": get(f"{base}/files/entry?{'&'.join(f'a{n}=1' for n in range(12_000))}"),
        f"search among {FOLDERS} names of two letters": get(f"{base}/search?query={QUERY}"),
    }
    assert server._process is not None
    process = server._process.pid
    print("| request | token | status | bytes of the answer | CPU-seconds of the server |")
    print("| --- | --- | --- | --- | --- |")
    http.get(f"{server.url}/healthz", timeout=60)
    for what, send in requested.items():
        for known in (token, None):
            before = cpu_seconds(process)
            answer = send(known)
            spent = cpu_seconds(process) - before
            token_word = "with" if known else "without"
            print(f"| {what} | {token_word} | {answer.status_code} | {len(answer.content)} | {spent:.2f} |", flush=True)


def crowd(server: EdgeServer, organization: str) -> None:
    """Search 16 times at once, four times as each of four users, and ask for the server's health meanwhile."""
    url = f"{server.url}/v1/orgs/{organization}/search?query={QUERY}"
    tokens = [server.create_token(server.create_user(organization=organization)) for _ in range(4)]
    assert server._process is not None
    before = cpu_seconds(server._process.pid)
    health: list[float] = []
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        running = [pool.submit(requests.get, url, headers=_authorization(token), timeout=600) for token in tokens * 4]
        while not health or not all(each.done() for each in running):
            begin = time.perf_counter()
            assert requests.get(f"{server.url}/healthz", timeout=600).ok
            health.append((time.perf_counter() - begin) * 1000)
            time.sleep(0.05)
    spent = cpu_seconds(server._process.pid) - before
    statuses = collections.Counter(each.result().status_code for each in running)
    print(f"\n16 searches at once, {spent:.1f} CPU-seconds: {dict(statuses)} by status")
    print(
        f"/healthz meanwhile, {len(health)} times: median {statistics.median(health):.0f} ms, longest {max(health):.0f}"
    )


def _authorization(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


if __name__ == "__main__":
    main()
