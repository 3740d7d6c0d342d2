"""What an operator asks of a server, whether or not it runs: how it is, and who uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from edge_files.wire import PART_SIZE
from edge_server.base import clock
from edge_server.data.database import Database
from edge_server.data.migrations import HEAD
from edge_server.files import housekeeping, tree
from edge_server.files.models import Upload, Version
from edge_server.run import data_folder, start, status
from edge_server.run.command import server as command
from edge_server.testing.local_server import EdgeServer

from .engines import sqlite_only
from .wire import Api


def run(name: str, data: Path, *options: str) -> Result:
    return CliRunner().invoke(command, [name, "--data", str(data), *options])


def status_of(data: Path) -> dict[str, Any]:
    """What the server's status is as JSON."""
    done = run("status", data, "--json")
    answer: dict[str, Any] = json.loads(done.stdout)
    assert done.exit_code == (1 if answer["late"] else 0), done.output
    return answer


def test_the_status_of_a_server_that_runs(edge_server: EdgeServer, api: Api) -> None:
    before = status_of(edge_server.data)
    assert api.put("a", b"12345").status_code == 201
    assert api.put("a", b"123").status_code in (200, 201)
    api.part(api.start("large", 2 * PART_SIZE)["id"], 1, bytes(PART_SIZE))
    after = status_of(edge_server.data)
    assert after["revision"] == HEAD
    assert after["url"] == data_folder.running_url(edge_server.data)
    assert after["database_bytes"] > 0
    assert after["files"] == before["files"] + 1
    grown = {name: after["totals"][name] - before["totals"][name] for name in ("used", "deleted", "uploads")}
    assert grown == {"used": 3, "deleted": 5, "uploads": 1}
    assert set(after["due"]) == {"expired_uploads", "deleted_content", "deleted_folders"}
    text = run("status", edge_server.data).stdout
    for words in (HEAD, after["url"], f"{after['totals']['uploads']} open", "sealed by file"):
        assert words in text


def test_work_that_is_late_is_an_error_where_a_server_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines, _, _ = start.prepare(tmp_path / "data")
    server = EdgeServer(tmp_path / "data")
    _leave(engines.database)
    idle = status_of(server.data)
    assert idle["url"] is None
    assert idle["due"]["deleted_content"]["amount"] == 1
    assert 7199 < idle["due"]["deleted_content"]["lag_seconds"] < 7300
    assert idle["late"] == [], "nobody is there to do it"
    monkeypatch.setattr(status.data_folder, "is_locked", lambda _: True)
    monkeypatch.setattr(status.data_folder, "running_url", lambda _: "http://127.0.0.1:1")
    assert status_of(server.data)["late"] == ["deleted content"]
    done = run("status", server.data)
    assert done.exit_code == 1
    assert done.stderr == "Error: deleted content should have been cleared away an hour ago; look at the server's log\n"


def _leave(database: Database) -> None:
    """Have content that was to be collected two hours ago."""
    moment = clock.now() - tree.GRACE - housekeeping.MARGIN - 2 * status.LATE
    with database.write(0) as session:
        organization, user = session.execute(sa.text("SELECT o.id, u.id FROM organizations o, users u")).one()
        session.add(
            Version(
                key="0" * 40,
                organization_id=organization,
                size=1,
                digest="0" * 64,
                created_by=user,
                created_at=moment,
                removed_at=moment,
            )
        )
        assert session.scalar(sa.select(sa.func.count(Upload.id))) == 0


def test_the_users_of_a_server(edge_server: EdgeServer, api: Api) -> None:
    name = edge_server.create_user(organization=api.organization, roles=["developer"])
    edge_server.create_token(name)
    edge_server.create_token(name, expires_in=-1)
    users = {each["user_name"]: each for each in json.loads(run("users", edge_server.data, "--json").stdout)}
    assert users[name]["organizations"] == {api.organization: ["developer"]}
    assert (users[name]["tokens"], users[name]["last_used_at"], users[name]["server_admin"]) == (1, None, False)
    assert users["admin"]["server_admin"] is True
    (line,) = [line for line in run("users", edge_server.data).stdout.splitlines() if line.startswith(f"{name} ")]
    assert f"{api.organization} developer" in line
    assert "edg_" not in run("users", edge_server.data).stdout


@sqlite_only("a folder without a file")
def test_where_there_is_no_server_is_a_sentence(tmp_path: Path) -> None:
    for name in ("status", "users"):
        done = run(name, tmp_path)
        assert done.exit_code == 1
        assert "holds no server's data" in done.stderr
        assert len(done.stderr.splitlines()) == 1
