"""Claims on uploads: short, renewed while the work goes on, taken over where nobody renews them; one result always."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import math
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from unittest.mock import ANY

import pytest
import requests
import sqlalchemy as sa

from edge_files.wire import PART_SIZE
from edge_server.base import clock
from edge_server.base.problems import Refusal
from edge_server.data.database import SERVER, Database
from edge_server.data.store import Block, FolderStore, MissingContent, Written, WrongParts
from edge_server.files import uploads, uploads_on
from edge_server.files.models import Upload, UploadSpace, Version
from edge_server.run import app
from edge_server.web.leases import LEASE
from tests.waiting import wait_for

from .hosts import two_hosts
from .test_another_store import MemoryStore, prepare
from .test_housekeeping import InProcess
from .wire import Api, close_all, refused
from .wire import session as http_session

PIECES = [b"1" * PART_SIZE, b"end"]


class HeldBack(MemoryStore):
    """A store in which whoever writes a part, or completes an upload, can be held back.

    Attributes:
        turns: where those wait who complete an upload, one after another.
        at_end: where who comes first waits once what it completes is content.
        at_part: where those wait who have sent a part.
        settling: seconds for which it may be at what somebody has begun who died.
    """

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[Gate] = []
        self.at_end: Gate | None = None
        self.at_part: Gate | None = None
        self.settling = 0.0

    def straggling(self, parts: int) -> float:
        return self.settling * parts

    def write_part(self, upload: str, n: int, offset: int, blocks: Iterable[Block]) -> Written:
        written = super().write_part(upload, n, offset, blocks)
        if self.at_part is not None:
            self.at_part()
        return written

    def complete_upload(self, upload: str, key: str, parts: Sequence[Written], *, in_doubt: bool) -> None:
        if self.turns:
            self.turns.pop(0)()
        super().complete_upload(upload, key, parts, in_doubt=in_doubt)
        gate, self.at_end = self.at_end, None
        if gate is not None:
            gate()


class Gate:
    """Where a thread waits until it may go on.

    Args:
        failure: what it then raises, as a store may.
    """

    def __init__(self, failure: Exception | None = None) -> None:
        self._reached, self._opened = threading.Event(), threading.Event()
        self._failure = failure

    def __call__(self) -> None:
        self._reached.set()
        assert self._opened.wait(300)
        if self._failure is not None:
            raise self._failure

    def wait(self) -> None:
        assert self._reached.wait(300)

    def open(self) -> None:
        self._opened.set()


class Completion:
    """The completing of an upload, in a thread of its own and with a connection of its own.

    Args:
        api: whoever completes it.
        upload: the upload.
        gate: where it is held back.
    """

    def __init__(self, api: Api, upload: str, gate: Gate) -> None:
        self._gate = gate
        self._answers: list[requests.Response] = []
        self._thread = threading.Thread(target=lambda: self._answers.append(api.complete_by_digest(upload, PIECES)))
        self._thread.start()
        gate.wait()

    def end(self) -> requests.Response:
        """Let it go on; gives its answer."""
        self._gate.open()
        self._thread.join()
        return self._answers[0]


class Site:
    """A server in this process of which nothing but the requests runs, by a clock that is set here.

    Attributes:
        app: answers.
        engines: what it runs on.
        api: a member.
        store: where its content is.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = HeldBack()
        self.engines, loaded, token = prepare(folder, self.store, monkeypatch)
        self.app = app.build(self.engines, loaded)
        self.api = Api("http://in-process", token, "default", self._http())
        self._passed = dt.timedelta()
        self._began = clock.now()
        monkeypatch.setattr(clock, "now", lambda: self._began + self._passed)
        monkeypatch.setattr(clock, "monotonic", lambda: self._passed.total_seconds())
        monkeypatch.setattr(uploads, "HOLD_WAIT", 0)

    def _http(self) -> requests.Session:
        http = http_session()
        http.mount("http://in-process", InProcess(self.app))
        return http

    def pass_time(self, seconds: float, *, renewing: bool = False) -> None:
        """Let time pass, in which the claims of this process are renewed or not."""
        for _ in range(math.ceil(seconds)):
            self._passed += dt.timedelta(seconds=seconds / math.ceil(seconds))
            if renewing:
                self.engines.leases.renew()

    def sent(self, pieces: Sequence[bytes], path: str = "a") -> str:
        """An upload that has all of its parts."""
        upload: str = self.api.start(path, sum(map(len, pieces)))["id"]
        for n, piece in enumerate(pieces, 1):
            self.api.part(upload, n, piece)
        return upload

    def completing(self, upload: str, failure: Exception | None = None) -> Completion:
        """Complete an upload of `PIECES`, held back where the store would do it; there it may fail."""
        gate = Gate(failure)
        self.store.turns.append(gate)
        return Completion(self._another_api(), upload, gate)

    def completing_to_the_end(self, upload: str) -> Completion:
        """Complete an upload of `PIECES`, held back when the store has done it."""
        self.store.at_end = gate = Gate()
        return Completion(self._another_api(), upload, gate)

    def _another_api(self) -> Api:
        return Api(self.api.url, self.api.token, self.api.organization, self._http())

    def versions(self) -> int:
        with self.engines.database.read() as session:
            return session.scalar(sa.select(sa.func.count()).select_from(Version)) or 0


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    site = Site(tmp_path, monkeypatch)
    yield site
    site.engines.database.close()


def test_an_upload_that_takes_long_to_complete_stays_its_holders(site: Site) -> None:
    upload = site.sent(PIECES)
    completion = site.completing(upload)
    for _ in range(5):
        site.pass_time(LEASE.total_seconds(), renewing=True)
        assert site.api.files("GET", f"/uploads/{upload}").json()["completing"]
        assert refused(site.api.complete_by_digest(upload, PIECES), 409, "conflict")
    answer = completion.end()
    assert answer.status_code == 200
    assert site.api.complete_by_digest(upload, PIECES).json() == answer.json()
    assert site.versions() == 1


def test_who_has_to_wait_comes_again_soon(site: Site) -> None:
    upload = site.sent(PIECES)
    completion = site.completing(upload)
    answer = site.api.complete_by_digest(upload, PIECES)
    assert (answer.status_code, answer.headers["Retry-After"]) == (409, "1")
    completion.end()


def test_an_upload_is_taken_over_when_its_claim_lapses_and_is_completed_once(site: Site) -> None:
    upload = site.sent(PIECES)
    completion = site.completing(upload)
    site.pass_time(LEASE.total_seconds())  # as of a process that is stopped
    assert not site.api.files("GET", f"/uploads/{upload}").json()["completing"]
    done = site.api.complete_by_digest(upload, PIECES)
    assert done.status_code == 200
    site.api.put("a", b"newer")
    answer = completion.end()
    assert (answer.status_code, answer.json()) == (200, done.json())
    assert (site.api.get("a").content, site.versions()) == (b"newer", 2)


def test_who_was_overtaken_publishes_nothing(site: Site) -> None:
    upload = site.sent(PIECES)
    overtaken = site.completing_to_the_end(upload)
    site.pass_time(LEASE.total_seconds())
    holder = site.completing(upload)
    refused(overtaken.end(), 409, "conflict")
    assert site.versions() == 0
    assert (holder.end().status_code, site.versions()) == (200, 1)


def test_who_was_overtaken_and_fails_leaves_the_upload_to_its_new_holder(site: Site) -> None:
    upload = site.sent(PIECES)
    overtaken = site.completing(upload, OSError("the disk is slow"))
    site.pass_time(LEASE.total_seconds())
    holder = site.completing(upload)
    overtaken.end()
    assert site.api.files("GET", f"/uploads/{upload}").json()["completing"]
    refused(site.api.complete_by_digest(upload, PIECES), 409, "conflict")
    assert holder.end().status_code == 200
    assert len(site.store.contents) == site.versions() == 1


def test_who_was_overtaken_takes_no_part_away_that_was_sent_again(site: Site) -> None:
    upload = site.sent(PIECES)
    overtaken = site.completing(upload, WrongParts([2]))
    site.pass_time(LEASE.total_seconds())
    second = Gate(WrongParts([2]))
    second.open()
    site.store.turns = [second]
    refused(site.api.complete_by_digest(upload, PIECES), 400, "checksum_mismatch")
    again = [PIECES[0], b"END"]
    site.api.part(upload, 2, again[1])
    assert overtaken.end().status_code == 400  # as its parts are not those that are held now
    assert [part["n"] for part in site.api.files("GET", f"/uploads/{upload}").json()["parts"]] == [1, 2]
    entry = site.api.complete_by_digest(upload, again)
    assert entry.status_code == 200
    assert list(site.store.contents.values()) == [b"".join(again)]


def test_who_was_overtaken_keeps_nothing_of_an_upload_that_is_dropped(site: Site) -> None:
    upload = site.sent(PIECES)
    completion = site.completing(upload)
    assert site.api.files("DELETE", f"/uploads/{upload}").status_code == 204
    refused(completion.end(), 404, "not_found")
    assert (site.store.contents, site.store.parts) == ({}, {})


@pytest.mark.parametrize("is_done", [False, True])
def test_a_store_that_may_be_at_it_still_is_not_called_by_another(site: Site, is_done: bool) -> None:
    site.store.settling = 10.0
    upload = site.sent(PIECES)
    completion = site.completing(upload)
    site.pass_time(LEASE.total_seconds())  # as of a host that was killed; the store goes on
    for _ in range(4):
        refused(site.api.complete_by_digest(upload, PIECES), 409, "conflict")
        assert site.api.files("GET", f"/uploads/{upload}").json()["completing"]
        site.pass_time(4)
    if is_done:
        with site.engines.database.read() as session:
            row = session.scalars(sa.select(Upload)).one()
        pieces = site.store.parts.pop(row.store_id)
        site.store._keep(row.key, b"".join(pieces[n] for n in sorted(pieces)))
    else:
        site.pass_time(4)
    answer = site.api.complete_by_digest(upload, PIECES)
    assert (answer.status_code, site.versions()) == (200, 1)
    completion.end()
    assert list(site.store.contents.values()) == [b"".join(PIECES)]


# --- parts


class Sending:
    """The sending of part 1 of an upload, in a thread of its own.

    Args:
        site: where to.
        upload: the upload.
        blocks: what comes of the part.

    Attributes:
        outcome: what was written, or why it was refused; None until then.
    """

    def __init__(self, site: Site, upload: str, blocks: Callable[[], Iterator[bytes]]) -> None:
        self.outcome: Written | Refusal | None = None
        self._site, self._upload, self._blocks = site, upload, blocks
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with self._site.app.test_request_context():
            try:
                written = uploads_on(self._site.engines).write_part(self._upload, 1, 3, lambda _: self._blocks())
                self.outcome = written
            except Refusal as error:
                self.outcome = error

    def end(self) -> Written | Refusal | None:
        self._thread.join()
        return self.outcome


def part_of(content: bytes) -> Written:
    return Written(len(content), hashlib.sha256(content).hexdigest(), ANY)


def held_of(site: Site, upload: str) -> list[str]:
    parts = site.api.files("GET", f"/uploads/{upload}").json()["parts"]
    return [part["sha256"] for part in parts]


def send_part(site: Site, upload: str, content: bytes) -> requests.Response:
    return site.api.signed("PUT", site.api.address(upload, 1), data=content)


def test_a_part_that_takes_long_to_store_stays_its_senders(site: Site) -> None:
    upload = site.api.start("a", 3)["id"]
    stored = Gate()

    def blocks() -> Iterator[bytes]:
        yield b"abc"
        site.store.at_part = stored  # all bytes have come

    sending = Sending(site, upload, blocks)
    stored.wait()
    site.store.at_part = None
    for _ in range(10):
        site.pass_time(LEASE.total_seconds(), renewing=True)
        answer = send_part(site, upload, b"ABC")
        refused(answer, 409, "conflict")
        assert 0 < int(answer.headers["Retry-After"]) <= LEASE.total_seconds()
    stored.open()
    assert sending.end() == part_of(b"abc")
    assert held_of(site, upload) == [hashlib.sha256(b"abc").hexdigest()]


def test_a_part_of_which_no_byte_comes_is_anothers_after_a_while(site: Site) -> None:
    upload = site.api.start("a", 3)["id"]
    coming = Gate()

    def blocks() -> Iterator[bytes]:
        yield b"a"
        coming()
        yield b"bc"

    sending = Sending(site, upload, blocks)
    coming.wait()
    site.pass_time(uploads.STALLED - 1, renewing=True)
    refused(send_part(site, upload, b"ABC"), 409, "conflict")
    site.pass_time(1 + LEASE.total_seconds(), renewing=True)
    assert send_part(site, upload, b"ABC").status_code == 200
    coming.open()
    overtaken = sending.end()
    assert isinstance(overtaken, Refusal)
    assert "part 1 is sent by another request meanwhile" in overtaken.detail
    assert held_of(site, upload) == [hashlib.sha256(b"ABC").hexdigest()]


def test_who_was_overtaken_sends_no_further(site: Site) -> None:
    upload = site.api.start("a", 3)["id"]
    coming, sent = Gate(), []

    def blocks() -> Iterator[bytes]:
        for byte in (b"a", b"b", b"c"):
            sent.append(byte)
            yield byte
            if byte == b"a":
                coming()

    sending = Sending(site, upload, blocks)
    coming.wait()
    site.pass_time(LEASE.total_seconds())
    assert send_part(site, upload, b"ABC").status_code == 200
    site.engines.leases.renew()
    coming.open()
    assert isinstance(sending.end(), Refusal)
    assert sent == [b"a", b"b"]


def test_a_part_whose_sender_died_is_anothers_when_its_claim_lapses(site: Site) -> None:
    upload = site.api.start("a", 3)["id"]
    send_part(site, upload, b"abd")
    with site.engines.database.write(SERVER) as session:  # as a host leaves it that was killed
        session.execute(sa.update(UploadSpace).values(writer="gone", writing_until=clock.now() + LEASE))
    answer = send_part(site, upload, b"abc")
    refused(answer, 409, "conflict")
    site.pass_time(int(answer.headers["Retry-After"]), renewing=True)
    assert send_part(site, upload, b"abc").status_code == 200


# --- the store in a folder, in which whoever was given up may write on


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    store = FolderStore(tmp_path)
    store.create()
    return store


def content_of(store: FolderStore, key: str) -> bytes:
    with contextlib.closing(store.open(key)) as content:
        return b"".join(content)


def test_a_late_copy_never_replaces_content(folder: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one that was stopped between its copy and its name, while others sent a part again and completed."""
    key = folder.new_key()
    upload = folder.start_upload("upload", key)
    first = [folder.write_part(upload, 1, 0, [b"first"])]
    gate, into_place = Gate(), FolderStore._reserve_name

    def late(store: FolderStore, key: str) -> None:
        if threading.current_thread() is thread:
            gate()
        into_place(store, key)

    monkeypatch.setattr(FolderStore, "_reserve_name", late)
    gone: list[Exception] = []

    def complete_late() -> None:
        try:
            folder.complete_upload(upload, key, first, in_doubt=True)
        except MissingContent as error:
            gone.append(error)

    thread = threading.Thread(target=complete_late)
    thread.start()
    gate.wait()
    again = [folder.write_part(upload, 1, 0, [b"again"])]
    folder.complete_upload(upload, key, again, in_doubt=True)
    gate.open()
    thread.join()
    assert (len(gone), content_of(folder, key)) == (1, b"again")
    folder.complete_upload(upload, key, again, in_doubt=True)  # twice is once


@pytest.mark.parametrize("is_dropped", [False, True])
def test_content_of_parts_that_were_sent_again_since_is_not_taken_for_theirs(
    folder: FolderStore, is_dropped: bool
) -> None:
    key = folder.new_key()
    upload = folder.start_upload("upload", key)
    late = [folder.write_part(upload, 1, 0, [b"first"])]
    again = late
    if not is_dropped:
        folder.complete_upload(upload, key, late, in_doubt=True)
        again = [Written(5, hashlib.sha256(b"again").hexdigest())]
    else:
        os.link(folder._uploads / upload, folder._uploads / "kept")  # its copy is there, and it is not gone yet
        folder.complete_upload(upload, key, late, in_doubt=True)
        os.rename(folder._uploads / "kept", folder._uploads / upload)
        again = [folder.write_part(upload, 1, 0, [b"again"])]
    with pytest.raises(MissingContent):
        folder.complete_upload(upload, key, again, in_doubt=True)
    assert content_of(folder, key) == b"first"


# --- hosts


@contextlib.contextmanager
def held_open(pipe: Path) -> Iterator[int]:
    """The writing end of a pipe that somebody reads."""
    handle = os.open(pipe, os.O_WRONLY)
    try:
        yield handle
    finally:
        os.close(handle)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_what_a_host_was_completing_is_completed_by_another(tmp_path: Path, number: signal.Signals) -> None:
    """The first copies the parts, and hangs as long as its file is a pipe."""
    with two_hosts(tmp_path) as hosts:
        hosts.a.start("--workers", "1")
        hosts.b.start("--workers", "1")
        a, b = hosts.member()
        upload = a.start("a", 3)["id"]
        a.part(upload, 1, b"abc")
        with hosts.b.database.write(SERVER) as session:
            session.execute(sa.update(Upload).values(in_doubt=True))
        source = hosts.shared / "content" / "uploads" / upload
        kept = source.with_name("kept")
        source.rename(kept)
        os.mkfifo(source)
        answers: list[int] = []

        def complete() -> None:
            with contextlib.suppress(requests.RequestException):
                answers.append(a.complete_by_digest(upload, [b"abc"]).status_code)

        thread = threading.Thread(target=complete)
        thread.start()
        wait_for(lambda: until(hosts.b.database, upload) is not None)
        first = until(hosts.b.database, upload)
        assert first is not None
        wait_for(lambda: (until(hosts.b.database, upload) or first) > first + LEASE)  # longer than its first claim
        assert refused(b.complete_by_digest(upload, [b"abc"]), 409, "conflict")
        with contextlib.ExitStack() as stack:
            if number == signal.SIGSTOP:
                pipe = stack.enter_context(held_open(source))
            source.unlink()
            kept.rename(source)
            os.killpg(hosts.a.pid, number)
            wait_for(lambda: b.complete_by_digest(upload, [b"abc"]).status_code == 200)
            if number == signal.SIGSTOP:
                os.killpg(hosts.a.pid, signal.SIGCONT)
                os.write(pipe, b"abc")
        thread.join()
        assert answers == ([200] if number == signal.SIGSTOP else [])
        assert b.get("a").content == b"abc"
        versions = b.files("GET", "/versions", params={"path": "a"}).json()["items"]
        assert len(versions) == 1
        close_all()


def until(database: Database, upload: str) -> dt.datetime | None:
    """When the claim of who completes an upload lapses."""
    with database.read() as session:
        return session.scalar(sa.select(Upload.completing_until).where(Upload.uid == upload))
