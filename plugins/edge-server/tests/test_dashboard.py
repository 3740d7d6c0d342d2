"""The dashboard and the alerts: Prometheus itself asks its queries of a server under load."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
import yaml

from edge_core.errors import EdgeError
from edge_core.session import EdgeSession
from edge_server.testing.local_server import EdgeServer
from tests.object_stores import free_port
from tests.object_stores import wait_for as wait_for_port
from tests.programs import program
from tests.waiting import wait_for

from .stores import folder_only
from .test_monitoring import SETTINGS, address_of, scraped
from .wire import close_all

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[3] / "docs" / "monitoring"

DASHBOARD = json.loads((FOLDER / "edge-dashboard.json").read_text())

RULES = yaml.safe_load((FOLDER / "edge-alerts.yml").read_text())["groups"][0]["rules"]

ALERTS = {rule["alert"]: rule["expr"] for rule in RULES}

VARIABLES = {"$__rate_interval": "30s", "$instance": ".*"}
"""What Grafana puts in place of its variables."""


def shown() -> dict[str, str]:
    """The queries of the dashboard, by panel and legend."""
    queries = {}
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            query = target["expr"]
            for variable, value in VARIABLES.items():
                query = query.replace(variable, value)
            queries[f"{panel['title']}: {target['legendFormat']}"] = query
    return queries


SHOWN = shown()

INSTALLED_BY = "apt-get install prometheus"


class Prometheus(NamedTuple):
    """A running Prometheus, and the server that it watches."""

    url: str
    server: EdgeServer

    def ask(self, query: str) -> list[Any]:
        """The samples of a query; fails if Prometheus cannot read it."""
        answer = requests.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=60).json()
        assert answer["status"] == "success", f"{query}: {answer.get('error')}"
        samples: list[Any] = answer["data"]["result"]
        return samples


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus with the guide's settings, and a server under load that it has seen some of."""
    path = program("prometheus", INSTALLED_BY)
    folder = tmp_path_factory.mktemp("prometheus")
    server = EdgeServer(folder / "data")
    server.data.mkdir(mode=0o700)
    (server.data / "server.toml").write_text(SETTINGS)
    server.start()
    shutil.copy(FOLDER / "edge-alerts.yml", folder)
    settings = (FOLDER / "prometheus.yml").read_text()
    assert settings.count("127.0.0.1:8791") == 1
    settings = settings.replace("127.0.0.1:8791", address_of(server).removeprefix("http://"))
    assert settings.count("30s") == 2
    (folder / "prometheus.yml").write_text(settings.replace("30s", "1s").replace("10s", "1s"))
    port = free_port()
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"]
    options += [f"--web.listen-address=127.0.0.1:{port}"]
    with contextlib.ExitStack() as stack:
        stack.callback(server.close)
        stack.callback(close_all)
        output = stack.enter_context(open(folder / "output", "wb"))
        process = subprocess.Popen([path, *options], stdout=output, stderr=output, cwd=folder)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        wait_for_port("127.0.0.1", port, process, folder / "output")
        running = Prometheus(f"http://127.0.0.1:{port}", server)
        wait_for(lambda: _is_seen(running))
        yield running


def _is_seen(running: Prometheus) -> bool:
    """Work with the server, and tell whether Prometheus has seen enough of it for rates."""
    with EdgeSession(running.server.create_token("admin"), running.server.url, "default") as edge:
        edge.files.upload("load/large", os.urandom(9 << 20), overwrite=True)
        for n in range(20):
            edge.files.upload(f"load/{n}", os.urandom(1000), overwrite=True)
            with edge.files.open(f"load/{n}", open_with="file") as file:
                file.read()
        with contextlib.suppress(EdgeError):
            edge.files.stat("missing")
    seen = running.ask(
        "sum(rate(edge_database_wait_seconds_count[30s])) > 0 and sum(rate(edge_problems_total[30s])) > 0"
    )
    return bool(seen and running.ask('rate(edge_background_runs_total{task="claims"}[30s]) > 0'))


def names_in(query: str) -> set[str]:
    return set(re.findall(r"\b(?:edge_\w+|up)\b(?!\()", query))


@pytest.mark.parametrize("title", sorted(SHOWN))
def test_each_panel_shows_something_of_a_server_under_load(title: str, prometheus: Prometheus) -> None:
    samples = prometheus.ask(SHOWN[title])
    assert samples, f"{SHOWN[title]} gives nothing"


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_no_alert_is_raised_by_a_server_that_works(name: str, prometheus: Prometheus) -> None:
    if name in ("EdgeDiskNearlyFull", "EdgeDiskFillsUp"):
        prometheus.ask(ALERTS[name])  # which is about this machine's disk
    else:
        assert prometheus.ask(ALERTS[name]) == []


def test_prometheus_takes_the_settings_and_the_rules(prometheus: Prometheus) -> None:
    rules = requests.get(f"{prometheus.url}/api/v1/rules", timeout=60).json()["data"]["groups"][0]["rules"]
    assert {rule["name"] for rule in rules} == set(ALERTS)
    checked = subprocess.run(
        [program("promtool", INSTALLED_BY), "check", "config", FOLDER / "prometheus.yml"],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_dashboard_and_alerts_name_what_the_server_counts(prometheus: Prometheus) -> None:
    text = scraped(prometheus.server)
    there = set(re.findall(r"^(edge_\w+)", text, re.MULTILINE)) | {"up"}
    used = set().union(*map(names_in, [*SHOWN.values(), *ALERTS.values()]))
    assert used - there == set()
    # And each number that the server has is shown, or the page says nothing of what it measures.
    families = set(re.findall(r"^# TYPE (edge_\w+)", text, re.MULTILINE))
    assert {family for family in families if not any(name.startswith(family) for name in used)} == set()


def test_each_alert_says_what_to_do_and_how_soon() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        assert rule["for"]


@folder_only("content that is moved away")
def test_a_server_without_its_content_raises_an_alert(prometheus: Prometheus) -> None:
    folder = prometheus.server.data
    (folder / "content").rename(folder / "away")
    try:
        wait_for(lambda: prometheus.ask(ALERTS["EdgeNotReady"]))
        raised = prometheus.ask(ALERTS["EdgeNotReady"])
    finally:
        (folder / "away").rename(folder / "content")
    assert [sample["metric"]["engine"] for sample in raised] == ["store"]
    wait_for(lambda: not prometheus.ask(ALERTS["EdgeNotReady"]))


def test_grafana_has_what_it_needs_of_each_panel() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    squares = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(squares) == len(set(squares)), "panels lie on each other"
    assert max(x for x, _ in squares) < 24
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert {name for text in json.dumps(DASHBOARD).split("$")[1:] for name in re.findall(r"^\{?([a-z]\w*)", text)} <= (
        variables
    )
