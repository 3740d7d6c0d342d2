"""What an operator's programs ask: whether the server is ready, and what it counts."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from edge_core.errors import EdgeError
from edge_core.session import EdgeSession
from edge_server.base.problems import CannotStart
from edge_server.run import app, monitoring, readiness, start
from edge_server.run import metrics as metrics_module
from edge_server.run.command import server as command
from edge_server.testing.local_server import EdgeServer
from tests.waiting import wait_for

from .engines import sqlite_only
from .openbao import Bao, settings_of
from .pairs import single_host_only
from .stores import folder_only
from .wire import close_all

of_its_own = single_host_only("each counts what it does itself")

SETTINGS = '[server]\nmetrics_listen = "127.0.0.1:0"\nworkers = 2\n'


def address_of(server: EdgeServer) -> str:
    """Where those who watch a server ask it."""
    url: str = json.loads((server.data / "server.json").read_text())["monitoring_url"]
    return url


def scraped(server: EdgeServer) -> str:
    """The server's numbers, as Prometheus gets them."""
    answer = requests.get(f"{address_of(server)}/metrics", timeout=60)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == monitoring.PLAIN
    return answer.text


def values(text: str, name: str, **labels: str) -> float:
    """The sum of the samples of that name with such labels."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(
        sample.value for sample in samples if sample.name == name and labels.items() <= dict(sample.labels).items()
    )


def readyz(server: EdgeServer) -> tuple[int, Any]:
    answer = requests.get(f"{address_of(server)}/readyz", timeout=60)
    return answer.status_code, answer.json()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeServer]:
    """A server of two processes that is watched."""
    own = EdgeServer(tmp_path_factory.mktemp("watched") / "data")
    own.data.mkdir(mode=0o700)
    (own.data / "server.toml").write_text(SETTINGS)
    own.start("--access-log")
    yield own
    close_all()
    own.close()


@pytest.fixture
def edge(watched: EdgeServer) -> Iterator[EdgeSession]:
    organization = watched.create_organization()
    user = watched.create_user(organization=organization, roles=["admin"])
    with EdgeSession(watched.create_token(user), watched.url, organization) as session:
        yield session


# --- where ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
def test_it_is_not_on_the_public_address(watched: EdgeServer, path: str) -> None:
    assert requests.get(f"{watched.url}{path}", timeout=60).status_code == 404
    assert requests.get(f"{address_of(watched)}{path}", timeout=60).status_code == 200
    assert requests.head(f"{address_of(watched)}{path}", timeout=60).text == ""
    assert requests.post(f"{address_of(watched)}{path}", timeout=60).status_code == 405


def test_nothing_else_is_at_the_operators_address(watched: EdgeServer) -> None:
    for path in ("/", "/v1/users/me", "/healthz", "/metrics/", "/%2e%2e/metrics"):
        assert requests.get(f"{address_of(watched)}{path}", timeout=60).status_code == 404


def test_a_server_is_not_watched_unless_that_is_set(edge_server: EdgeServer) -> None:
    assert "monitoring_url" not in json.loads((edge_server.data / "server.json").read_text())


@pytest.mark.parametrize("value", ["8791", ":8791", "127.0.0.1", "127.0.0.1:70000", "127.0.0.1:x", "http://h:1"])
def test_an_address_that_is_none_is_a_sentence(value: str, tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text(f'[server]\nmetrics_listen = "{value}"\n')
    if value == "http://h:1":
        sentence = "http://h is no address to listen at"
    else:
        sentence = 'server.metrics_listen: write a host and a port, such as "127.0.0.1:8791"'
    done = CliRunner().invoke(command, ["run", "--data", str(tmp_path), "--port", "0"])
    assert done.exit_code == 1
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_port_that_is_taken_names_the_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "server.toml").write_text(f'[server]\nmetrics_listen = "127.0.0.1:{port}"\n')
        done = CliRunner().invoke(command, ["run", "--data", str(tmp_path), "--port", "0"])
    assert done.exit_code == 1
    assert f"cannot listen at 127.0.0.1:{port}" in done.stderr
    assert "choose another [server] metrics_listen" in done.stderr


def test_without_the_library_the_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module.importlib.util, "find_spec", lambda _: None)  # type: ignore[attr-defined]
    with (
        pytest.raises(CannotStart, match="run: python -m pip install prometheus-client"),
        metrics_module.shared_folder(tmp_path),
    ):
        pass


@of_its_own
def test_the_readme_lists_each_metric(watched: EdgeServer, edge: EdgeSession) -> None:
    page = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    section = page.partition("## Watch it")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`(edge_\w+)`", section))

    def shown() -> set[str]:
        return {
            f"{family.name}_total" if family.type == "counter" else family.name
            for family in text_string_to_metric_families(scraped(watched))
            if not family.name.endswith("_created")
        }

    # What has labels is shown once it has counted.
    edge.files.write_bytes("counted", b"counted")
    edge.files.read_bytes("counted")
    with pytest.raises(EdgeError):
        edge.files.stat("missing")
    wait_for(lambda: documented <= shown())
    assert documented == shown()


# --- ready ----------------------------------------------------------------------------------------


def test_a_server_that_can_work_is_ready(watched: EdgeServer) -> None:
    status, document = readyz(watched)
    assert status == 200
    assert document["status"] == "ready"
    assert {name: engine["usable"] for name, engine in document["engines"].items()} == {
        "database": True,
        "store": True,
    }


@folder_only("content that is moved away")
def test_a_server_without_its_content_is_not_ready_until_that_is_back(watched: EdgeServer) -> None:
    (watched.data / "content").rename(watched.data / "away")
    try:
        status, document = readyz(watched)
        assert values(scraped(watched), "edge_engine_up", engine="store") == 0
    finally:
        (watched.data / "away").rename(watched.data / "content")
    assert status == 503
    assert document["status"] == "unavailable"
    assert document["engines"]["database"]["usable"]
    assert "content" in document["engines"]["store"]["detail"]
    assert readyz(watched)[0] == 200


@sqlite_only("a file that is damaged")
def test_a_server_whose_database_cannot_be_read_is_not_ready(tmp_path: Path) -> None:
    engines, _, _ = start.prepare(tmp_path)
    (tmp_path / "edge.sqlite3").write_bytes(b"not a database" * 1000)
    outcomes = {outcome.name: outcome for outcome in readiness.Readiness(engines).outcomes()}
    engines.database.close()
    assert not outcomes["database"].is_usable
    assert outcomes["database"].is_needed
    assert "put back a backup of it" in outcomes["database"].sentence


def test_an_engine_that_hangs_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, looks = threading.Event(), []

    def look() -> None:
        looks.append(1)
        hanging.wait()

    check = readiness.Check("store", look)
    for _ in range(3):
        outcome = check.outcome(time.monotonic() + 0.05)
        assert not outcome.is_usable
        assert outcome.sentence == "it did not answer within 3 seconds"
    assert len(looks) == 1, "a look that hangs is not joined by others"
    hanging.set()
    check.begin().result()
    assert check.outcome(time.monotonic() + 60).is_usable


@pytest.mark.slow
def test_a_keeper_that_is_away_is_shown_and_takes_no_host_out_of_service(bao: Bao, tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text(settings_of(bao.engine()))
    (tmp_path / "server.toml").chmod(0o600)
    engines, _, _ = start.prepare(tmp_path)
    looked_at = readiness.Readiness(engines)
    by_name = {outcome.name: outcome for outcome in looked_at.outcomes()}
    assert by_name["keeper"].is_usable
    bao.kill()
    by_name = {outcome.name: outcome for outcome in looked_at.outcomes()}
    engines.database.close()
    assert not by_name["keeper"].is_usable
    assert not by_name["keeper"].is_needed
    assert by_name["database"].is_usable


# --- metrics --------------------------------------------------------------------------------------


@of_its_own
def test_all_processes_count_together(watched: EdgeServer) -> None:
    def answered() -> float:
        return values(scraped(watched), "edge_request_duration_seconds_count", route="/v1/meta", status="200")

    before = answered()
    for _ in range(40):  # each by a connection of its own, which either process takes
        assert requests.get(f"{watched.url}/v1/meta", timeout=60).status_code == 200
    assert (
        values(scraped(watched), "edge_request_duration_seconds_count", route="/v1/meta", status="200") == before + 40
    )
    assert {values(scraped(watched), "edge_build_info") for _ in range(10)} == {1.0}


@of_its_own
def test_bytes_are_counted_as_they_pass(watched: EdgeServer, edge: EdgeSession) -> None:
    before = scraped(watched)
    large = bytes(3 << 20)
    edge.files.upload("large", large)
    with edge.files.open("large", open_with="file") as file:
        assert file.read() == large
    after = scraped(watched)
    received = values(after, "edge_received_bytes_total") - values(before, "edge_received_bytes_total")
    assert 3 << 20 <= received < (3 << 20) + 10_000
    wait_for(
        lambda: values(scraped(watched), "edge_sent_bytes_total") - values(before, "edge_sent_bytes_total") > 3 << 20
    )
    wait_for(lambda: values(scraped(watched), "edge_requests_in_flight") == 0)


@of_its_own
def test_refusals_are_counted_by_their_code(watched: EdgeServer, edge: EdgeSession) -> None:
    before = values(scraped(watched), "edge_problems_total", code="not_found")
    with pytest.raises(EdgeError):
        edge.files.stat("missing")
    wait_for(lambda: values(scraped(watched), "edge_problems_total", code="not_found") == before + 1)


def test_what_organizations_hold_is_summed(watched: EdgeServer, edge: EdgeSession) -> None:
    before = scraped(watched)
    admin = EdgeSession(watched.create_token("admin"), watched.url, "default")
    admin.admin.set_quota(edge.organization, 1000)
    edge.files.upload("held", bytes(950))
    upload = edge.http.core.post(f"/v1/orgs/{edge.organization}/files/uploads", json={"path": "open", "size": 40})
    after = scraped(watched)

    def grown(name: str) -> float:
        return values(after, name) - values(before, name)

    assert upload
    assert grown("edge_stored_bytes") == 950
    assert grown("edge_quota_bytes") == 1000
    assert grown("edge_quota_used_bytes") == 990
    assert grown("edge_nearly_full_organizations") == 1
    assert grown("edge_open_uploads") == 1
    assert grown("edge_open_upload_bytes") == 40
    edge.files.delete("held")
    assert values(scraped(watched), "edge_deleted_bytes") - values(before, "edge_deleted_bytes") == 950


def test_background_tasks_tell_when_they_last_succeeded(watched: EdgeServer) -> None:
    text = scraped(watched)
    assert abs(values(text, "edge_background_last_success_timestamp_seconds", task="checkpoint") - time.time()) < 3600
    assert values(text, "edge_background_interval_seconds", task="checkpoint") == app.CHECKPOINTS
    assert values(text, "edge_background_runs_total", task="checkpoint", outcome="success") > 0


@of_its_own
def test_waits_for_the_database_are_counted(watched: EdgeServer, edge: EdgeSession) -> None:
    before = values(scraped(watched), "edge_database_wait_seconds_count")
    edge.files.upload("waited", b"x")
    assert values(scraped(watched), "edge_database_wait_seconds_count") > before


def test_no_label_has_what_a_request_has_sent(watched: EdgeServer) -> None:
    marker = f"marker{secrets.token_hex(6)}"
    organization = watched.create_organization(f"{marker}-org")
    user = watched.create_user(f"{marker}-user", organization=organization, roles=["admin", "developer"])
    token = watched.create_token(user, note=marker)
    with EdgeSession(token, watched.url, organization) as edge:
        edge.files.upload(f"{marker}/{marker}.csv", bytes(9 << 20))
        link = edge.files.open(f"{marker}/{marker}.csv", open_with="file").download_url()
        assert requests.get(link, timeout=60).status_code == 200
        edge.secrets.create_user_secret(marker, {"password": f"password of {marker}"})
        edge.search(marker)
        with pytest.raises(EdgeError):
            edge.files.stat(f"{marker}/missing")
    # Addresses, methods, codes and ids that the server does not have are the sender's, too.
    for method, path in [
        ("GET", f"/{marker}"),
        ("GET", f"/v1/{marker}"),
        ("GET", f"/v1/orgs/{marker}/files"),
        (marker.upper(), "/v1/meta"),
        ("DELETE", "/v1/meta"),
    ]:
        headers = {"X-Request-ID": marker, "User-Agent": marker}
        answer = requests.request(method, f"{watched.url}{path}?x={marker}", headers=headers, timeout=60)
        assert answer.status_code >= 400
    text = scraped(watched)
    signature = re.findall("signature=([^&]+)", link)[0]
    for kept_back in (marker, marker.upper(), token, signature, str(watched.data)):
        assert kept_back not in text
    labels = {name for family in text_string_to_metric_families(text) for s in family.samples for name in s.labels}
    assert labels == {"code", "engine", "le", "method", "outcome", "route", "status", "task", "version"}
    routes = set(re.findall('route="([^"]*)"', text)) - {metrics_module.UNKNOWN}
    described = json.loads((Path(__file__).parents[3] / "docs" / "openapi.json").read_text())["paths"]
    assert {re.sub("<(?:int:)?([^>]*)>", r"{\1}", route) for route in routes} <= set(described)


@of_its_own
@pytest.mark.slow
def test_numbers_begin_anew_with_the_server_and_leave_nothing_behind(tmp_path: Path) -> None:
    own = EdgeServer(tmp_path / "data")
    own.data.mkdir(mode=0o700)
    (own.data / "server.toml").write_text(SETTINGS.replace("workers = 2\n", ""))
    folders = set(metrics_module.MEMORY.glob("edge-metrics-*"))
    try:
        own.start()
        requests.get(f"{own.url}/v1/meta", timeout=60)
        wait_for(lambda: values(scraped(own), "edge_request_duration_seconds_count", route="/v1/meta") == 1)
        left = set(metrics_module.MEMORY.glob("edge-metrics-*")) - folders
        own.kill()
        own.start()
        assert values(scraped(own), "edge_request_duration_seconds_count", route="/v1/meta") == 0
        assert not any(path.exists() for path in left)
    finally:
        close_all()
        own.close()
    assert set(metrics_module.MEMORY.glob("edge-metrics-*")) == folders


def test_a_worker_that_is_replaced_leaves_no_request_in_flight(tmp_path: Path) -> None:
    folder = tmp_path / "numbers"
    folder.mkdir()
    (folder / "gauge_livesum_999999.db").write_bytes(bytes(1 << 16))
    (folder / "counter_999999.db").write_bytes(bytes(1 << 16))
    metrics_module.Metrics(folder).forget(999999)
    assert [path.name for path in folder.iterdir()] == ["counter_999999.db"]
    shutil.rmtree(folder)
