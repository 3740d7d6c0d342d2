"""Folders of many small files, between this machine and a server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_core.errors import BadEntry, BadResponse, NotFound, QuotaExceeded
from edge_core.http import ServiceClient
from edge_core.session import EdgeSession
from edge_files.folder import Folder
from edge_files.wire import MAX_BATCH_FILES, SMALL_CONTENT
from edge_vfs.report import IncompleteTransfer, TransferReport

FILES = {
    **{f"runs/{n % 3}/plate {n}.csv": b"%d," % n * (n * 10) for n in range(MAX_BATCH_FILES + 20)},
    "runs/limit": bytes(SMALL_CONTENT),
    "runs/above": bytes(SMALL_CONTENT + 1),
    "empty": b"",
}

Fetch = Callable[..., Any]


@pytest.fixture
def local(tmp_path: Path) -> Path:
    top = tmp_path / "local"
    for path, content in FILES.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(content)
    return top


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The address and the bytes of each request of a batch."""
    sent: list[tuple[str, int]] = []
    fetch = ServiceClient.fetch

    def noted(self: ServiceClient, method: str, path: str, **options: Any) -> Any:
        if path.startswith("/batch"):
            sent.append((path, len(options["body"])))
        return fetch(self, method, path, **options)

    monkeypatch.setattr(ServiceClient, "fetch", noted)
    return sent


def contents(top: Path) -> dict[str, bytes]:
    return {path.relative_to(top).as_posix(): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def test_many_files_go_in_few_requests_and_come_back(
    files: Folder, local: Path, tmp_path: Path, batches: list[tuple[str, int]]
) -> None:
    reports: list[TransferReport] = []
    files.upload_folder("tree", local, report=reports.append)
    assert [path for path, _ in batches] == ["/batch"] * 2
    copy = files.download_folder("tree", tmp_path / "copy", report=reports.append)
    assert contents(copy) == FILES
    assert [path for path, _ in batches[2:]] == ["/batch/read"] * 2
    assert [report.sent for report in reports] == [tuple(sorted(FILES))] * 2
    for path in FILES:
        assert (copy / path).stat().st_mtime_ns == (local / path).stat().st_mtime_ns
    files.upload_folder("tree", local, report=reports.append)
    files.download_folder("tree", tmp_path / "copy", report=reports.append)
    assert [(len(report.sent), len(report.skipped)) for report in reports[2:]] == [(0, len(FILES))] * 2
    assert len(batches) == 4


def test_a_batch_that_a_proxy_refuses_is_halved(
    files: Folder, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = ServiceClient.fetch

    def limited(self: ServiceClient, method: str, path: str, **options: Any) -> Any:
        if path == "/batch" and len(options["body"]) > 20_000:
            raise BadEntry("a proxy in front of the server refuses a request of this size", status=413)
        return fetch(self, method, path, **options)

    monkeypatch.setattr(ServiceClient, "fetch", limited)
    files.upload_folder("tree", local)
    assert contents(files.download_folder("tree", tmp_path / "copy")) == FILES


def test_a_server_of_an_older_version_gets_single_files(
    files: Folder, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch, tried = ServiceClient.fetch, list[str]()

    def older(self: ServiceClient, method: str, path: str, **options: Any) -> Any:
        if path.startswith("/batch"):
            tried.append(path)
            path = "/no-such-address"
        return fetch(self, method, path, **options)

    monkeypatch.setattr(ServiceClient, "fetch", older)
    files.upload_folder("tree", local)
    assert contents(files.download_folder("tree", tmp_path / "copy")) == FILES
    assert 1 <= len(tried) <= 4


def test_each_refusal_is_the_error_of_its_file(files: Folder, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text(name)
    files.make_folder("tree/b.txt")
    files.upload_folder("other", tmp_path)
    with pytest.raises(IncompleteTransfer, match="'tree/b.txt' is a folder; ") as raised:
        files.upload_folder("tree", tmp_path)
    assert raised.value.report.sent == ("a.txt", "c.txt")


def test_a_file_that_goes_away_meanwhile_is_still_read(
    files: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        files.write_text(f"tree/{name}", name)
    fetch = ServiceClient.fetch

    def late(self: ServiceClient, method: str, path: str, **options: Any) -> Any:
        if path == "/batch/read":
            query = json.loads(options["body"])
            query["files"][1]["version"] = "gone"
            options["body"] = json.dumps(query).encode()
            files.delete("tree/b.txt")
        return fetch(self, method, path, **options)

    monkeypatch.setattr(ServiceClient, "fetch", late)
    # It can be read by its version for another day.
    files.download_folder("tree", tmp_path / "copy")
    assert contents(tmp_path / "copy") == {name: name.encode() for name in ("a.txt", "b.txt", "c.txt")}


def change_answers(monkeypatch: pytest.MonkeyPatch, change: Callable[[list[Any]], object]) -> None:
    """Have the items of each batch's answer changed before the client sees them."""
    fetch = ServiceClient.fetch

    def changed(self: ServiceClient, method: str, path: str, **options: Any) -> Any:
        answer = fetch(self, method, path, **options)
        if path == "/batch":
            document = answer.json()
            change(document["items"])
            monkeypatch.setattr(answer, "json", lambda: document)
        return answer

    monkeypatch.setattr(ServiceClient, "fetch", changed)


@pytest.mark.parametrize(
    "change",
    [
        lambda items: items.pop(),
        lambda items: items.reverse(),
        lambda items: items[0].update(path="another"),
    ],
)
def test_an_answer_about_other_files_is_no_answer(
    edge_session: EdgeSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[list[Any]], object]
) -> None:
    change_answers(monkeypatch, change)
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    with pytest.raises(BadResponse, match="answered about other files than were named"):
        edge_session.files.upload_folder("tree", tmp_path)


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        ({"error": "quota_exceeded", "status": 507, "detail": "full", "entry": None}, QuotaExceeded),
        ({"error": "not_found", "status": 404, "detail": "gone", "entry": None}, NotFound),
        ({"entry": None}, BadResponse),
    ],
)
def test_what_a_server_says_of_a_file_becomes_its_error(
    edge_session: EdgeSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    outcome: dict[str, Any],
    kind: type[Exception],
) -> None:
    change_answers(monkeypatch, lambda items: items[0].update(outcome))
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    with pytest.raises((kind, IncompleteTransfer)) as raised:
        edge_session.files.upload_folder("tree", tmp_path)
    error = raised.value
    assert isinstance(error.report.failed[0].error if isinstance(error, IncompleteTransfer) else error, kind)
