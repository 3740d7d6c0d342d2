"""`edge server check` refuses what a start refuses, and makes nothing."""

from __future__ import annotations

import importlib.util
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command as alembic
from click.testing import CliRunner

from edge_server.data import database
from edge_server.data.database import SERVER, Database
from edge_server.data.migration import own_history
from edge_server.keys import sealing
from edge_server.keys.sealing import KeyFile
from edge_server.run import start
from edge_server.run.command import server as command

from .engines import sqlite_only
from .test_rotation import keep


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder without a server."""
    folder_ = tmp_path / "data"
    folder_.mkdir()
    start.prepare(folder_)
    return folder_


def run(action: str, folder: Path, *options: str, exit_code: int = 1) -> str:
    result = CliRunner().invoke(command, [action, "--data", str(folder), *options])
    assert result.exit_code == exit_code, result.output
    return result.output


def refused(folder: Path, engine: str) -> str:
    """Why both a check and a start refuse."""
    lines = [line for line in run("check", folder).splitlines() if "cannot be used: " in line]
    assert [line.partition(":")[0] for line in lines] == [engine]
    sentence = lines[0].partition("cannot be used: ")[2]
    assert run("run", folder, "--port", "0").splitlines()[-1] == f"Error: {sentence}"
    return sentence


@sqlite_only("a database that a start migrates")
def test_lost_keys_of_an_older_database(folder: Path) -> None:
    file = KeyFile(folder / sealing.FILE_NAME)
    opened = Database(folder / database.FILE_NAME)
    with opened.write(SERVER) as session:
        keep(session, file, 1)
    config = own_history().config()
    with opened.write_connection() as connection:
        config.attributes["connection"] = connection
        alembic.downgrade(config, "-1")
    before = opened.revision()
    opened.close()
    file.path.unlink()
    assert "keys: cannot be used: " in run("check", folder)
    again = Database(folder / database.FILE_NAME)
    assert again.revision() == before
    again.close()
    assert f"rotate-keys --lost --data {shlex.quote(str(folder))}" in refused(folder, "keys")


@sqlite_only("a database that a start fills")
def test_an_empty_database_has_nothing_sealed(tmp_path: Path) -> None:
    (tmp_path / database.FILE_NAME).touch()
    assert "keys: " in run("check", tmp_path, exit_code=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [database.FILE_NAME]


def test_sealed_content_of_a_transit_engine(folder: Path) -> None:
    opened = start.prepare(folder)[0].database
    with opened.write(SERVER) as session:
        keep(session, KeyFile(folder / sealing.FILE_NAME), 1)
    with opened.write_connection() as connection:
        connection.execute(sa.text("UPDATE secrets SET sealed = :sealed"), {"sealed": b"vault:v1:x"})
    opened.close()
    assert "what a transit engine has sealed, and none is set" in refused(folder, "keys")


def test_metrics_without_what_counts_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "server.toml").write_text('[server]\nmetrics_listen = "127.0.0.1:0"\n')
    find = importlib.util.find_spec

    def without(name: str, *rest: Any) -> Any:
        return None if name == "prometheus_client" else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    assert "run: python -m pip install prometheus-client" in refused(folder, "settings")


def test_a_log_that_is_a_folder(folder: Path) -> None:
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "server.toml").write_text('[log]\nfile = "logs"\n')
    assert refused(folder, "settings").startswith(f"[log] file: {folder / 'logs'} cannot be written (Is a directory)")


def test_a_log_below_a_file(folder: Path) -> None:
    (folder / "server.toml").write_text('[log]\nfile = "server.toml/server.log"\n')
    assert "cannot be written (Not a directory)" in refused(folder, "settings")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="whoever may write everything")
def test_a_log_in_a_folder_of_others(folder: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    (folder / "server.toml").write_text(f'[log]\nfile = "{closed}/logs/server.log"\n')
    assert "cannot be written (Permission denied)" in refused(folder, "settings")


def test_a_log_that_is_not_there_yet(folder: Path) -> None:
    (folder / "server.toml").write_text('[log]\nfile = "further/server.log"\n')
    run("check", folder, exit_code=0)
    assert not (folder / "further").exists()
