"""A client that stores, copies, moves, deletes and restores files in a folder of its own, and knows what must be there.

When the server is killed, one call may be unanswered: that one may have had its effect or not, but nothing in between.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import requests

from edge_files.wire import PART_SIZE
from edge_vfs import digests

from .wire import Api

State = dict[str, str]
"""Digest by path, of files below the client's folder."""


class Cut(Exception):
    """The server is gone, or its store."""


class FileClient:
    """A client that remembers what must be there.

    Args:
        name: of its folder.
        seed: of what it does.
        away: the status with which the server answers that its store is away, after which nobody knows what a call has
            done; None where that must not happen.

    Attributes:
        sure: what the server has acknowledged.
        perhaps: what is there instead, if the call under way has had its effect.
    """

    def __init__(self, name: str, seed: int, *, away: int | None = None) -> None:
        self.name = name
        self._away = away
        self.sure: State = {}
        self.perhaps: State | None = None
        self.done = 0
        self._chance = random.Random(seed)
        self._moves = 0
        self._deleted: set[str] = set()
        self._failure: Exception | None = None

    def work(self, api: Api) -> None:
        """Go on until the server is gone, or its store."""
        steps = [self._put, self._put, self._put, self._upload, self._move, self._move_folder, self._delete]
        steps += [self._put_batch, self._put_batch, self._copy, self._copy, self._restore, self._restore]
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
        entries = dict(self._walk(api, self.name))
        assert entries in (self.sure, self.perhaps), f"{self.name}: neither what was acknowledged nor one call more"
        self.sure, self.perhaps = entries, None

    def _call(self, change: State, send: Callable[[], requests.Response]) -> None:
        """Send something after which the folder is as in `change`."""
        self.perhaps = change
        self._send(send)
        self.sure, self.perhaps = change, None

    def _send(self, send: Callable[[], requests.Response]) -> requests.Response:
        """Send something; what it changes, if it does, is only known once it is answered."""
        try:
            answer = send()
        except requests.RequestException:
            raise Cut from None
        if answer.status_code == self._away:
            raise Cut
        assert answer.status_code < 300, answer.text
        return answer

    def _put(self, api: Api) -> None:
        content = self._chance.randbytes(self._chance.choice([10, 1000, 100_000]))
        path = self._some_path()
        self._call(self.sure | {path: _digest(content)}, lambda: api.put(path, content))

    def _put_batch(self, api: Api) -> None:
        """Store several files, all of which are there or none."""
        files = {self._some_path(): self._chance.randbytes(self._chance.choice([0, 10, 1000])) for _ in range(20)}
        change = self.sure | {path: _digest(content) for path, content in files.items()}
        self._call(change, lambda: api.batch(files))

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
        signing = {"parts": [{"n": n}]}
        signed = self._send(lambda: api.files("POST", f"/uploads/{upload}/sign", json=signing)).json()
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
        self._moves += 1
        source, target = self._chance.choice(folders), f"{self.name}/moved-{self._moves}"
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
        change = {
            kept: digest for kept, digest in self.sure.items() if kept != path and not kept.startswith(f"{path}/")
        }
        params = {"path": path, "recursive": "true"}
        deleted = self.sure.keys() - change.keys()
        self._call(change, lambda: api.files("DELETE", "/entry", params=params))
        self._deleted |= deleted

    def _copy(self, api: Api) -> None:
        if not self.sure:
            return
        source, target = self._chance.choice(sorted(self.sure)), self._some_path()
        change = self.sure | {target: self.sure[source]}
        body = {"path": source, "new_path": target, "overwrite": True}
        self._call(change, lambda: api.files("POST", "/copy", json=body))

    def _restore(self, api: Api) -> None:
        """Restore any version of a file that is there or was deleted."""
        paths = sorted(self.sure.keys() | self._deleted)
        if not paths:
            return
        path = self._chance.choice(paths)
        kept = self._send(lambda: api.files("GET", "/versions", params={"path": path})).json()["items"]
        version = self._chance.choice(kept)
        body = {"path": path, "version": version["version"]}
        self._call(self.sure | {path: version["digest"]}, lambda: api.files("POST", "/restore", json=body))

    def _some_path(self) -> str:
        if self.sure and self._chance.random() < 0.4:
            return self._chance.choice(sorted(self.sure))
        return f"{self.name}/folder-{self._chance.randrange(4)}/sample-{self._chance.randrange(1000)}.bin"

    def _walk(self, api: Api, folder: str) -> Iterator[tuple[str, str]]:
        answer = api.files("GET", "/entries", params={"path": folder})
        if answer.status_code == 404:
            return
        for entry in answer.json()["items"]:
            path = f"{folder}/{entry['name']}"
            if entry["kind"] == "folder":
                yield from self._walk(api, path)
            else:
                content = api.get(path)
                if content.status_code == 307:
                    content = api.http.get(requests.compat.urljoin(content.url, content.headers["Location"]))
                assert content.status_code == 200, f"{path}: {content.text}"
                assert _digest(content.content) == entry["digest"], path
                yield path, entry["digest"]


def _digest(content: bytes) -> str:
    content_hash = digests.Hash(PART_SIZE)
    content_hash.update(content)
    return content_hash.hexdigest()
