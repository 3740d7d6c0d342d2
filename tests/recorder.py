"""A pytest plugin that looks for every secret of a run in all that the run has written: `-p tests.recorder`.

While tests run, it writes down each secret as it is made and each error with the way to it, and keeps the log at
DEBUG. When the last has ended it looks for the secrets in logs, tracebacks and databases, and fails the run if one is
there. What else makes something secret gets a line in `SOURCES`.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import logging
import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from edge_core import errors
from tests.secret_search import Search, search

RECORD = "EDGE_TEST_RECORD"
"""The folder of the run's record; the workers of pytest-xdist have it from the process that starts them."""

LEAST = {
    **{"new_token": 100, "EdgeTokens.create": 5, "EdgeAdmin.invite_to_organization": 5},
    **{"HttpClient.absolute": 10, "encode": 10, "_encoded": 3},
    **{"SealedColumn.prepare": 1, "EdgeApplication.add_server_info": 1, "EdgeApplication.register_oauth_client": 2},
}
"""How many secrets of each source a run of all tests has at least, so that no source falls silent."""

GUESSABLE = 12
"""Characters. Shorter texts are names, samples and the like, and are found everywhere."""

VARIED = 6
"""Different characters. Texts of fewer are padding."""

Secrets = Callable[[dict[str, Any], Any], Iterable[str]]


def _returned(_arguments: dict[str, Any], result: Any) -> Iterable[str]:
    return [result]


def _token(_arguments: dict[str, Any], result: Any) -> Iterable[str]:
    return [result.token] if result.token else []


def _signatures(_arguments: dict[str, Any], result: Any) -> Iterable[str]:
    return parse_qs(urlsplit(result).query).get("signature", [])


def _texts(arguments: dict[str, Any], _result: Any) -> Iterable[str]:
    """The texts in the content, however deep."""
    level = [arguments["content"]]
    while level:
        value = level.pop()
        if isinstance(value, dict):
            level += value.values()
        elif isinstance(value, list):
            level += value
        elif isinstance(value, str):
            yield value


def _credentials(arguments: dict[str, Any], _result: Any) -> Iterable[str]:
    """Those of a connection that is sent to the server."""
    return _texts({"content": arguments["definition"].secret}, None)


def _sealed(arguments: dict[str, Any], _result: Any) -> Iterable[str]:
    """What is sealed in a column of whatever subsystem; where it is JSON, the texts in it."""
    content = arguments["content"].decode(errors="ignore")
    try:
        return _texts({"content": json.loads(content)}, None)
    except ValueError:
        return [content]


def _password(arguments: dict[str, Any], _result: Any) -> Iterable[str]:
    return filter(None, [arguments["server"].password])


def _client_secret(_arguments: dict[str, Any], result: Any) -> Iterable[str]:
    return [result["client_secret"]]


SOURCES: list[tuple[str, str, Secrets]] = [
    ("edge_server.identity.token_values", "new_token", _returned),
    # Each sealed column there is, of the server's own subsystems and of plugins, where the server runs in this process.
    ("edge_server.keys.sealed_column", "SealedColumn.prepare", _sealed),
    ("edge_core.http", "HttpClient.absolute", _signatures),
    ("edge_tokens.namespace", "EdgeTokens.create", _token),
    ("edge_tokens.login", "accept_invitation", _token),
    ("edge_admin.namespace", "EdgeAdmin.invite_to_organization", _returned),
    ("edge_secrets.wire", "encode", _texts),
    ("edge_sources.namespace", "_encoded", _credentials),
    ("edge_applications.namespace", "EdgeApplication.add_server_info", _password),
    ("edge_applications.namespace", "EdgeApplication.register_oauth_client", _client_secret),
]
"""Module, function, and what is secret of its arguments and its result."""


def note(source: str, secret: str) -> None:
    """Have `secret` looked for after the run, unless anybody could guess it."""
    if len(secret) >= GUESSABLE and len(set(secret)) >= VARIED:
        _write("secrets", json.dumps([source, secret]))


def _write(file: str, text: str) -> None:
    with (Path(os.environ[RECORD]) / file).open("a", encoding="utf-8", errors="backslashreplace") as out:
        out.write(text + "\n")


def _watch(patch: pytest.MonkeyPatch, module: str, name: str, secrets: Secrets) -> None:
    owner: Any = importlib.import_module(module)
    *classes, function = name.split(".")
    for class_name in classes:
        owner = getattr(owner, class_name)
    real = getattr(owner, function)
    signature = inspect.signature(real)

    @functools.wraps(real)
    def watched(*arguments: Any, **named: Any) -> Any:
        result = real(*arguments, **named)
        for secret in secrets(signature.bind(*arguments, **named).arguments, result):
            note(name, secret)
        return result

    patch.setattr(owner, function, watched)


class _Log(logging.Handler):
    """Writes the log of a process.

    pytest's own log file would not do: what it holds back, and under which lock, a test may fork with.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter())
        self._file = os.open(Path(os.environ[RECORD]) / f"log-{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def emit(self, record: logging.LogRecord) -> None:
        os.write(self._file, self.format(record).encode(errors="backslashreplace") + b"\n")


@pytest.fixture(scope="session", autouse=True)
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Note what is secret as it is made, and errors with the way to them."""

    def noted_error(self: Any, *args: Any, **kwargs: Any) -> None:
        super(errors.EdgeError, self).__init__(*args, **kwargs)
        _write("tracebacks", f"{self!r}\n{''.join(traceback.format_stack())}{traceback.format_exc()}")

    _write("folders", str(tmp_path_factory.getbasetemp()))
    patch = pytest.MonkeyPatch()
    for source in SOURCES:
        _watch(patch, *source)
    patch.setattr(errors.EdgeError, "__init__", noted_error, raising=False)
    yield
    patch.undo()


def pytest_configure(config: pytest.Config) -> None:
    if not _is_worker(config):
        os.environ[RECORD] = tempfile.mkdtemp(prefix="edge-record-")
    # What pytest keeps of the log for each test stays what it is without us.
    config.option.log_level = "WARNING"
    root = logging.getLogger()
    root.addHandler(_Log())
    root.setLevel(logging.DEBUG)


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    if _is_worker(config):
        return
    record = Path(os.environ.pop(RECORD))
    folders = (record / "folders").read_text().splitlines() if (record / "folders").exists() else []
    result = search(record, map(Path, folders))
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not (
        config.option.keyword or config.option.markexpr
    )
    failures = _failures(result, whole)
    config.stash[_OUTCOME] = _outcome(result, failures)
    if failures:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    shutil.rmtree(record)


_OUTCOME = pytest.StashKey[str]()


def _failures(result: Search, whole: bool) -> list[str]:
    """What is wrong: secrets in files, and of a run of all tests also that it saw too little."""
    failures = [f"{hit.file} holds a secret of {hit.source}" for hit in sorted(result.hits)]
    if whole:
        failures += [
            f"{source} made {result.secrets.get(source, 0)} secrets, and not {count}"
            for source, count in LEAST.items()
            if result.secrets.get(source, 0) < count
        ]
        for kind in ("log-", "tracebacks", "edge.sqlite3", "backups", "data.log", "audit.log"):
            if not any(kind in name for name in result.files):
                failures.append(f"no file is called {kind}")
    return failures


def _outcome(result: Search, failures: list[str]) -> str:
    secrets = f"{sum(result.secrets.values())} secrets looked for in {len(result.files)} files"
    size = f"{sum(result.files.values()) / 1e6:.0f} MB"
    return "\n".join([f"{secrets} of {size}: {len(result.hits)} there", *failures])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if _OUTCOME in config.stash:
        terminalreporter.section("secrets of the run")
        terminalreporter.line(config.stash[_OUTCOME])
