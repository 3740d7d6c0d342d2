"""The server's own log: as text or JSON, with request ids, and in files that may be moved away."""

from __future__ import annotations

import gzip
import json
import re
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from edge_core.errors import ApiError
from edge_core.session import EdgeSession
from edge_server.run.command import server as command
from edge_server.testing.local_server import EdgeServer
from tests.programs import program
from tests.waiting import wait_for

from .engines import sqlite_only
from .pairs import single_host_only
from .wire import close_all

pytestmark = pytest.mark.slow

README = Path(__file__).parents[1] / "README.md"

Start = Callable[[str], EdgeServer]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Start]:
    """Starts a server with such settings, and an access log."""
    own = EdgeServer(tmp_path / "data")

    def start(settings: str) -> EdgeServer:
        own.data.mkdir(mode=0o700)
        (own.data / "server.toml").write_text(settings)
        own.start("--access-log")
        return own

    yield start
    close_all()
    own.close()


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, each of which is an object of JSON."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(isinstance(line, dict) for line in lines)
    return lines


def damage(server: EdgeServer) -> None:
    """Have the database fail: what is asked of it then is in the log."""
    with server.database.write_connection() as connection:
        connection.exec_driver_sql("ALTER TABLE users RENAME TO away")


@sqlite_only("a table that is renamed")
def test_each_line_of_json_has_the_request_id_that_the_client_names(begin: Start) -> None:
    server = begin('[log]\nformat = "json"\nfile = "logs/server.log"\n')
    marker = f"marker{secrets.token_hex(6)}"
    organization = server.create_organization(f"{marker}-org")
    user = server.create_user(f"{marker}-user", organization=organization, roles=["admin", "developer"])
    token = server.create_token(user)
    with EdgeSession(token, server.url, organization) as edge:
        edge.files.upload(f"{marker}-folder/file.csv", bytes(9 << 20))
        link = edge.files.open(f"{marker}-folder/file.csv", open_with="file").download_url()
        assert requests.get(link, timeout=60).status_code == 200
        edge.secrets.create_user_secret(f"{marker}-secret", {"password": f"{marker}-value"})
        with pytest.raises(ApiError) as refused:
            edge.files.stat(f"{marker}-missing")
        damage(server)
        with pytest.raises(ApiError) as failed:
            edge.files.stat(f"{marker}-failed")
    assert f"[request {failed.value.request_id}]" in str(failed.value)

    log = lines_of(server.data / "logs" / "server.log")
    assert all({"at", "level", "logger", "process"} <= set(line) for line in log)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["at"]) for line in log)
    of_failure = [line for line in log if line.get("request_id") == failed.value.request_id]
    assert [line["level"] for line in of_failure] == ["error"] * len(of_failure)
    assert "Traceback" in of_failure[0]["error"]

    wait_for(lambda: refused.value.request_id in (server.data / "logs" / "access.log").read_text())
    access = lines_of(server.data / "logs" / "access.log")
    by_id = {line["request_id"]: line for line in access}
    line = by_id[refused.value.request_id]
    assert {name: line[name] for name in ("method", "route", "status", "code", "bytes_in")} == {
        "method": "GET",
        "route": "/v1/orgs/<org>/files/entry",
        "status": 404,
        "code": "not_found",
        "bytes_in": 0,
    }
    assert line["seconds"] >= 0
    assert line["client"] == "127.0.0.1"
    assert sum(line["bytes_in"] for line in access) >= 9 << 20

    signature = re.findall("signature=([^&]+)", link)[0]
    everything = server.log + "".join(path.read_text() for path in (server.data / "logs").iterdir())
    of_paths = (f"{marker}-folder", f"{marker}-missing", f"{marker}-failed", "file.csv")
    assert [word for word in (token, signature, f"{marker}-value", *of_paths) if word in everything] == []
    # Who did what is what the audit is for; nothing else names anybody.
    others = [line for line in (*log, *access) if line["logger"] != "edge_server.audit"]
    assert [line for line in others if marker in json.dumps(line) and line not in of_failure] == []
    audited = [line for line in log if line["logger"] == "edge_server.audit"]
    assert {line["user"] for line in audited} >= {user}


@single_host_only("its log")
def test_an_id_is_taken_over_only_if_it_is_a_plain_word(begin: Start) -> None:
    server = begin('[log]\nformat = "json"\n')
    for sent in ("a" * 65, "a b", '{"a":1}', "ü"):
        answer = requests.get(f"{server.url}/v1/meta", headers={"X-Request-ID": sent.encode()}, timeout=60)
        assert re.fullmatch("[0-9a-f]{16}", answer.headers["X-Request-ID"])
    answer = requests.get(f"{server.url}/v1/meta", headers={"X-Request-ID": "a-b_c.1"}, timeout=60)
    assert answer.headers["X-Request-ID"] == "a-b_c.1"
    # Threads write their lines, in an order of their own.
    wait_for(lambda: "a-b_c.1" in (server.data / "logs" / "access.log").read_text())
    assert [line["request_id"] for line in lines_of(server.data / "logs" / "access.log")].count("a-b_c.1") == 1


def rotate(logs: Path, n: int) -> None:
    for name in ("server.log", "access.log"):
        (logs / name).rename(logs / f"{name}.{n}")


def rotate_as_the_readme_says(logs: Path, _: int) -> None:
    logrotate = program("logrotate", "apt-get install logrotate")
    section = README.read_text(encoding="utf-8").partition("\n## Its log")[2]
    block = re.findall(r"^```\n(/var/lib.*?)^```", section, re.MULTILINE | re.DOTALL)[0]
    assert "/var/lib/edge/logs/" in block
    (logs.parent.parent / "logrotate").write_text(block.replace("/var/lib/edge/logs/", f"{logs}/"))
    (logs.parent.parent / "logrotate").chmod(0o600)
    command = [
        logrotate,
        "--force",
        "--state",
        str(logs.parent.parent / "state"),
        str(logs.parent.parent / "logrotate"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@single_host_only("its log")
@pytest.mark.parametrize(("form", "rotate"), [("text", rotate), ("json", rotate_as_the_readme_says)])
def test_logs_may_be_moved_away_while_every_process_writes(
    form: str, rotate: Callable[[Path, int], None], begin: Start
) -> None:
    server = begin(f'[log]\nformat = "{form}"\nfile = "logs/server.log"\n[server]\nworkers = 2\n')
    logs = server.data / "logs"
    organization = server.create_organization()
    user = server.create_user(organization=organization, roles=["admin"])
    ids = []
    token = server.create_token(user)
    for n in range(30):
        if n in (10, 20):
            rotate(logs, n)
        # By a connection of its own, which either process takes.
        with EdgeSession(token, server.url, organization) as edge:
            edge.secrets.create_user_secret(f"secret-{n}", {"n": str(n)})
            with pytest.raises(ApiError) as refused:
                edge.files.stat("missing")
            ids.append(str(refused.value.request_id))

    def written(name: str) -> str:
        return "".join(path.read_text() for path in logs.glob(f"{name}*") if path.suffix != ".gz") + "".join(
            gzip.decompress(path.read_bytes()).decode() for path in logs.glob(f"{name}*.gz")
        )

    wait_for(lambda: all(request in written("access.log") for request in ids))
    assert len(list(logs.glob("access.log*"))) == 3
    assert len(list(logs.glob("server.log*"))) == 3
    assert all(f'"secret": "secret-{n}"' in written("server.log") for n in range(30))
    if form == "json":
        assert len({json.loads(line)["process"] for line in written("server.log").splitlines()}) == 2
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ('format = "xml"', 'log.format: write "text" or "json"'),
        ("format = 1", 'log.format: write "text" or "json"'),
        ('file = "server.toml/log"', "[log] file:"),
        ("rotate = true", "there is no setting log.rotate"),
    ],
)
def test_settings_that_cannot_be_are_a_sentence(settings: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text(f"[log]\n{settings}\n")
    done = CliRunner().invoke(command, ["run", "--data", str(tmp_path), "--port", "0"])
    assert done.exit_code == 1
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="writes to /dev/full, which Linux has")
def test_a_line_that_cannot_be_written_shows_no_token_elsewhere(tmp_path: Path) -> None:
    server = EdgeServer(tmp_path / "data")
    try:
        server.start()
        server.stop()
        (server.data / "logs").mkdir(exist_ok=True)
        (server.data / "logs" / "access.log").symlink_to("/dev/full")
        server.start("--access-log")
        token = server.create_token("admin")
        answer = requests.get(
            f"{server.url}/v1/users/me", headers={"Authorization": f"Bearer {token}"}, timeout=60, allow_redirects=False
        )
        assert answer.status_code == 200
        assert server.stop() == 0
        assert token not in server.log
        assert "Traceback" not in server.log
    finally:
        close_all()
        server.close()
