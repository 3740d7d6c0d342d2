"""Uploads in parts: sent by several threads, and resumed from what the server holds."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest

from edge_core import retries
from edge_core.errors import AlreadyExists, BadEntry, Conflict, ConnectionFailed, EdgeError, Forbidden
from edge_core.http import ServiceClient
from edge_core.session import EdgeSession
from edge_files import sending
from edge_files.folder import Folder
from edge_files.wire import PartToSign, SignedPart
from edge_server.testing.local_server import EdgeServer
from edge_testing.chaos import Answer, ChaosProxy, Exchange
from edge_vfs.progress import TransferProgress
from edge_vfs.source import Part

PART = 300_000
SIZE = 10 * PART + 1234


SERVER = f"""
    import runpy
    from edge_server.files import uploads
    uploads.PART_SIZE = {PART}
    runpy.run_module("edge_server", run_name="__main__")
"""


@pytest.fixture(scope="module")
def edge_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeServer]:
    """A running Edge server whose uploads have small parts."""
    folder = tmp_path_factory.mktemp("small-parts")
    (folder / "small_parts.py").write_text(textwrap.dedent(SERVER))
    server = EdgeServer(folder / "data")
    server._program = ("small_parts",)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        server.start()
    yield server
    server.close()


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.bin"
    path.write_bytes(random.Random(1).randbytes(SIZE))
    return path


@contextlib.contextmanager
def breaking(monkeypatch: pytest.MonkeyPatch, after: int, error: BaseException) -> Iterator[None]:
    """Let reading of parts fail, once this number of bytes was sent."""
    read = Part.read
    left = after

    def read_or_fail(part: Part, size: int = -1) -> bytes:
        nonlocal left
        block = read(part, size)
        left -= len(block)
        if left < 0:
            raise error
        return block

    with monkeypatch.context() as patched:
        patched.setattr(Part, "read", read_or_fail)
        yield


def sent(files: Folder, name: str, content: Any, **options: Any) -> TransferProgress:
    """Upload, and return what was counted at the end."""
    reports: list[TransferProgress] = []
    files.upload(name, content, progress=reports.append, **options)
    for before, after in itertools.pairwise(reports):
        assert before.bytes <= after.bytes
        assert before.skipped_bytes <= after.skipped_bytes
    for report in reports:
        assert report.total_bytes is None or report.bytes + report.skipped_bytes <= report.total_bytes
    return reports[-1]


def content_of(files: Folder, name: str) -> bytes:
    return files.read_bytes(name)


def cut_off(files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch, after: int = 5 * PART) -> None:
    """Upload a part of a file, until the connection breaks."""
    with breaking(monkeypatch, after, ConnectionFailed("cut off")), pytest.raises(ConnectionFailed, match="cut off"):
        files.upload("a.bin", local, max_workers=2)


def test_an_upload_that_was_cut_off_is_resumed(files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_off(files, local, monkeypatch)
    (upload,) = files.uploads()
    assert upload.held_bytes > 0
    result = sent(files, "a.bin", local)
    assert result.bytes + result.skipped_bytes == result.total_bytes == SIZE
    assert result.skipped_bytes >= 3 * PART, "of five parts two were in flight"
    assert content_of(files, "a.bin") == local.read_bytes()
    assert files.uploads() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ConnectionFailed("cut off")])
def test_who_is_interrupted_learns_that_the_upload_goes_on(
    files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    with breaking(monkeypatch, 5 * PART, error), pytest.raises(type(error)) as interrupted:
        files.upload("a.bin", local, max_workers=1)
    assert interrupted.value.__notes__ == ["what was sent is kept, and uploading again goes on from it"]
    assert sent(files, "a.bin", local).skipped_bytes == 5 * PART


def test_a_byte_that_changed_meanwhile_is_sent(files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with breaking(monkeypatch, 8 * PART, ConnectionFailed("cut off")), pytest.raises(ConnectionFailed):
        files.upload("a.bin", local, max_workers=1)
    content = bytearray(local.read_bytes())
    content[PART + 5] ^= 1
    local.write_bytes(content)
    result = sent(files, "a.bin", local)
    assert result.skipped_bytes == 7 * PART
    assert content_of(files, "a.bin") == content


def test_another_machine_resumes(
    files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, edge_session: EdgeSession
) -> None:
    cut_off(files, local, monkeypatch)
    copy = tmp_path / "elsewhere" / "copy.bin"
    copy.parent.mkdir()
    copy.write_bytes(local.read_bytes())
    os.utime(copy, (1, 1))
    config = edge_session.config
    with EdgeSession(config.api_token, config.service_url, config.organization) as other, copy.open("rb") as file:
        assert sent(other.files, "a.bin", file).skipped_bytes >= 3 * PART
    assert content_of(files, "a.bin") == local.read_bytes()


def test_a_file_of_another_size_is_sent_as_a_whole(files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_off(files, local, monkeypatch)
    with local.open("ab") as file:
        file.write(b"x")
    result = sent(files, "a.bin", local)
    assert (result.bytes, result.skipped_bytes) == (SIZE + 1, 0)


def test_resume_can_be_turned_off(files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_off(files, local, monkeypatch)
    result = sent(files, "a.bin", local, resume=False)
    assert (result.bytes, result.skipped_bytes) == (SIZE, 0)
    assert content_of(files, "a.bin") == local.read_bytes()


@contextlib.contextmanager
def piped(payload: bytes) -> Iterator[IO[bytes]]:
    """The reading end of a pipe into which all of a payload is written, until nobody reads it any more."""
    read, write = os.pipe()

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(write, "wb") as file:
            file.write(payload)

    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(read, "rb") as pipe:
        yield pipe
    thread.join()


def test_what_cannot_seek_is_never_resumed_and_leaves_nothing_open(
    files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with piped(local.read_bytes()) as pipe:
        with breaking(monkeypatch, 3 * PART, ConnectionFailed("cut off")), pytest.raises(ConnectionFailed):
            files.upload("a.bin", pipe)
        assert files.uploads() == []


def test_a_pipe_with_too_many_parts_is_refused(
    files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sending, "MAX_PARTS", 4)
    caplog.set_level("INFO", "edge.transfers")
    refusal = r"up to 4 parts of .*; write it to a file"
    with piped(local.read_bytes()) as pipe, pytest.raises(BadEntry, match=refusal):
        files.upload("a.bin", pipe)
    assert "is not known, so that it can have up to 1.2 MB" in caplog.text
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith("1.2 MB of 'a.bin' were sent, and it can have up to 1.2 MB"), "and once"
    assert files.uploads() == []


@pytest.mark.parametrize("max_workers", [1, 3, 64])
def test_parts_are_sent_by_several_threads(
    files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch, max_workers: int
) -> None:
    threads = set()
    put = sending._Sending._put

    def noted(*args: Any) -> str:
        threads.add(threading.current_thread())
        return put(*args)

    monkeypatch.setattr(sending._Sending, "_put", noted)
    files.upload("a.bin", local, max_workers=max_workers)
    assert content_of(files, "a.bin") == local.read_bytes()
    assert len(threads) <= min(max_workers, 11)
    if max_workers == 1:
        assert threads == {threading.main_thread()}
    with pytest.raises(ValueError, match="max_workers must be 1 or more"):
        files.upload("a.bin", local, max_workers=0)
    with pytest.raises(ValueError, match="max_workers must be 1 or more"):
        files.upload_folder("a", local.parent, max_workers=0)


def test_a_file_that_is_written_meanwhile_is_not_completed(
    files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = sending._Sending._put

    def changing(self: Any, n: int, part: Part, address: SignedPart) -> str:
        os.utime(local, (n, n))
        return put(self, n, part, address)

    with monkeypatch.context() as patched:
        patched.setattr(sending._Sending, "_put", changing)
        with pytest.raises(EdgeError, match="changed while it was being uploaded"):
            files.upload("a.bin", local)
    assert not files.exists("a.bin")
    assert sent(files, "a.bin", local).skipped_bytes == SIZE, "what was sent is kept"


@contextlib.contextmanager
def beaten(monkeypatch: pytest.MonkeyPatch, beat: Callable[[], object]) -> Iterator[None]:
    """Let somebody do something between the last part and the completion of uploads."""
    complete = sending._Sending._complete

    def late(self: sending._Sending) -> None:
        beat()
        complete(self)

    with monkeypatch.context() as patched:
        patched.setattr(sending._Sending, "_complete", late)
        yield


def test_an_upload_whose_name_is_taken_at_the_end_is_resumed_once_it_is_free(
    files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with beaten(monkeypatch, lambda: files.write_bytes("a.bin", b"first")), pytest.raises(AlreadyExists):
        files.upload("a.bin", local, overwrite=False)
    assert content_of(files, "a.bin") == b"first"
    files.move("a.bin", "first.bin")
    result = sent(files, "a.bin", local, overwrite=False)
    assert (result.bytes, result.skipped_bytes) == (0, SIZE)
    assert content_of(files, "a.bin") == local.read_bytes()
    assert files.uploads() == []


def test_content_that_differs_from_a_refused_upload_is_sent_anew(
    files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with beaten(monkeypatch, lambda: files.write_bytes("a.bin", b"first")), pytest.raises(AlreadyExists):
        files.upload("a.bin", local, overwrite=False)
    files.move("a.bin", "first.bin")
    with open(local, "r+b") as file:
        file.write(b"changed")
    files.upload("a.bin", local, overwrite=False)
    assert content_of(files, "a.bin") == local.read_bytes()


# --- two processes


def test_two_that_upload_to_a_path_at_once_both_succeed(edge_session: EdgeSession, files: Folder) -> None:
    config = edge_session.config
    contents = [random.Random(seed).randbytes(SIZE) for seed in (1, 2)]
    for content in ([contents[0], contents[0]], contents, contents):
        errors: list[BaseException] = []
        together = threading.Barrier(2)

        def job(payload: bytes, errors: list[BaseException] = errors, together: Any = together) -> None:
            try:
                with EdgeSession(config.api_token, config.service_url, config.organization) as edge:
                    edge.files.list()
                    together.wait(60)
                    sent(edge.files, "checkpoint.pt", payload)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=job, args=(payload,)) for payload in content]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert content_of(files, "checkpoint.pt") in content
        files.delete("checkpoint.pt")


@pytest.mark.parametrize("other_completes", [False, True])
@pytest.mark.parametrize("equal", [False, True])
def test_who_shares_an_upload_with_another_starts_once_more(
    files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch, other_completes: bool, equal: bool
) -> None:
    own = local.read_bytes()
    other = own if equal else own[::-1]
    complete = sending._Sending._complete
    calls: list[str] = []

    def overtaken(self: sending._Sending) -> None:
        calls.append(self._here)
        if len(calls) == 1:  # the other one's parts take the place of ours
            failure = contextlib.nullcontext() if other_completes else pytest.raises(ConnectionFailed)
            with failure:
                files.upload("a.bin", other)
            assert calls[1:] == [self._here]
        elif len(calls) == 2 and not other_completes:
            raise ConnectionFailed("the other one is cut off")
        complete(self)

    monkeypatch.setattr(sending._Sending, "_complete", overtaken)
    result = sent(files, "a.bin", own)
    assert content_of(files, "a.bin") == own, "the last one that is completed stays"
    assert len(calls) == (2 if equal else 3)
    assert calls[-1] != calls[0] or equal
    assert result.phase == "completing"
    assert result.bytes + result.skipped_bytes == SIZE


def test_only_wrong_parts_are_sent_again(files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    complete, put = sending._Sending._complete, sending._Sending._put
    calls: list[str] = []
    numbers: list[int] = []

    def damaging(self: sending._Sending) -> None:
        calls.append(self._here)
        if len(calls) == 1:  # another process puts parts of its own in the place of two of ours
            parts = [PartToSign(n=n) for n in (2, 5)]
            for n, address in self._sign(parts).items():
                with self._http.fetch_signed("PUT", address.url, headers=address.headers, body=bytes(PART)):
                    assert n in self._parts
        complete(self)

    def noting(self: Any, n: int, part: Part, address: SignedPart) -> str:
        numbers.append(n)
        return put(self, n, part, address)

    monkeypatch.setattr(sending._Sending, "_complete", damaging)
    monkeypatch.setattr(sending._Sending, "_put", noting)
    result = sent(files, "a.bin", local)
    assert (result.bytes, result.skipped_bytes) == (SIZE, 0)
    assert content_of(files, "a.bin") == local.read_bytes()
    assert sorted(numbers[-2:]) == [2, 5]
    assert len(numbers) == -(-SIZE // PART) + 2
    assert calls == [calls[0]] * 2
    assert list(files.uploads()) == []


def test_an_upload_that_somebody_dropped_starts_once_more(
    files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = sending._Sending._put
    dropped = threading.Event()

    def dropping(self: Any, n: int, part: Part, address: SignedPart) -> str:
        if n == 5 and not dropped.is_set():
            dropped.set()
            files.abort_upload(files.uploads()[0])
        return put(self, n, part, address)

    monkeypatch.setattr(sending._Sending, "_put", dropping)
    assert sent(files, "a.bin", local).bytes == SIZE
    assert dropped.is_set()
    assert content_of(files, "a.bin") == local.read_bytes()


def test_a_part_that_is_still_arriving_is_waited_for(
    files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(sending, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=lambda s: now.append(s)))
    refusals = [Conflict("a part is still arriving", retry_after=seconds) for seconds in (1.0, 3.0)]
    post = ServiceClient.post

    def busy(self: ServiceClient, path: str, **options: Any) -> Any:
        if path.endswith("/complete") and refusals:
            raise refusals.pop(0)
        return post(self, path, **options)

    monkeypatch.setattr(ServiceClient, "post", busy)
    files.upload("a.bin", local)
    assert now[1:] == [1.0, 3.0]
    assert sending.PATIENCE > 60, "servers give up on a part after a minute without a byte"
    refusals = [Conflict("a part is still arriving", retry_after=sending.PATIENCE + 1)]
    files.upload("a.bin", local, resume=False)
    assert now[3:] == [], "it starts once more instead of waiting for longer than that"


def busy_for_long() -> EdgeError:
    return Conflict("busy", retry_after=1000.0)


def cut_while_completing() -> EdgeError:
    return ConnectionFailed("nothing came for 60 s")


@pytest.mark.parametrize("error", [busy_for_long, cut_while_completing])
def test_a_completion_that_takes_long_is_waited_for(
    files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch, error: Callable[[], EdgeError]
) -> None:
    monkeypatch.setattr(sending, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=lambda _: None))
    left = [error] * 3
    completed: list[str] = []
    reads: list[str] = []
    post, get = ServiceClient.post, ServiceClient.get

    def late(self: ServiceClient, path: str, **options: Any) -> Any:
        if path.endswith("/complete"):
            completed.append(path)
            if left:
                raise left.pop()()
        return post(self, path, **options)

    def completing(self: ServiceClient, path: str, **options: Any) -> Any:
        answer = get(self, path, **options)
        if path.startswith("/uploads/"):
            reads.append(path)
            answer["completing"] = True
        return answer

    monkeypatch.setattr(ServiceClient, "post", late)
    with monkeypatch.context() as patched:
        patched.setattr(ServiceClient, "get", completing)
        assert sent(files, "a.bin", local).bytes == SIZE
    assert (len(completed), len(set(completed)), len(reads)) == (4, 1, 3), "the same upload, which is asked for"
    assert content_of(files, "a.bin") == local.read_bytes()
    left.append(cut_while_completing)
    with pytest.raises(ConnectionFailed):
        files.upload("b.bin", local)


# --- addresses


def test_addresses_that_have_expired_are_renewed(files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sign = sending._Sending._sign
    calls: list[list[int]] = []

    def expired(self: Any, parts: list[PartToSign]) -> dict[int, SignedPart]:
        calls.append([part.n for part in parts])
        addresses = sign(self, parts)
        if len(calls) == 1:
            for address in addresses.values():
                address.url = address.url.replace("signature=", "signature=0")
        return addresses

    monkeypatch.setattr(sending._Sending, "_sign", expired)
    files.upload("a.bin", local)
    assert content_of(files, "a.bin") == local.read_bytes()
    assert calls[0] == list(range(1, 12)), "no more than there are parts"
    assert len(calls) == 2, "one renews them for all"
    monkeypatch.setattr(sending._Sending, "_put", lambda *_: (_ for _ in ()).throw(Forbidden("no")))
    with pytest.raises(Forbidden):
        files.upload("b.bin", local)


@pytest.mark.parametrize("digest", ["sha256", "md5"])
def test_where_addresses_bind_a_digest_the_part_is_hashed_first(
    files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch, digest: str
) -> None:
    signing(monkeypatch, digest)
    parts: list[PartToSign] = []
    sign = sending._Sending._sign

    def noted(self: Any, to_sign: list[PartToSign]) -> dict[int, SignedPart]:
        parts.extend(to_sign)
        return sign(self, to_sign)

    monkeypatch.setattr(sending._Sending, "_sign", noted)
    assert sent(files, "a.bin", local).bytes == SIZE
    assert content_of(files, "a.bin") == local.read_bytes()
    assert sorted(part.n for part in parts) == list(range(1, 12))
    assert all((part.sha256 is None, part.md5 is None) == (digest == "md5", digest == "sha256") for part in parts)


@pytest.mark.parametrize("digest", ["sha256", "md5"])
def test_a_part_that_changes_after_it_was_hashed_is_refused(
    files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch, digest: str
) -> None:
    signing(monkeypatch, digest)
    put = sending._Sending._put

    def changing(self: Any, n: int, part: Part, address: SignedPart) -> str:
        local.write_bytes(bytes(SIZE))
        return put(self, n, part, address)

    monkeypatch.setattr(sending._Sending, "_put", changing)
    with pytest.raises(EdgeError, match="changed while it was being uploaded"):
        files.upload("a.bin", local)
    assert not files.exists("a.bin")


def test_a_digest_that_is_not_known_is_a_sentence(files: Folder, local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signing(monkeypatch, "crc64")
    with pytest.raises(EdgeError, match=r"digest that this version does not know \(crc64\); update edge-files"):
        files.upload("a.bin", local)


def signing(monkeypatch: pytest.MonkeyPatch, digest: str) -> None:
    """Have the server ask for a digest of each part before it is sent, as one with an object store does."""
    start = sending._Sending.open

    def start_signed(self: Any, *, resume: bool) -> None:
        start(self, resume=resume)
        self._upload.signed_digest = digest

    monkeypatch.setattr(sending._Sending, "open", start_signed)


# --- a process that dies

CLIENT = """
    import os, signal, sys, threading
    from edge_core.session import EdgeSession
    from edge_vfs.source import Part

    path, after, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    lock, left, read = threading.Lock(), after, Part.read

    def read_or_die(part, size=-1):
        global left
        block = read(part, min(size, 50_000))
        with lock:
            left -= len(block)
            if left < 0:
                if number != signal.SIGTERM:
                    left = 1 << 40
                os.kill(os.getpid(), number)
        return block

    Part.read = read_or_die
    with EdgeSession() as edge:
        edge.files.upload("a.bin", path)
"""


def run_client(edge: EdgeSession, code: str, *args: object, **options: Any) -> subprocess.Popen[bytes]:
    config = edge.config
    environment = {
        **os.environ,
        "EDGE_API_TOKEN": config.api_token or "",
        "EDGE_API_SERVICE_URL": config.service_url,
        "EDGE_API_ORG": config.organization,
    }
    # What a shell starts in the background ignores Ctrl-C, and so would all that it starts.
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    command = [sys.executable, "-c", heeds + textwrap.dedent(code), *map(str, args)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, **options)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", ["SIGKILL", "SIGINT", "SIGTERM"])
def test_a_client_that_is_killed_sends_at_most_a_part_of_each_thread_again(
    files: Folder, edge_session: EdgeSession, local: Path, number: str
) -> None:
    for after in (PART * 5, PART * 2):
        process = run_client(edge_session, CLIENT, local, after, int(getattr(signal, number)))
        _, errors = process.communicate(timeout=120)
        assert process.returncode != 0, errors
        assert len(files.uploads()) == 1, errors
    result = sent(files, "a.bin", local)
    assert result.skipped_bytes >= 7 * PART - 2 * 4 * PART
    assert content_of(files, "a.bin") == local.read_bytes()
    assert files.uploads() == []


COPY = """
    import sys
    from edge_cli.main import main
    sys.argv[1:] = ["files", "cp", "-", "edge:a.bin"]
    main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_while_standard_input_waits_ends_the_command(files: Folder, edge_session: EdgeSession) -> None:
    with run_client(edge_session, COPY, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(bytes(2 << 20))
        process.stdin.flush()
        until = time.monotonic() + 60
        while not [upload for upload in files.uploads() if upload.held_bytes >= 5 * PART]:
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr is not None
        errors = process.stderr.read().decode()
    assert "Fatal" not in errors
    assert errors.strip() == "Interrupted."
    assert files.uploads() == []


def test_threads_that_wait_for_what_another_signs_do_not_begin_anew_if_that_fails(
    files: Folder, local: Path, edge_session: EdgeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "PATIENCE", 0.2)
    monkeypatch.setattr(retries, "wait", lambda *_: 0.05)
    keys: set[str] = set()

    def away(exchange: Exchange) -> None:
        keys.add(exchange.headers["idempotency-key"])
        Answer(503, headers={"Retry-After": "1"})(exchange)

    config = edge_session.config
    with ChaosProxy(config.service_url) as proxy:
        proxy.inject(away, only="/sign$")
        with EdgeSession(config.api_token, proxy.url, config.organization) as edge, pytest.raises(EdgeError):
            edge.files.upload("a.bin", local, max_workers=4)
    assert len(keys) == 1
