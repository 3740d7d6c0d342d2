"""Hooks for schemathesis: what a schema cannot say of a valid request, and which were refused for that."""

from __future__ import annotations

import json
import os
import re
import secrets
from pathlib import Path
from typing import Any

import schemathesis

from edge_files.wire import BATCH_TYPE, MAX_BATCH_CONTENT, SMALL_CONTENT
from edge_server.web import idempotency


@schemathesis.hook
def before_call(context: Any, case: Any, **kwargs: Any) -> None:
    """Give each request a key of its own where it has a good one: the same with another request is refused."""
    key = (case.headers or {}).get(idempotency.HEADER)
    if isinstance(key, str) and re.fullmatch(idempotency.KEY_PATTERN, key):
        case.headers[idempotency.HEADER] = secrets.token_hex(16)


@schemathesis.serializer(BATCH_TYPE)
def batch(context: Any, value: Any) -> bytes:
    """A manifest, and as much content as it says."""
    files = value.get("files") if isinstance(value, dict) else None
    sizes = [file.get("size") for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    total = sum(size for size in sizes if isinstance(size, int) and 0 <= size <= SMALL_CONTENT)
    return json.dumps(value).encode() + b"\n" + bytes(min(total, MAX_BATCH_CONTENT))


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Note what fits its schema and was refused with 400 all the same."""
    if response.status_code == 400 and case.meta is not None and case.meta.generation.mode.is_positive:
        operation = case.operation.definition.raw["operationId"]
        with Path(os.environ["EDGE_TEST_REFUSED"]).open("a", encoding="utf-8") as file:
            file.write(f"{operation}\t{response.json()['detail']}\n")
