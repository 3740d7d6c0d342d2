"""Hooks: each one called, none able to break what it only watches."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from edge_core.errors import ConfigurationError, EdgeError, NotFound, PluginError
from edge_core.hooks import Specifications, hookimpl
from edge_core.session import EdgeSession
from tests.conftest import Distribute

HOOKS = sorted(name for name in vars(Specifications) if name.startswith("edge_"))
DOCS = (Path(__file__).parent.parent / "docs" / "hooks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_heading_and_a_test(hook: str) -> None:
    assert f"\n## {hook}\n" in DOCS
    assert f"def {hook}(" in Path(__file__).read_text(encoding="utf-8"), "no test implements it"


class Watcher:
    """Notes all it is told."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    @hookimpl
    def edge_session_opened(self, session: EdgeSession) -> None:
        self.events.append(("opened", session))

    @hookimpl
    def edge_request(self, request: Any) -> None:
        request.headers["X-Trace"] = "t1"
        self.events.append(("request", request))

    @hookimpl
    def edge_response(self, request: Any, response: Any) -> None:
        self.events.append(("response", request, response))

    @hookimpl
    def edge_transfer(self, transfer: Any) -> None:
        self.events.append(("transfer", transfer))

    @hookimpl
    def edge_session_closed(self, session: EdgeSession) -> None:
        self.events.append(("closed", session))

    def of(self, kind: str) -> list[Any]:
        return [event[1:] for event in self.events if event[0] == kind]


def test_a_hook_sees_a_session_from_its_first_request_to_its_end(edge_session: EdgeSession) -> None:
    watcher = Watcher()
    edge_session.hooks.register(watcher)
    assert watcher.events == []
    edge_session.whoami()
    with pytest.raises(NotFound):
        edge_session.files.open("nothing")
    edge_session.close()
    edge_session.close()
    kinds = [event[0] for event in watcher.events]
    assert kinds == ["opened", "request", "response", "request", "response", "closed"]
    (request,) = watcher.of("request")[0]
    assert (request.method, request.signed) == ("GET", False)
    assert request.url.endswith("/v1/users/me")
    assert not any("token" in str(value).lower() or "edg_" in str(value) for value in request.headers.values())
    _, response = watcher.of("response")[1]
    assert (response.status, response.error) == (404, None)
    assert response.headers["X-Request-ID"] == watcher.of("request")[1][0].id
    assert 0 < response.seconds < 60


def test_a_hook_changes_headers_but_never_sees_the_token(edge_session: EdgeSession) -> None:
    watcher = Watcher()
    edge_session.hooks.register(watcher)
    sent: list[Any] = []
    client = edge_session.http
    adapter = client._session().get_adapter(client._settings.service_url)
    original = adapter.send

    def send(prepared: Any, **options: Any) -> Any:
        sent.append(dict(prepared.headers))
        return original(prepared, **options)

    adapter.send = send  # type: ignore[method-assign]
    edge_session.whoami()
    assert sent[0]["X-Trace"] == "t1"
    assert sent[0]["Authorization"].startswith("Bearer ")
    assert "Authorization" not in watcher.of("request")[0][0].headers


def test_an_attempt_without_an_answer_is_reported_with_its_error() -> None:
    watcher = Watcher()
    with EdgeSession("edg_x", "http://127.0.0.1:9", "default", retries=0) as session:
        session.hooks.register(watcher)
        with pytest.raises(EdgeError):
            session.whoami()
    ((_, response),) = watcher.of("response")
    assert response.status is None
    assert "nothing listens" in str(response.error)


def test_transfers_are_reported_not_too_often_and_to_their_end(edge_session: EdgeSession, tmp_path: Path) -> None:
    watcher = Watcher()
    edge_session.hooks.register(watcher)
    size = 20 << 20
    began = time.monotonic()
    edge_session.files.upload("a.bin", bytes(size))
    edge_session.files.upload("small.bin", b"12345")
    edge_session.files.download("a.bin", tmp_path)
    seconds = time.monotonic() - began
    reports = [transfer for (transfer,) in watcher.of("transfer")]
    assert len(reports) <= 10 * seconds + 6
    ends = [(report.direction, report.path, report.done, report.total) for report in reports if report.finished]
    assert ends == [
        ("upload", "a.bin", size, size),
        ("upload", "small.bin", 5, 5),
        ("download", "a.bin", size, size),
    ]
    for direction in ("upload", "download"):
        steps = [report.done for report in reports if (report.direction, report.path) == (direction, "a.bin")]
        assert steps == sorted(steps)
        assert len(steps) > 1


def test_each_file_of_a_folder_is_reported_to_its_end_and_the_call_not_too_often(
    edge_session: EdgeSession, tmp_path: Path
) -> None:
    watcher = Watcher()
    edge_session.hooks.register(watcher)
    (tmp_path / "runs").mkdir()
    for number in range(30):
        (tmp_path / "runs" / f"{number:02}.bin").write_bytes(bytes(10))
    began = time.monotonic()
    edge_session.files.upload_folder("runs", tmp_path / "runs")
    edge_session.files.download_folder("runs", tmp_path / "copy")
    seconds = time.monotonic() - began
    reports = [transfer for (transfer,) in watcher.of("transfer")]
    ends = [(report.direction, report.path, report.done, report.total) for report in reports if report.finished]
    assert sorted(ends) == [
        (direction, f"runs/{number:02}.bin", 10, 10) for direction in ("download", "upload") for number in range(30)
    ]
    assert sum(not report.finished for report in reports) <= 10 * seconds + 2


def test_a_transfer_that_fails_never_says_it_finished(edge_session: EdgeSession, tmp_path: Path) -> None:
    watcher = Watcher()
    edge_session.hooks.register(watcher)
    with pytest.raises(EdgeError):
        edge_session.files.upload("../a.bin", b"12345")
    assert [report for (report,) in watcher.of("transfer") if report.finished] == []


class Raises:
    @hookimpl
    def edge_response(self) -> None:
        raise RuntimeError("broken watcher")

    @hookimpl
    def edge_transfer(self) -> None:
        raise RuntimeError("broken watcher")

    @hookimpl
    def edge_session_opened(self) -> None:
        raise RuntimeError("broken watcher")

    @hookimpl
    def edge_session_closed(self) -> None:
        raise RuntimeError("broken watcher")


def test_a_watcher_that_raises_breaks_neither_the_call_nor_the_other_watchers(
    edge_session: EdgeSession, caplog: pytest.LogCaptureFixture
) -> None:
    before, after = Watcher(), Watcher()
    for plugin in (before, Raises(), after):
        edge_session.hooks.register(plugin)
    edge_session.files.upload("a.txt", b"x")
    edge_session.close()
    for watcher in (before, after):
        assert [event[0] for event in watcher.events][-1] == "closed"
        assert len(watcher.of("transfer")) >= 1
    warned = {record.getMessage().split()[0] for record in caplog.records if record.levelno == logging.WARNING}
    assert warned == {"edge_response", "edge_transfer", "edge_session_opened", "edge_session_closed"}
    assert "RuntimeError: broken watcher" in caplog.text


def test_a_slow_watcher_costs_its_own_time_and_no_time_limit(edge_session: EdgeSession) -> None:
    class Slow:
        @hookimpl
        def edge_response(self) -> None:
            time.sleep(0.3)

    settings = edge_session.config
    with EdgeSession(
        settings.api_token, settings.service_url, settings.organization, timeout=(60, 60), retries=0
    ) as session:
        session.hooks.register(Slow())
        began = time.monotonic()
        assert session.whoami().user_name
        assert time.monotonic() - began >= 0.3


def test_a_request_hook_can_refuse_a_call(edge_session: EdgeSession) -> None:
    class Refuses:
        error: Exception = EdgeError("no uploads on weekends; try on Monday")

        @hookimpl
        def edge_request(self, request: Any) -> None:
            raise self.error

    plugin = Refuses()
    edge_session.hooks.register(plugin, "calendar")
    with pytest.raises(EdgeError, match="on weekends"):
        edge_session.whoami()
    plugin.error = ZeroDivisionError("oops")
    with pytest.raises(PluginError, match="calendar failed on this call with ZeroDivisionError: oops"):
        edge_session.whoami()
    edge_session.hooks.unregister(plugin)
    assert edge_session.whoami().user_name


def test_a_hook_that_does_not_exist_or_wants_too_much_is_refused(edge_session: EdgeSession) -> None:
    class Misspelt:
        @hookimpl
        def edge_respons(self, request: Any) -> None: ...

    class Greedy:
        @hookimpl
        def edge_response(self, request: Any, token: str) -> None: ...

    for plugin in (Misspelt(), Greedy()):
        with pytest.raises(PluginError, match="cannot be used"):
            edge_session.hooks.register(plugin)
    assert edge_session.whoami().user_name


CREDENTIALS = "[edge.hooks]\n{name} = {module}\n"
SOURCE = """
from edge_core.hooks import hookimpl
plugin_api = 1
@hookimpl
def edge_credentials(profile, missing):
    {body}
"""


def credentials(name: str, body: str) -> dict[str, str]:
    module = f"{name}_hooks"
    return {
        "points": CREDENTIALS.format(name=name, module=module),
        module: SOURCE.format(body=textwrap.indent(body, "    ").strip()),
    }


def test_of_two_credential_hooks_the_first_answer_wins(
    distribute: Distribute, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = "https://edge.example.com"
    distribute("silent", **credentials("silent", "return None"))
    distribute("first", **credentials("first", f"return dict(service_url='{url}', api_token='edg_hook')"))
    distribute("second", **credentials("second", f"return dict(service_url='{url}/other', api_token='edg_other')"))
    config = EdgeSession(organization="lab").config
    assert (config.api_token, config.service_url) in {("edg_hook", url), ("edg_other", f"{url}/other")}
    monkeypatch.setenv("EDGE_API_TOKEN", "edg_environment")
    assert EdgeSession(organization="lab").config.api_token == "edg_environment", "the environment comes first"


def test_with_all_settings_present_no_credential_hook_is_imported(distribute: Distribute) -> None:
    distribute("hub", **credentials("hub", "raise SystemExit"))
    EdgeSession("edg_x", "https://edge.example.com", "lab")
    assert "hub_hooks" not in sys.modules


def test_a_credential_hook_that_fails_is_passed_over_and_named(distribute: Distribute) -> None:
    distribute("hub", **credentials("hub", "raise KeyError('edg_secret')"))
    with pytest.raises(ConfigurationError, match="the hook plugin hub failed with KeyError") as raised:
        EdgeSession(organization="lab")
    assert "edg_secret" not in str(raised.value)


def test_a_broken_hook_distribution_breaks_nothing_else(
    distribute: Distribute, edge_session: EdgeSession, caplog: pytest.LogCaptureFixture
) -> None:
    distribute("broken", points="[edge.hooks]\nbroken = no_such_module\n")
    distribute(
        "misspelt",
        points="[edge.hooks]\nmisspelt = misspelt_hooks\n",
        misspelt_hooks="""
        from edge_core.hooks import hookimpl
        plugin_api = 1
        @hookimpl
        def edge_respons(): pass
    """,
    )
    distribute(
        "good",
        points="[edge.hooks]\ngood = good_hooks\n",
        good_hooks="""
        from edge_core.hooks import hookimpl
        plugin_api = 1
        seen = []
        @hookimpl
        def edge_response(response): seen.append(response.status)
    """,
    )
    assert edge_session.whoami().user_name
    assert sys.modules["good_hooks"].seen == [200]  # type: ignore[attr-defined]
    assert "no_such_module" in caplog.text
    assert "edge_respons" in caplog.text


def test_without_hooks_pluggy_is_not_imported(edge_session: EdgeSession) -> None:
    settings = edge_session.config
    use = (
        "import sys; from edge.api import EdgeSession\n"
        f"edge = EdgeSession({settings.api_token!r}, {settings.service_url!r}, {settings.organization!r})\n"
        "edge.files.upload('a.txt', b'x'); print('pluggy' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", use], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "False"


def test_the_examples_of_the_docs_are_hooks_that_exist() -> None:
    for name in re.findall(r"^def (edge_\w+)", DOCS, flags=re.M):
        assert name in HOOKS
