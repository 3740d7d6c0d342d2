"""Files on a store that is no folder: whatever a store's protocol does not promise, nothing rests on."""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from edge_files.wire import PART_SIZE
from edge_server.base import clock
from edge_server.base.problems import CannotStart
from edge_server.data.database import SERVER
from edge_server.data.store import Block, MissingContent, Store, Written, WrongParts
from edge_server.files import fsck, housekeeping_on, storage
from edge_server.files.models import Upload, Version
from edge_server.run import app, start
from edge_server.web.engines import Engines
from edge_server.web.subsystems import Subsystem

from .test_housekeeping import InProcess
from .wire import Api
from .wire import session as http_session

CONTENT = b"1" * PART_SIZE + b"end"


class MemoryContent:
    """A range of content."""

    def __init__(self, whole: bytes, start: int, length: int | None) -> None:
        self.size = len(whole)
        self._range = whole[start:] if length is None else whole[start : start + length]

    def __iter__(self) -> Iterator[bytes]:
        yield from (self._range[at : at + 1000] for at in range(0, len(self._range), 1000))

    def close(self) -> None:
        """Nothing is open."""


class MemoryStore:
    """A store that has no files, knows uploads by ids of its own, and keeps each part apart."""

    max_size = 1 << 40
    disk = None
    tags_parts = True
    signs_parts = False

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.written: dict[str, float] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.owner: str | None = None
        self._subsystems: dict[str, MemoryStore] = {}

    def create(self) -> None:
        """Nothing is missing."""

    def check(self) -> str:
        return "it is in memory"

    def is_empty(self) -> bool:
        return not self.contents

    def owners(self) -> list[str]:
        return [] if self.owner is None else [self.owner]

    def claim(self, owner: str) -> list[str]:
        self.owner = self.owner or owner
        return self.owners()

    def claimed_by(self, owner: str) -> str:
        return "what is in memory"

    def part(self, name: str) -> Store:
        return self._subsystems.setdefault(name, MemoryStore())

    def new_key(self) -> str:
        return secrets.token_hex(20)

    def write(self, key: str, blocks: Iterable[Block]) -> Written:
        whole = b"".join(bytes(block) for block in blocks)
        self._keep(key, whole)
        return Written(len(whole), hashlib.sha256(whole).hexdigest())

    def write_many(self, contents: Iterable[bytes]) -> list[str]:
        pairs = [(self.new_key(), content) for content in contents]
        for key, content in pairs:
            self._keep(key, content)
        return [key for key, _ in pairs]

    def open(self, key: str, start: int = 0, length: int | None = None) -> MemoryContent:
        if key not in self.contents:
            raise MissingContent(key)
        return MemoryContent(self.contents[key], start, length)

    def size(self, key: str) -> int | None:
        return len(self.contents[key]) if key in self.contents else None

    def address(self, key: str, lifetime: int, headers: Mapping[str, str]) -> str | None:
        return None

    def remove(self, key: str) -> None:
        self.contents.pop(key, None)

    def start_upload(self, upload: str, key: str) -> str:
        ours = f"multipart-{upload}-{key[:4]}"
        self.parts[ours] = {}
        self.written[ours] = clock.now().timestamp()
        return ours

    def write_part(self, upload: str, n: int, offset: int, blocks: Iterable[Block]) -> Written:
        if upload not in self.parts:
            raise MissingContent(upload)
        whole = b"".join(bytes(block) for block in blocks)
        self.parts[upload][n] = whole
        return Written(len(whole), hashlib.sha256(whole).hexdigest(), f'"{n} of {upload}"')

    def complete_upload(self, upload: str, key: str, parts: Sequence[Written], *, in_doubt: bool) -> None:
        held = self.parts.pop(upload, None)
        if held is None:
            if key not in self.contents:
                raise MissingContent(upload)
            return
        assert [part.etag for part in parts] == [f'"{n} of {upload}"' for n in range(1, len(parts) + 1)]
        pieces = [held[n] for n in range(1, len(parts) + 1)]
        wrong = [
            n
            for n, (piece, part) in enumerate(zip(pieces, parts, strict=True), 1)
            if hashlib.sha256(piece).hexdigest() != part.sha256
        ]
        if wrong:
            self.parts[upload] = held
            raise WrongParts(wrong)
        self._keep(key, b"".join(pieces))

    def part_address(self, upload: str, n: int, size: int, sha256: str) -> tuple[str, str]:
        raise MissingContent(upload)

    def parts_held(self, upload: str) -> dict[int, set[tuple[int, str]]]:
        return {n: {(len(part), f'"{n} of {upload}"')} for n, part in self.parts[upload].items()}

    def has_upload(self, upload: str) -> bool:
        return upload in self.parts

    def straggling(self, parts: int) -> float:
        return 0.0

    def drop_upload(self, upload: str) -> None:
        self.parts.pop(upload, None)

    def prefixes(self) -> list[str]:
        return sorted({key[:1] for key in self.contents})

    def keys(self, prefix: str, unchanged_since: float) -> list[str]:
        return [key for key in self.contents if key.startswith(prefix) and self.written[key] < unchanged_since]

    def uploads(self, unchanged_since: float = math.inf) -> list[str]:
        return [upload for upload in self.parts if self.written[upload] < unchanged_since]

    def drop_incoming(self, unchanged_since: float) -> int:
        return 0

    def _keep(self, key: str, content: bytes) -> None:
        self.contents[key] = content
        self.written[key] = clock.now().timestamp()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def prepare(folder: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> tuple[Engines, list[Subsystem], str]:
    """Make a server ready whose content is in `store`, apart from its data folder."""
    folder.mkdir(exist_ok=True)
    (folder / "server.toml").write_text('[storage]\ndirectory = "elsewhere"\n')
    monkeypatch.setattr(storage, "FolderStore", lambda _: store)
    engines, loaded, token = start.prepare(folder)
    return engines, loaded, token or ""


@pytest.fixture
def served(tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Engines, Api]]:
    """A server on `store`, of which nothing but the requests runs."""
    engines, loaded, token = prepare(tmp_path / "data", store, monkeypatch)
    http = http_session()
    http.mount("http://in-process", InProcess(app.build(engines, loaded)))
    yield engines, Api("http://in-process", token, "default", http)
    engines.database.close()


@pytest.fixture
def engines(served: tuple[Engines, Api]) -> Engines:
    return served[0]


@pytest.fixture
def api(served: tuple[Engines, Api]) -> Api:
    return served[1]


def upload(api: Api, path: str, content: bytes = CONTENT) -> str:
    """Send content in parts, but do not complete it."""
    started: str = api.start(path, len(content))["id"]
    for n, at in enumerate(range(0, len(content), PART_SIZE), 1):
        api.part(started, n, content[at : at + PART_SIZE])
    return started


def pieces() -> list[bytes]:
    return [CONTENT[:PART_SIZE], CONTENT[PART_SIZE:]]


def test_files_come_and_go(api: Api, engines: Engines, store: MemoryStore) -> None:
    api.put("small", b"123")
    assert api.get("small").content == b"123"
    assert api.complete_by_digest(upload(api, "large"), pieces()).status_code == 200
    assert not store.parts
    assert sorted(map(len, store.contents.values())) == [3, len(CONTENT)]
    api.files("DELETE", "/entry", params={"path": "large"})
    housekeeping_on(engines).purge()
    assert [*store.contents.values()] == [b"123"]


def test_an_upload_that_expires_is_dropped(api: Api, engines: Engines, store: MemoryStore) -> None:
    api.files("DELETE", f"/uploads/{upload(api, 'dropped')}")
    assert not store.parts
    upload(api, "expires")
    with engines.database.write(SERVER) as session:
        session.execute(sa.update(Upload).values(expires_at=clock.now()))
    housekeeping_on(engines).run()
    assert not store.parts


def test_fsck_drops_what_no_row_knows_and_finds_what_is_missing(api: Api, engines: Engines, store: MemoryStore) -> None:
    api.put("small", b"123")
    api.put("rotten", b"abc")
    assert api.complete_by_digest(upload(api, "large"), pieces()).status_code == 200
    upload(api, "open")
    store.write(store.new_key(), [b"young"])
    store.start_upload("nobody's", store.new_key())
    assert fsck.check(engines.database, store, deep=True) == fsck.Report(versions=3)
    for name in store.written:
        store.written[name] = (clock.now() - 2 * fsck.GRACE).timestamp()
    report = fsck.check(engines.database, store, deep=True)
    assert (report.orphans, report.is_clean, len(store.parts)) == (2, True, 1)
    with engines.database.read() as session:
        keys = {row.size: row.key for row in session.scalars(sa.select(Version).order_by(Version.id))}
    store.contents[keys[len(CONTENT)]] = CONTENT[:-1] + b"X"
    del store.contents[keys[3]]  # of the last one
    damages = [str(damage) for damage in fsck.check(engines.database, store, deep=True).damages]
    assert len(damages) == 2
    assert "its content is missing" in damages[0]
    assert f"part 2 (bytes {PART_SIZE} to {len(CONTENT) - 1})" in damages[1]


def test_the_content_of_another_database_is_left_alone(
    api: Api, store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put("small", b"123")
    prepare(tmp_path / "other", MemoryStore(), monkeypatch)[0].database.close()
    with pytest.raises(CannotStart, match="another server's database, as what is in memory says; name another dir"):
        prepare(tmp_path / "other", store, monkeypatch)
    prepare(tmp_path / "data", store, monkeypatch)[0].database.close()
