"""The whole description against a live server: requests made from the schemas, and what answers them.

`EDGE_SCHEMATHESIS_EXAMPLES` says how many requests are made at random for each operation, beside
those at the edges of its schemas: few here, 120 for a run of more than 10,000 requests.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_core.session import EdgeSession
from edge_server.base import configuration
from edge_server.identity import directory
from edge_server.run import permission_table
from edge_server.run.openapi import text
from edge_server.testing.local_server import EdgeServer

RULES = permission_table.rules()

pytestmark = pytest.mark.slow

EXAMPLES = os.environ.get("EDGE_SCHEMATHESIS_EXAMPLES", "1")

ENDS_THE_CALLER = (
    "admin.organizations.remove",
    "admin.organizations.update",
    "admin.quotas.update",
    "admin.users.remove",
    "admin.users.update",
    "members.remove",
    "members.update",
    "tokens.remove",
)
"""What could shut out the one who asks, or leave no room for their files; so it is asked last."""

# What fits a schema is answered by 422 never, and by 400 only for reasons that no schema can tell.
# Those known, by operation:
REASONS = {
    "admin.billing.report": "some days are in the future, and some exclude each other",
    "admin.organizations.list": "a cursor is one that the server gave",
    "admin.organizations.update": "uid is what it is",
    "admin.quotas.update": "what is counted is what it is",
    "admin.users.list": "a cursor is one that the server gave",
    "admin.users.update": "uid is what it is, and names and email are the user's own",
    "billing.costs": "some days are in the future, some exclude each other, and some names do not exist",
    "billing.usage": "some days are in the future, some exclude each other, and some names do not exist",
    "files.content": "a folder has no content, and some texts are no paths",
    "files.delete": "the root folder stays",
    "files.list": "a cursor is one that the server gave, and some texts are no paths",
    "files.make_folder": "the root folder is there, and some texts are no paths",
    "files.move": "the root folder stays where it is, and some texts are no paths",
    "files.put": "the root folder is no file, and some texts are no paths",
    "files.put_batch": "no two paths of a batch are equal, and its files have 8 MiB together",
    "files.sign": "a folder has no content, and some texts are no paths",
    "files.stat": "some texts are no paths",
    "files.uploads.complete": "parts are numbered without gaps",
    "files.uploads.sign": "an MD5 is 16 bytes in base64",
    "files.uploads.start": "the root folder is no file, and some texts are no paths",
    "invitations.list": "a cursor is one that the server gave",
    "members.list": "a cursor is one that the server gave",
    "members.update": "names and email are the user's own, and a license is managed at home",
    "tokens.list": "a cursor is one that the server gave",
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EdgeServer]:
    """A server of the test's own, whose organizations may go."""
    own = EdgeServer(tmp_path / "data")
    own.data.mkdir(mode=0o700)
    # Wrong tokens are among the requests, and a fast machine makes thousands.
    (own.data / configuration.FILE_NAME).write_text('[limits]\nfailures = "100000 per second"\n')
    own.start()
    yield own
    own.close()


@pytest.fixture
def caller(server: EdgeServer) -> str:
    """The token of someone who may do everything: server admin, and admin and developer of `lab`."""
    server.create_organization("lab")
    server.create_user("someone", organization="lab")
    server.create_user("caller", organization="lab", roles=directory.ROLES, server_admin=True)
    token = server.create_token("caller")
    with EdgeSession(token, server.url, "lab") as session:
        session.files.upload("folder/a.txt", b"content")
    return token


def run(server: EdgeServer, folder: Path, token: str | None, choice: tuple[str, ...]) -> tuple[int, dict[str, str]]:
    """Run schemathesis; returns how many requests it made, and why operations refused some that fit with 400."""
    folder.mkdir()
    (folder / "openapi.json").write_text(text(), encoding="utf-8")
    (folder / "schemathesis.toml").write_text(
        'hooks = "schemathesis_hooks"\n'
        "[parameters]\n"
        'org = "lab"\n'
        '"path.user_name" = "someone"\n'
        "[checks]\n"
        "positive_data_acceptance.expected-statuses = "
        '["2xx", "3xx", "400", "401", "403", "404", "409", "410", "412", "429"]\n'
        + ("" if token is None else f'[auth.openapi.token]\nbearer = "{token}"\n')
    )
    command = [
        *(str(Path(sys.executable).parent / "schemathesis"), "--config-file", "schemathesis.toml"),
        *("run", "openapi.json", "--url", server.url, "--checks", "all", "--max-examples", EXAMPLES, "--no-color"),
        *("--continue-on-failure", "--generation-database", "none", "--suppress-health-check", "all"),
        *choice,
    ]
    refused = folder / "refused"
    refused.touch()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "EDGE_TEST_REFUSED": str(refused)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    cases = re.search(r"(\d+) generated", done.stdout)
    assert cases is not None, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.returncode == 0, done.stdout[-20_000:]
    lines = refused.read_text(encoding="utf-8").splitlines()
    return int(cases[1]), dict(line.split("\t", 1) for line in lines)


def test_no_request_breaks_the_server_or_its_description(server: EdgeServer, caller: str, tmp_path: Path) -> None:
    but_not = [word for operation in ENDS_THE_CALLER for word in ("--exclude-operation-id", operation)]
    only = [word for operation in ENDS_THE_CALLER for word in ("--include-operation-id", operation)]
    first = run(server, tmp_path / "with-token", caller, tuple(but_not))
    with EdgeSession(caller, server.url, "lab") as session:
        assert session.files.list(), "the caller was shut out, and the rest asked by nobody"
    second = run(server, tmp_path / "without-token", None, ())
    third = run(server, tmp_path / "last", caller, tuple(only))
    cases = [first[0], second[0], third[0]]
    print(f"{sum(cases)} cases: {cases[0]} and {cases[2]} with a token, {cases[1]} without; {len(RULES)} operations")
    print("Refused with 400 though it fits its schema:")
    for operation, reason in sorted({**first[1], **second[1], **third[1]}.items()):
        print(f"  {operation}: {REASONS.get(operation, reason)}")
    assert "Traceback" not in server.log
