"""`python -m benchmarks upgrades [COMMIT ...]`: data made by older versions of everything opens with today's.

Without commits these are the last one of each day of the newest week of the history, and of each week before. Each is
installed as it was, with its server and its client; these make files, a secret, a token and a user. Today's server then
starts on the data folder, and today's client reads all of it with the tokens of then. `edge server fsck --deep` has to
find nothing. What is printed is how long the start took, with the migration, and whether something was missing; the
exit code is 1 if so. A commit without a server, or that cannot be installed, is named and passed over.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.older import installed_at
from benchmarks.peers import Missing, say
from tools.local_server import local_server

FILES = {"small.csv": 1000, "folder/middle.bin": 300_000, "folder/large.bin": (9 << 20) + 1}
"""Sizes of the files, by path: the last one travels in parts."""

# Of each version the plainest calls, which all of them have.
_MAKE = """
import json, os, pathlib, sys
from edge.api import EdgeSession
edge = EdgeSession()
folder, kept = pathlib.Path(sys.argv[1]), {}
for name in json.loads(sys.argv[2]):
    edge.files.upload(name, folder / name)
for name, act in {
    "secret": lambda: edge.secrets.create_user_secret("kept", {"password": "correct horse"}),
    "token": lambda: edge.tokens.create(note="kept").token,
    "organization": lambda: edge.admin.add_organization(
        __import__("edge.admin.organization", fromlist=["Organization"]).Organization(name="kept", title="Kept")
    ),
}.items():
    try:
        made = act()
        kept[name] = made if isinstance(made, str) else True
    except (AttributeError, ImportError):
        pass  # which this version does not have yet
print(json.dumps(kept))
"""

_READ = """
import hashlib, json, os, sys
from edge.api import EdgeSession
edge = EdgeSession()
read = {"files": {}}
for name in json.loads(sys.argv[1]):
    with edge.files.open(name, open_with="file") as file:
        read["files"][name] = hashlib.sha256(file.read()).hexdigest()
kept = json.loads(sys.argv[2])
if "secret" in kept:
    read["secret"] = edge.secrets.read_user_secret("kept")["password"] == "correct horse"
if "token" in kept:
    with EdgeSession(kept["token"]) as other:
        read["token"] = other.whoami().user_name == edge.whoami().user_name
if "organization" in kept:
    read["organization"] = edge.admin.get_organization("kept").title == "Kept"
edge.files.upload("new.txt", b"new")
print(json.dumps(read))
"""


def main(arguments: Sequence[str]) -> int:
    """Print the table; the exit code."""
    commits = list(arguments) or [commit for _, commit in last_commits(_history())]
    print("| commit | from | start with the migration | files | also | fsck --deep |")
    print("|---|---|---|---|---|---|")
    is_whole = True
    for commit in commits:
        try:
            short, python = installed_at(commit)
            line, opened = _row(short, python)
        except (Missing, RuntimeError, subprocess.CalledProcessError) as error:
            say(f"{commit} is passed over: {error}")
            continue
        is_whole = is_whole and opened
        print(line, flush=True)
    return 0 if is_whole else 1


def last_commits(history: Sequence[tuple[dt.date, str]]) -> list[tuple[dt.date, str]]:
    """The last commit of each day of the newest week, and of each week before.

    Args:
        history: the day and the name of each commit, the newest first.
    """
    newest = history[0][0]
    last: dict[object, tuple[dt.date, str]] = {}
    for day, commit in history[1:]:  # the newest is what runs today
        is_recent = (newest - day).days < 7
        last.setdefault(day if is_recent else day.isocalendar()[:2], (day, commit))
    return sorted(last.values())


def _history() -> list[tuple[dt.date, str]]:
    command = ["git", "-C", str(Path(__file__).parent), "log", "--first-parent", "--format=%cs %H"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [(dt.date.fromisoformat(day), commit) for day, _, commit in (line.partition(" ") for line in lines)]


def _row(commit: str, python: Path) -> tuple[str, bool]:
    """A line of the table, and whether everything opened."""
    with tempfile.TemporaryDirectory() as folder:
        data_folder, source = Path(folder, "data"), Path(folder, "source")
        digests = _write(source)
        names = json.dumps(list(FILES))
        with local_server(data_folder, str(python)) as then:
            kept = _output(str(python), _MAKE, str(source), names, environment=then.environment)
            access = {name: then.environment[name] for name in ("EDGE_API_TOKEN", "EDGE_API_ORG")}
        begun = time.monotonic()
        process, url = _started(data_folder)
        seconds = time.monotonic() - begun
        try:
            environment = {**os.environ, "no_proxy": "127.0.0.1", **access, "EDGE_API_SERVICE_URL": url}
            read = json.loads(_output(sys.executable, _READ, names, kept, environment=environment))
        finally:
            process.terminate()
            process.wait()
        checked = subprocess.run(
            [sys.executable, "-I", "-m", "edge_server", "fsck", "--deep", "--quiet", "--data", str(data_folder)],
            capture_output=True,
            text=True,
        )
    files = sum(read["files"][name] == digest for name, digest in digests.items())
    others = {name: is_same for name, is_same in read.items() if name != "files"}
    is_whole = files == len(FILES) and all(others.values()) and checked.returncode == 0
    date = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "show", "-s", "--format=%cs", commit], capture_output=True, text=True
    ).stdout.strip()
    also = ", ".join(f"{name}{'' if is_same else ' LOST'}" for name, is_same in others.items()) or "nothing"
    clean = "clean" if checked.returncode == 0 else f"{checked.stdout}{checked.stderr}".strip()
    return f"| {commit} | {date} | {seconds:.1f} s | {files} of {len(FILES)} | {also} | {clean} |", is_whole


def _write(folder: Path) -> dict[str, str]:
    """Fill files with bytes that do not repeat, and give their SHA-256s."""
    digests = {}
    for name, size in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
        digests[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return digests


def _output(python: str, code: str, *arguments: str, environment: dict[str, str]) -> str:
    done = subprocess.run([python, "-I", "-c", code, *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().rpartition("\n")[2])
    return done.stdout


def _started(data_folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Today's server on a data folder, once it listens, and its address."""
    command = [sys.executable, "-I", "-m", "edge_server", "run", "--data", str(data_folder), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    if " listens at " not in line:
        process.wait()
        raise RuntimeError("today's server does not start on its data")
    return process, line.rpartition(" ")[2].strip()
