"""What is told of an application that has ended: its log without secrets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from edge_core.errors import ConfigurationError
from edge_hub.app_proxy import reports
from edge_hub.app_proxy.edge_app import EdgeApp
from edge_hub.app_proxy.process import AppFailed
from edge_hub.app_proxy.reports import Reports, without_secrets

LAUNCHED = {"JUPYTERHUB_SERVER_NAME": "viz-1f0c2d3e", "EDGE_APP_ID": "viz", "JUPYTERHUB_API_TOKEN": "0f1e2d3c4b5a6978"}


@pytest.mark.parametrize(
    ("line", "cleaned"),
    [
        ("KeyError: 'plate'", "KeyError: 'plate'"),
        ("token 0f1e2d3c4b5a6978 is refused", "token *** is refused"),
        ("{'JUPYTERHUB_API_TOKEN': '0f1e2d3c4b5a6978', 'a': 1}", "{'JUPYTERHUB_API_TOKEN': ***, 'a': 1}"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("db_password=hunter2 user=ada", "db_password=*** user=ada"),
        ("sent with bearer abcdefgh", "sent with bearer ***"),
        ("postgresql://ada:hunter2@db/lab", "postgresql://***@db/lab"),
        ("edg_" + "a" * 40, "edg_aaaa***"),
        ("\x1b[31mred\x1b[0m\x07 \x1b]0;title\x07bell", "red bell"),
        ("x" * 900, "x" * 500),
    ],
)
def test_a_line_of_the_log_is_sent_without_secrets(line: str, cleaned: str) -> None:
    assert without_secrets([line], LAUNCHED) == [cleaned]


def test_only_the_last_lines_are_sent() -> None:
    assert without_secrets([str(number) for number in range(30)], {}) == [str(number) for number in range(10, 30)]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What Edge was told."""
    calls: list[Any] = []
    monkeypatch.setattr(EdgeApp, "note", lambda _, *report: calls.append(report))
    settings = {"EDGE_API_TOKEN": "t", "EDGE_API_SERVICE_URL": "http://127.0.0.1:1", "EDGE_API_ORG": "lab"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return calls


def test_an_end_is_reported_with_its_code_and_a_failed_start_with_its_sentence(sent: list[Any]) -> None:
    of_app = Reports(LAUNCHED, print)
    asyncio.run(of_app.end(AppFailed("the application has ended with exit code 3", ["KeyError"], 3)))
    asyncio.run(of_app.end(AppFailed("app.py cannot be started (Permission denied)")))
    assert sent == [
        ("viz-1f0c2d3e", "ended", 3, ["KeyError"]),
        ("viz-1f0c2d3e", "ended", None, ["app.py cannot be started (Permission denied)"]),
    ]


def test_an_application_that_answers_late_is_starting_until_then(sent: list[Any]) -> None:
    async def scenario() -> None:
        answers = asyncio.Event()
        starting = asyncio.create_task(Reports(LAUNCHED, print).start(answers.wait, 0.01))
        while not sent:
            await asyncio.sleep(0.01)
        answers.set()
        await starting

    asyncio.run(scenario())
    assert [call[1] for call in sent] == ["starting", "running"]


def test_nothing_is_reported_of_what_answers_in_time_or_was_not_launched_by_edge(sent: list[Any]) -> None:
    async def at_once() -> None: ...

    asyncio.run(Reports(LAUNCHED, print).start(at_once, 60))
    asyncio.run(Reports({**LAUNCHED, "EDGE_APP_ID": ""}, print).end(AppFailed("it ended", [], 1)))
    assert sent == []


def test_an_edge_server_that_takes_no_report_is_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConfigurationError("missing settings: token")

    warnings: list[str] = []
    monkeypatch.setattr(reports, "EdgeSession", fail)
    asyncio.run(Reports(LAUNCHED, warnings.append).end(AppFailed("it ended", [], 1)))
    assert warnings == ["Edge has not taken that the application is ended (missing settings: token)."]
