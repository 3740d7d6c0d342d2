"""A pytest plugin that writes down every secret a run makes, and every error it meets.

`tests.test_no_secrets` runs other tests under it, then looks for the secrets in all that the run
has written. What else makes something secret gets a line in `SOURCES`.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import os
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from edge_core import errors

FOLDER = Path(os.environ["EDGE_TEST_RECORD"])

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


def _password(arguments: dict[str, Any], _result: Any) -> Iterable[str]:
    return filter(None, [arguments["server"].password])


def _client_secret(_arguments: dict[str, Any], result: Any) -> Iterable[str]:
    return [result["client_secret"]]


SOURCES: list[tuple[str, str, Secrets]] = [
    ("edge_server.identity.token_values", "new_token", _returned),
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
    with (FOLDER / file).open("a", encoding="utf-8", errors="backslashreplace") as out:
        out.write(text + "\n")


def _watch(patch: pytest.MonkeyPatch, module: str, name: str, secrets_of: Secrets) -> None:
    owner: Any = importlib.import_module(module)
    *classes, function = name.split(".")
    for part in classes:
        owner = getattr(owner, part)
    real = getattr(owner, function)
    signature = inspect.signature(real)

    @functools.wraps(real)
    def watched(*arguments: Any, **named: Any) -> Any:
        result = real(*arguments, **named)
        for secret in secrets_of(signature.bind(*arguments, **named).arguments, result):
            note(name, secret)
        return result

    patch.setattr(owner, function, watched)


@pytest.fixture(scope="session", autouse=True)
def recorder() -> Any:
    """Note what is secret as it is made, and errors with the way to them."""

    def noted_error(self: Any, *args: Any, **kwargs: Any) -> None:
        super(errors.EdgeError, self).__init__(*args, **kwargs)
        _write("tracebacks", f"{self!r}\n{''.join(traceback.format_stack())}{traceback.format_exc()}")

    patch = pytest.MonkeyPatch()
    for source in SOURCES:
        _watch(patch, *source)
    patch.setattr(errors.EdgeError, "__init__", noted_error, raising=False)
    yield
    patch.undo()
