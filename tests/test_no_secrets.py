"""A whole run at DEBUG, then a search for every token, signature and secret it made."""

from __future__ import annotations

import collections
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge_server.identity import token_values

ROOT = Path(__file__).parent.parent
PLUGINS = ("admin", "applications", "files", "secrets", "server", "sources", "tokens")

RUN = [
    *("tests/test_live.py", "tests/test_hooks.py"),
    *(
        f"plugins/edge-{name}/tests"
        for name in ("admin", "applications", "files", "secrets", "server", "sources", "tokens")
    ),
]

AT_LEAST = {
    **{"new_token": 100, "EdgeTokens.create": 5, "EdgeAdmin.invite_to_organization": 5},
    **{"HttpClient._address": 10, "encode": 10, "_encoded": 3},
    **{"EdgeApplication.add_server_info": 1, "EdgeApplication.register_oauth_client": 2},
}
"""How many of each source of secrets there are at least, so that no source falls silent."""


_FORMED = re.compile(rb"ed[a-z]_[0-9A-Za-z]{39}")
"""What may be a token or the code of an invitation."""


@pytest.mark.slow
def test_no_log_traceback_or_database_holds_a_secret_of_the_run(tmp_path: Path) -> None:
    record = tmp_path / "record"
    record.mkdir()
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "tests.recorder"),
        *("--log-level=DEBUG", f"--log-file={record / 'log'}", "--log-file-level=DEBUG"),
        *(f"--basetemp={tmp_path / 'run'}", "-o", "tmp_path_retention_policy=all", *RUN),
    ]
    environment = {**os.environ, "EDGE_TEST_RECORD": str(record), "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stdout[-3000:]

    noted = {(source, secret) for source, secret in map(json.loads, (record / "secrets").read_text().splitlines())}
    counts = collections.Counter(source for source, _ in noted)
    assert {source for source, count in AT_LEAST.items() if counts[source] < count} == set(), counts
    written = {"what pytest printed": ran.stdout.encode() + ran.stderr.encode()}
    written |= {name: (record / name).read_bytes() for name in ("log", "tracebacks")}
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file() and (".sqlite3" in path.name or path.suffix == ".log"):
            # The one place where a token is meant to be seen is the greeting of the first start.
            lines = path.read_bytes().split(b"\n")
            shown = b"\n".join(line for line in lines if not line.startswith(b"export EDGE_API_TOKEN="))
            written[str(path)] = shown
    assert len(written["log"]) > 100_000
    assert len(written["tracebacks"]) > 100_000
    for kind in ("edge.sqlite3", "backups", "data.log", "audit.log"):
        assert any(kind in name for name in written), kind
    hits = {
        (name, source)
        for name, text in written.items()
        for source, secret in noted
        if any(form in text for form in _forms(secret))
    }
    # Those that no source has noted, such as ones that were made in another process.
    hits |= {
        (name, "well-formed")
        for name, text in written.items()
        for value in _FORMED.findall(text)
        if token_values.is_well_formed(value.decode(), value[:4].decode())
    }
    size = sum(map(len, written.values()))
    print(f"{dict(counts)} looked for in {len(written)} files of {size} bytes: {len(hits)} found")
    assert hits == set(), f"of {len(noted)} secrets"


def _forms(secret: str) -> set[bytes]:
    """How a text can stand in a file."""
    return {secret.encode(errors="backslashreplace"), json.dumps(secret)[1:-1].encode(), repr(secret)[1:-1].encode()}
