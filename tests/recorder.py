"""A pytest plugin that writes down every secret a run makes, and every error it meets.

`tests.test_no_secrets` runs other tests under it, then looks for the secrets in all that the run
has written.
"""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from edge_core import errors, http
from edge_server import tokens

FOLDER = Path(os.environ["EDGE_TEST_RECORD"])


def _note(file: str, text: str) -> None:
    with (FOLDER / file).open("a", encoding="utf-8", errors="backslashreplace") as out:
        out.write(text + "\n")


@pytest.fixture(scope="session", autouse=True)
def recorder() -> Any:
    """Note tokens and signatures as they are made, and errors with the way to them."""
    new_token = tokens.new_token
    address = http.HttpClient._address

    def noted_token(*prefix: str) -> str:
        token = new_token(*prefix)
        _note("secrets", token)
        return token

    def noted_address(self: Any, url: str, params: Any, signed: bool) -> str:
        found = address(self, url, params, signed)
        if signed:
            for signature in parse_qs(urlsplit(found).query).get("signature", []):
                if len(signature) >= 32:  # shorter ones are made up by tests
                    _note("secrets", signature)
        return found

    def noted_error(self: Any, *args: Any, **kwargs: Any) -> None:
        super(errors.EdgeError, self).__init__(*args, **kwargs)
        _note("tracebacks", f"{self!r}\n{''.join(traceback.format_stack())}{traceback.format_exc()}")

    patch = pytest.MonkeyPatch()
    patch.setattr(tokens, "new_token", noted_token)
    patch.setattr(http.HttpClient, "_address", noted_address)
    patch.setattr(errors.EdgeError, "__init__", noted_error, raising=False)
    yield
    patch.undo()
