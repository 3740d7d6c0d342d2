"""The server killed in the middle of everything: what it has acknowledged is there, and nothing is damaged.

Each of several clients works in a folder of its own and knows what is in it. When the server is
killed, one call of each may be unanswered: that one may have had its effect or not, but nothing in
between. `EDGE_KILL_ROUNDS` says how many times, 3 by default.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa
from click.testing import CliRunner

from edge_files.wire import PART_SIZE
from edge_server.data.database import FILE_NAME, Database
from edge_server.files.models import Node, Upload, Version
from edge_server.run.command import server as command
from edge_server.search.models import SearchName
from edge_server.testing.local_server import EdgeServer

from .wire import Api, client

ROUNDS = int(os.environ.get("EDGE_KILL_ROUNDS", "3"))
CLIENTS = 6

State = dict[str, str]
"""SHA-256 by path, of files below the client's folder."""


class Cut(Exception):
    """The server is gone."""


class Worker:
    """A client that remembers what must be there.

    Attributes:
        sure: what the server has acknowledged.
        perhaps: what is there instead, if the call under way has had its effect.
    """

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.sure: State = {}
        self.perhaps: State | None = None
        self.done = 0
        self._chance = random.Random(seed)
        self._made = 0
        self._failure: Exception | None = None

    def work(self, api: Api) -> None:
        """Go on until the server is gone."""
        steps = [self._put, self._put, self._put, self._upload, self._move, self._move_folder, self._delete]
        try:
            while True:
                self._chance.choice(steps)(api)
                self.done += 1
        except Cut:
            pass
        except Exception as error:  # told by the main thread, see `settle`
            self._failure = error

    def settle(self, api: Api) -> None:
        """See what is there after a restart."""
        if self._failure is not None:
            raise self._failure
        found = dict(self._walk(api, self.name))
        assert found in (self.sure, self.perhaps), f"{self.name}: neither what was acknowledged nor one call more"
        self.sure, self.perhaps = found, None

    def _call(self, change: State, send: Callable[[], requests.Response]) -> None:
        """Send something after which the folder is as in `change`."""
        self.perhaps = change
        try:
            answer = send()
        except requests.RequestException:
            raise Cut from None
        assert answer.status_code < 300, answer.text
        self.sure, self.perhaps = change, None

    def _send(self, send: Callable[[], requests.Response]) -> requests.Response:
        """Send something that changes nothing yet."""
        try:
            answer = send()
        except requests.RequestException:
            raise Cut from None
        assert answer.status_code < 300, answer.text
        return answer

    def _put(self, api: Api) -> None:
        content = self._chance.randbytes(self._chance.choice([10, 1000, 100_000]))
        path = self._some_path()
        self._call(self.sure | {path: _digest(content)}, lambda: api.put(path, content))

    def _upload(self, api: Api) -> None:
        content = self._chance.randbytes(1000) * 1000 + bytes(self._chance.choice([0, PART_SIZE]))
        path = self._some_path()
        upload = self._send(lambda: api.files("POST", "/uploads", json={"path": path, "size": len(content)})).json()
        parts = []
        for n, at in enumerate(range(0, len(content), PART_SIZE), 1):
            piece = content[at : at + PART_SIZE]
            parts.append(self._send_part(api, upload["id"], n, piece))
        self._call(self.sure | {path: _digest(content)}, lambda: api.complete(upload["id"], parts, content))

    def _send_part(self, api: Api, upload: str, n: int, piece: bytes) -> dict[str, object]:
        wanted = {"parts": [{"n": n}]}
        signed = self._send(lambda: api.files("POST", f"/uploads/{upload}/sign", json=wanted)).json()
        url = signed["parts"][0]["url"]
        answer = self._send(lambda: api.signed("PUT", url, data=piece))
        return {"n": n, "size": len(piece), "etag": answer.headers["ETag"]}

    def _move(self, api: Api) -> None:
        if not self.sure:
            return
        source, target = self._chance.choice(sorted(self.sure)), self._some_path()
        if source == target:
            return
        change = {path: digest for path, digest in self.sure.items() if path != source} | {target: self.sure[source]}
        body = {"path": source, "new_path": target, "overwrite": True}
        self._call(change, lambda: api.files("POST", "/move", json=body))

    def _move_folder(self, api: Api) -> None:
        folders = sorted({path.rpartition("/")[0] for path in self.sure})
        if not folders:
            return
        self._made += 1
        source, target = self._chance.choice(folders), f"{self.name}/moved-{self._made}"
        change = {
            target + path.removeprefix(source) if path.startswith(f"{source}/") else path: digest
            for path, digest in self.sure.items()
        }
        self._call(change, lambda: api.files("POST", "/move", json={"path": source, "new_path": target}))

    def _delete(self, api: Api) -> None:
        if not self.sure:
            return
        path = self._chance.choice(sorted(self.sure))
        if self._chance.random() < 0.3:
            path = path.rpartition("/")[0]
        change = {one: digest for one, digest in self.sure.items() if one != path and not one.startswith(f"{path}/")}
        params = {"path": path, "recursive": "true"}
        self._call(change, lambda: api.files("DELETE", "/entry", params=params))

    def _some_path(self) -> str:
        if self.sure and self._chance.random() < 0.4:
            return self._chance.choice(sorted(self.sure))
        return f"{self.name}/folder-{self._chance.randrange(4)}/sample-{self._chance.randrange(1000)}.bin"

    def _walk(self, api: Api, folder: str) -> Iterator[tuple[str, str]]:
        answer = api.files("GET", "/entries", params={"path": folder})
        if answer.status_code == 404:
            return
        for item in answer.json()["items"]:
            path = f"{folder}/{item['name']}"
            if item["kind"] == "folder":
                yield from self._walk(api, path)
            else:
                content = api.get(path)
                if content.status_code == 307:
                    content = api.http.get(requests.compat.urljoin(content.url, content.headers["Location"]))
                assert _digest(content.content) == item["sha256"], path
                yield path, item["sha256"]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.slow
def test_every_acknowledged_change_outlives_a_kill(tmp_path: Path) -> None:
    server = EdgeServer(tmp_path / "data")
    workers = [Worker(f"client-{n}", n) for n in range(CLIENTS)]
    chance = random.Random(1)
    with contextlib.closing(server):
        server.start("--workers", "2")
        token = server.create_token("admin")
        for round_ in range(ROUNDS):
            apis = [client(server, token, "default") for _ in workers]
            threads = [
                threading.Thread(target=worker.work, args=[api]) for worker, api in zip(workers, apis, strict=True)
            ]
            before = sum(worker.done for worker in workers)
            for thread in threads:
                thread.start()
            deadline = time.monotonic() + 60
            while sum(worker.done for worker in workers) < before + 20 and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(chance.random())
            server.kill()
            for thread in threads:
                thread.join()
            server.start("--workers", "2")
            api = client(server, token, "default")
            for worker in workers:
                worker.settle(api)
            _check(tmp_path / "data", sum(len(worker.sure) for worker in workers))
            done = sum(worker.done for worker in workers)
            print(f"kill {round_ + 1}: {done} changes acknowledged so far, all there; fsck --deep is clean")


def _check(data: Path, files: int) -> None:
    """All that the server keeps fits together, with the orphans gone that a killed server leaves."""
    for path in (data / "content").rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - 7200, time.time() - 7200))
    done = CliRunner().invoke(command, ["fsck", "--deep", "--data", str(data)])
    assert done.exit_code == 0, done.output
    assert "wrongly" not in done.output
    with contextlib.closing(Database(data / FILE_NAME)) as opened, opened.read() as session:
        assert session.scalar(sa.select(sa.func.count(Node.id)).where(Node.version_id.is_not(None))) == files
        names = session.execute(sa.select(Node.uid, Node.name).where(Node.parent_id.is_not(None)).order_by(Node.uid))
        indexed = session.execute(sa.select(SearchName.uid, SearchName.name).order_by(SearchName.uid))
        assert names.all() == indexed.all()
        kept = set(session.scalars(sa.select(Version.key).where(Version.collected_at.is_(None))))
        open_ = set(session.scalars(sa.select(Upload.key).where(Upload.version_id.is_(None))))
    on_disk = {path.name for path in (data / "content").rglob("*") if path.is_file()}
    assert kept <= on_disk <= kept | open_
