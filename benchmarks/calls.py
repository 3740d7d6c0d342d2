"""What one call costs beside `requests`, and what a server that is down costs."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.answering import answering
from benchmarks.measuring import Row, figures, seconds

ROUNDS = 9

ENVIRONMENT = {"EDGE_API_TOKEN": "edg_x", "EDGE_API_ORG": "default"}

FIRST = """
import sys
from edge.api import EdgeSession
assert EdgeSession("edg_x", sys.argv[1], "default").whoami().user_name == "ada"
"""

FIRST_REQUESTS = """
import sys
import requests
answer = requests.Session().get(sys.argv[1] + "/v1/users/me", headers={"Authorization": "Bearer edg_x"}, timeout=60)
answer.raise_for_status()
assert answer.json()["user_name"] == "ada"
"""

HOOK = """
from edge_core.hooks import hookimpl
plugin_api = 1

@hookimpl
def edge_response(request, response):
    pass
"""

MANY = """
import json, sys, time
import requests
from edge.api import EdgeSession

CALLS, ROUNDS = 400, 9
url = sys.argv[1]
session = requests.Session()
edge = EdgeSession("edg_x", url, "default")
headers = {"Authorization": "Bearer edg_x"}

def by_requests():
    return session.get(url + "/v1/users/me").json()

def by_edge():
    return edge.http.core.get("/v1/users/me")

def record():
    return edge.whoami().user_name

def times(call):
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(CALLS):
        call()
    return time.perf_counter() - wall, time.process_time() - cpu

assert by_requests() == by_edge()
for call in (by_requests, by_edge, record):
    times(call)
print(json.dumps([[times(call) for call in (by_requests, by_edge, record)] for _ in range(ROUNDS)]))
"""

CALLS_OF_A_DEAD_SERVER = 1000

DEAD = """
import json, sys, time
from edge.api import ConnectionFailed, EdgeSession
edge = EdgeSession("edg_x", sys.argv[1], "default")
started, failed = time.perf_counter(), 0
for _ in range(int(sys.argv[2])):
    try:
        edge.whoami()
    except ConnectionFailed:
        failed += 1
print(json.dumps([failed, time.perf_counter() - started]))
"""


def rows() -> list[Row]:
    """Measure."""
    with answering() as url, tempfile.TemporaryDirectory() as hooked:
        _install_hook(Path(hooked))
        for code in (FIRST, FIRST_REQUESTS):
            seconds(code, url)
        seconds(FIRST, url, path=hooked)
        first = [
            (seconds(FIRST_REQUESTS, url), seconds(FIRST, url), seconds(FIRST, url, path=hooked)) for _ in range(ROUNDS)
        ]
        many = figures(MANY, url)
    requests_sent, elapsed = dead_server()
    what = "one JSON call, of requests.Session.get().json()"
    return [
        Row(
            "B7",
            "first call in a fresh process, wall, of requests alone",
            1.25,
            "x",
            [ours / peer for peer, ours, _ in first],
        ),
        Row("", "the same with one hook installed", None, "x", [hook / peer for peer, _, hook in first]),
        Row("B8", f"{what}, wall", 0.60, "x", [ours[0] / peer[0] for peer, ours, _ in many]),
        Row("B8", f"{what}, CPU", 0.60, "x", [ours[1] / peer[1] for peer, ours, _ in many]),
        Row(
            "",
            "the same to a record with one field read, wall",
            None,
            "x",
            [ours[0] / peer[0] for peer, _, ours in many],
        ),
        Row("", f"connections of {CALLS_OF_A_DEAD_SERVER} calls to a server that hangs up", None, "", [requests_sent]),
        Row("", "their time", None, " s", [elapsed]),
    ]


def dead_server() -> tuple[int, float]:
    """How often a server that closes each connection at once is asked by 1,000 calls, and their seconds."""
    listener = socket.create_server(("127.0.0.1", 0))
    taken = 0

    def hang_up() -> None:
        nonlocal taken
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            taken += 1
            connection.close()

    threading.Thread(target=hang_up, daemon=True).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    failed, elapsed = figures(DEAD, url, str(CALLS_OF_A_DEAD_SERVER))
    assert failed == CALLS_OF_A_DEAD_SERVER
    time.sleep(0.1)
    listener.close()
    return taken, elapsed


def _install_hook(site: Path) -> None:
    metadata = site / "lab_log-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-log\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[edge.hooks]\nlab-log = lab_log\n")
    (site / "lab_log.py").write_text(HOOK)
