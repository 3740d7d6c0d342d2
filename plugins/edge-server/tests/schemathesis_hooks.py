"""Hooks for schemathesis: what a schema cannot say of a valid request, and which were refused for that."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Any

import schemathesis

from edge_server.web import idempotency


@schemathesis.hook
def before_call(context: Any, case: Any, **kwargs: Any) -> None:
    """Give each request a key of its own where it has a good one: the same with another request is refused."""
    key = (case.headers or {}).get(idempotency.HEADER)
    if isinstance(key, str) and re.fullmatch(idempotency.KEY_PATTERN, key):
        case.headers[idempotency.HEADER] = secrets.token_hex(16)


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Note what fits its schema and was refused with 400 all the same."""
    if response.status_code == 400 and case.meta is not None and case.meta.generation.mode.is_positive:
        operation = case.operation.definition.raw["operationId"]
        with Path(os.environ["EDGE_TEST_REFUSED"]).open("a", encoding="utf-8") as file:
            file.write(f"{operation}\t{response.json()['detail']}\n")
