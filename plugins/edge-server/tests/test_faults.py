"""A disk that fails in the middle of an upload: at each call that writes in turn, and in every way that disks fail.

The answer is 503 or 507 with a code, a request id and Retry-After; nothing that was acknowledged is lost, nothing half
is visible, and the server goes on when the disk does. The faults come from strace, which makes system calls fail; where
it is missing, those tests are skipped, and others make the calls of this process fail. `EDGE_DISK_FAULTS` says how many
of the faults are tried: 24 here, all of them with ``all``.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import errno
import hashlib
import json
import os
import random
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import flask.testing
import pytest
import sqlalchemy as sa

from edge_server.base import problems
from edge_server.base.audit import FILE_NAME as AUDIT
from edge_server.data.database import Database
from edge_server.keys import sealing
from edge_server.run import app, start
from tests.programs import program

from .engines import is_postgresql, sqlite_only
from .stores import environment_of, folder_only

FAULTS = os.environ.get("EDGE_DISK_FAULTS", "24")

SUBJECT = Path(__file__).with_name("fault_subject.py")

ERRORS = {
    "write": ("ENOSPC", "EIO", "EDQUOT", "EROFS"),
    "pwrite64": ("ENOSPC", "EIO", "EDQUOT", "EROFS"),
    "fsync": ("EIO", "ENOSPC", "EDQUOT"),
    "fdatasync": ("EIO", "ENOSPC", "EDQUOT"),
    "ftruncate": ("EIO", "EROFS"),
    "rename": ("ENOSPC", "EIO", "EROFS", "EDQUOT"),
    "mkdir": ("ENOSPC", "EIO", "EROFS", "EDQUOT"),
    "unlink": ("EIO", "EROFS"),
}
"""How each call that writes can fail."""


class Fault(NamedTuple):
    """A system call that fails."""

    call: str
    number: int
    """The first that fails, from 1."""
    error: str
    stays: bool
    """Whether all further ones fail as well."""


class Answer(NamedTuple):
    """What the server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Ask = Callable[..., Answer]
"""Makes a request: method, path, ``json=`` or ``content=``, ``key=`` of an Idempotency-Key."""


class Transfer:
    """An upload in parts, a small one over an older file, and deleting another: each step can be done again.

    Args:
        ask: makes requests.
        name: of its files, which no other transfer has.
    """

    def __init__(self, ask: Ask, name: str) -> None:
        self._ask = ask
        self._files = "/v1/orgs/default/files"
        self._name = name
        self.content = name.encode() * 500
        self.answers: list[Answer] = []
        self.acknowledged: dict[str, bytes | None] = {}
        """What is at a path, if it is known: None for nothing."""

    def prepare(self) -> None:
        self._put("older", b"older")
        self._put("gone", b"gone")

    def run(self) -> bool:
        """Do all of it; whether all of it was done."""
        done = self._upload()
        done &= self._put("older", b"newer")
        path = f"{self._name}/gone"
        if self.acknowledged.get(path) is not None:
            deleted = self._call("DELETE", f"{self._files}/entry?path={path}")
            if deleted is not None:
                self.acknowledged[path] = None
            done &= deleted is not None
        return done

    def check(self) -> None:
        """All that was acknowledged is there, and nothing half."""
        for path, content in self.acknowledged.items():
            answer = self._ask("GET", f"{self._files}/content?path={path}")
            if content is None:
                assert answer.status == 404, path
            else:
                assert (answer.status, answer.body) == (200, content), path
        answer = self._ask("GET", f"{self._files}/content?path={self._name}/large")
        assert answer.status == 404 or answer.body == self.content

    def _upload(self) -> bool:
        path = f"{self._name}/large"
        if path in self.acknowledged:
            return True
        body = {"path": path, "size": len(self.content)}
        started = self._call("POST", f"{self._files}/uploads", json=body, key=f"start {self._name}")
        if started is None:
            return False
        upload = started.json["id"]
        signed = self._call("POST", f"{self._files}/uploads/{upload}/sign", json={"parts": [{"n": 1}]})
        if signed is None:
            return False
        sent = self._call("PUT", f"/{signed.json['parts'][0]['url']}", content=self.content)
        if sent is None:
            return False
        part = {"n": 1, "size": len(self.content), "etag": sent.headers["ETag"]}
        digest = hashlib.sha256(self.content).hexdigest()
        completion = {"sha256": digest, "parts": [part]}
        url = f"{self._files}/uploads/{upload}/complete"
        if self._call("POST", url, json=completion, key=f"complete {self._name}") is None:
            return False
        self.acknowledged[path] = self.content
        return True

    def _put(self, name: str, content: bytes) -> bool:
        path = f"{self._name}/{name}"
        if self._call("PUT", f"{self._files}/content?path={path}", content=content) is None:
            if path in self.acknowledged:
                # Either content is right, and no other.
                answer = self._ask("GET", f"{self._files}/content?path={path}")
                assert answer.status in (200, 503), answer
                if answer.status == 200:
                    assert answer.body in (self.acknowledged[path], content)
                    self.acknowledged[path] = answer.body
            return False
        self.acknowledged[path] = content
        return True

    def _call(self, method: str, path: str, **options: Any) -> Answer | None:
        """The answer if it was done."""
        answer = self._ask(method, path, **options)
        self.answers.append(answer)
        if answer.status < 300:
            return answer
        assert answer.status in (503, 507), (method, path, answer)
        problem = answer.json
        assert problem["code"] in ("storage_failed", "insufficient_storage")
        assert problem["request_id"] == answer.headers["X-Request-ID"]
        assert int(answer.headers["Retry-After"]) > 0
        return None


def check_data(folder: Path) -> None:
    """What the server keeps fits together."""
    report = start.check(folder, deep=True)
    assert report.is_clean, report
    assert report.recounted == []
    assert list((folder / "incoming").iterdir()) == []


# --- by strace, where it is


class Subject:
    """The process whose calls are made to fail."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            self._process = subprocess.Popen(
                [sys.executable, str(SUBJECT), str(folder), str(port)],
                stderr=self._log,
                env=os.environ | environment_of(folder),
            )
            listener.settimeout(60)
            try:
                self._connection, _ = listener.accept()
            except TimeoutError:
                self._process.kill()
                self._process.wait()
                raise RuntimeError(self._written()) from None
        self._lines = self._connection.makefile("rb")
        self._token = json.loads(self._lines.readline())["token"]

    def ask(
        self, method: str, path: str, *, json: object = None, content: bytes = b"", key: str | None = None
    ) -> Answer:
        headers = {"Authorization": f"Bearer {self._token}"}
        if json is not None:
            content = _dumped(json)
            headers["Content-Type"] = "application/json"
        if key is not None:
            headers["Idempotency-Key"] = key
        request = {"method": method, "path": path, "headers": headers, "body": base64.b64encode(content).decode()}
        self._connection.sendall(_dumped(request) + b"\n")
        answer = _loaded(self._lines.readline())
        return Answer(answer["status"], answer["headers"], base64.b64decode(answer["body"]))

    @contextlib.contextmanager
    def traced(self, *options: str) -> Iterator[None]:
        """Have strace look at its calls during the block."""
        strace = subprocess.Popen(
            ["strace", "-f", "-qq", *options, "-p", str(self._process.pid)], stderr=subprocess.DEVNULL
        )
        status = Path(f"/proc/{self._process.pid}/status")
        deadline = time.monotonic() + 60
        while f"TracerPid:\t{strace.pid}\n" not in status.read_text():
            if strace.poll() is not None or time.monotonic() > deadline:
                pytest.skip("strace may not trace another process here")
            time.sleep(0.001)
        try:
            yield
        finally:
            strace.terminate()
            strace.wait(60)

    def close(self) -> None:
        self._lines.close()
        self._connection.close()
        self._process.wait(60)
        written = self._written()
        self._log.close()
        assert "Traceback" not in written, written

    def _written(self) -> str:
        self._log.seek(0)
        return self._log.read().decode()


def _dumped(value: object) -> bytes:
    return json.dumps(value).encode()


_loaded = json.loads


@pytest.fixture
def subject(tmp_path: Path) -> Iterator[Subject]:
    program("strace", "apt-get install strace")  # which makes system calls fail
    opened = Subject(tmp_path / "data")
    yield opened
    opened.close()


def faults_of(subject: Subject, log: Path) -> list[Fault]:
    """All faults that a transfer can meet: each call that it makes, with each error of that call."""
    for name in ("warm", "counted"):  # what is loaded and made only once is there at the second
        transfer = Transfer(subject.ask, name)
        transfer.prepare()
        with subject.traced("-o", str(log), "-e", f"trace={','.join(ERRORS)}"):
            assert transfer.run()
    calls = collections.Counter(line.split("(")[0].split()[-1] for line in log.read_text().splitlines() if "(" in line)
    return [
        Fault(call, number, error, stays)
        for call in ERRORS
        for number in range(1, calls[call] + 1)
        for error in ERRORS[call]
        for stays in (False, True)
    ]


@folder_only("system calls that write there")
@pytest.mark.slow
def test_each_write_of_an_upload_fails_in_turn(subject: Subject, tmp_path: Path) -> None:
    faults = faults_of(subject, tmp_path / "trace")
    met = collections.Counter(fault.call for fault in faults)
    assert {"pwrite64", "fsync", "rename"} <= set(met)
    assert is_postgresql() or "fdatasync" in met
    chosen = faults if FAULTS == "all" else random.Random(1).sample(faults, int(FAULTS))
    statuses: collections.Counter[int] = collections.Counter()
    for number, fault in enumerate(chosen):
        transfer = Transfer(subject.ask, f"t{number}")
        transfer.prepare()
        when = f"{fault.number}{'+' if fault.stays else ''}"
        with subject.traced(
            *("-o", "/dev/null", "-e", f"trace={fault.call}"),
            *("-e", f"inject={fault.call}:error={fault.error}:when={when}"),
        ):
            transfer.run()
        statuses.update(answer.status for answer in transfer.answers)
        transfer.check()
        assert transfer.run(), (fault, transfer.answers[-1])
        transfer.check()
        if number % 20 == 0 or number == len(chosen) - 1:
            check_data(subject.folder)
    print(f"{len(chosen)} of {len(faults)} faults, in {dict(met)}: {dict(sorted(statuses.items()))}")
    assert statuses[503]
    assert statuses[507]


# --- in this process, everywhere


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[Path, Ask, Database]]:
    """A server of the test's own in this process: its folder, what makes requests, and its database."""
    folder = tmp_path / "data"
    folder.mkdir()
    engines, loaded, token = start.prepare(folder)
    client: flask.testing.FlaskClient = app.build(engines, loaded).test_client()

    def ask(method: str, path: str, *, json: object = None, content: bytes = b"", key: str | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {token}"} | ({} if key is None else {"Idempotency-Key": key})
        options: dict[str, Any] = {"json": json} if json is not None else {"data": content}
        with client.open(path, method=method, headers=headers, buffered=True, **options) as answer:
            return Answer(answer.status_code, dict(answer.headers), answer.get_data())

    with contextlib.closing(engines.database):
        yield folder, ask, engines.database


@folder_only("calls that write there")
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EROFS", "EDQUOT"])
@pytest.mark.parametrize("call", ["open", "fsync", "pwrite", "replace", "unlink"])
def test_calls_of_the_store_fail_in_turn(
    own: tuple[Path, Ask, Database], call: str, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(os, call) or not hasattr(errno, error):
        pytest.skip(f"this system has no {call} or {error}")
    folder, ask, _ = own
    real = getattr(os, call)
    failed = True
    number = 0
    while failed:
        number += 1
        assert number < 100
        transfer = Transfer(ask, f"t{number}")
        transfer.prepare()
        left = number
        failed = False

        def failing(*arguments: Any, **options: Any) -> Any:
            nonlocal left, failed
            left -= 1
            if left == 0:
                failed = True
                code = getattr(errno, error)
                raise OSError(code, os.strerror(code))
            return real(*arguments, **options)

        with monkeypatch.context() as patched:
            patched.setattr(os, call, failing)
            transfer.run()
        transfer.check()
        assert transfer.run()
        transfer.check()
    assert number > 1 or call == "unlink"
    check_data(folder)


@sqlite_only("its pragmas, which bar writing")
@pytest.mark.parametrize("pragma", ["max_page_count", "query_only"])
def test_a_database_that_cannot_be_written_answers_so_and_goes_on(own: tuple[Path, Ask, Database], pragma: str) -> None:
    folder, ask, database = own
    transfer = Transfer(ask, "t")
    transfer.prepare()

    def stop(connection: Any, *_: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA {pragma} = {pages if pragma == 'max_page_count' else 'ON'}")

    sa.event.listen(database.engine, "checkout", stop)
    statuses = set()
    try:
        for number in range(200):
            answer = ask("POST", "/v1/orgs/default/files/folders", json={"path": f"{number}" * 80}, key=f"k{number}")
            statuses.add(answer.status)
            if answer.status > 500:
                assert answer.json["code"] == ("insufficient_storage" if answer.status == 507 else "storage_failed")
        transfer.run()
        assert ask("GET", "/v1/orgs/default/files/content?path=t/older").status == 200, "reading goes on"
    finally:
        sa.event.remove(database.engine, "checkout", stop)
        for line in ("max_page_count = 1073741823", "query_only = OFF"):
            database.engine.dispose()
            with database.engine.connect() as connection:
                connection.exec_driver_sql(f"PRAGMA {line}")
    assert statuses <= {201, 507 if pragma == "max_page_count" else 503}
    assert len(statuses) > 1 or pragma == "query_only"
    transfer.check()
    assert transfer.run()
    transfer.check()
    check_data(folder)


def test_bytes_stay_when_the_commit_may_have_worked(
    own: tuple[Path, Ask, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that says it failed and is there all the same, as after a crash; and what fails after the commit."""
    folder, ask, database = own
    files = "/v1/orgs/default/files"
    errors: list[Exception] = [
        OSError(errno.EIO, "after the commit"),
        RuntimeError("after the commit"),
        sa.exc.OperationalError("COMMIT", None, sqlite3.OperationalError("disk I/O error")),
    ]
    for number, error in enumerate(errors):

        def commit(connection: Any, error: Exception = error) -> None:
            connection.commit()
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(database.engine.dialect, "do_commit", commit)
            answer = ask("PUT", f"{files}/content?path=f{number}", content=b"content")
        assert answer.status in (503, 500)
        assert ask("GET", f"{files}/content?path=f{number}").body == b"content"
    check_data(folder)


def test_a_key_file_or_audit_log_that_fails_answers_so_and_goes_on(
    own: tuple[Path, Ask, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, ask, _ = own
    secrets = "/v1/orgs/default/secrets"
    real = Path.read_bytes

    def failing(path: Path) -> bytes:
        if path.name == sealing.FILE_NAME:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path)

    def write() -> Answer:
        return ask("POST", f"{secrets}/user", json={"name": "warehouse", "content": {"password": "x"}})

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", failing)
        answer = write()
        assert (answer.status, answer.json["code"]) == (503, "storage_failed")
    log = folder / "logs" / AUDIT
    for limit in (0, 10):
        before = log.read_bytes() if log.exists() else b""
        real_write = os.write
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", lambda handle, line: real_write(handle, line[:limit]))  # noqa: B023
            answer = write()
            assert (answer.status, answer.json["code"]) == (507, "insufficient_storage")
        assert (log.read_bytes() if log.exists() else b"") == before, "no half line"
    assert write().status < 300


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(errno.ENOSPC, ""), 507),
        (OSError(errno.EFBIG, ""), 507),
        (OSError(errno.EIO, ""), 503),
        (OSError(errno.EROFS, ""), 503),
        (OSError(errno.EMFILE, ""), 503),
        (OSError(errno.ENOENT, ""), 500),
    ],
)
def test_each_failure_of_a_disk_has_its_status(error: OSError, status: int) -> None:
    assert (problems.is_full(error), problems.is_failing(error)) == (status == 507, status == 503)
