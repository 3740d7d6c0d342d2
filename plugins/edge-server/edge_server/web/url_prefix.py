"""The path that all addresses of the server begin with, where a proxy hands on a part of its own addresses as they are.

It is taken off before anything looks at a request: what is signed, kept under an Idempotency-Key or looked up is the
address without it, which is what the other side resolves against its service URL.
"""

from __future__ import annotations

import re
from typing import Any

import flask

from edge_server.base.problems import Refusal

ROOT = "APPLICATION_ROOT"
"""Flask's setting that holds the prefix."""

_OUTSIDE = "edge_server.outside"

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")


def parse(text: str) -> str:
    """A prefix as it is used: it begins with a slash and ends with none, or is empty.

    Raises:
        ValueError: it cannot be one.
    """
    prefix = text.rstrip("/")
    if not _PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/")):
        raise ValueError(
            'write a path such as "/services/api": letters, digits, "-", ".", "_" and "~" between slashes, one at its '
            "beginning"
        )
    return prefix


def install(app: flask.Flask, prefix: str) -> None:
    """Have `app` answer below a prefix, and nothing elsewhere; before all else that looks at a request.

    Args:
        app: the application.
        prefix: what `parse` gave.
    """
    if not prefix:
        return
    app.config[ROOT] = prefix
    inner = app.wsgi_app

    def stripped(environ: dict[str, Any], start_response: Any) -> Any:
        path: str = environ["PATH_INFO"]
        if path.startswith(f"{prefix}/"):
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + prefix
            environ["PATH_INFO"] = path[len(prefix) :]
        else:
            environ[_OUTSIDE] = True
        return inner(environ, start_response)

    app.wsgi_app = stripped  # type: ignore[method-assign]

    @app.before_request
    def refuse_outside() -> None:
        if _OUTSIDE in flask.request.environ:
            raise Refusal(
                404, "unknown_route", f"the addresses of this server begin with {prefix}; add it to the service URL"
            )


def of(app: flask.Flask) -> str:
    """The prefix of `app`."""
    root: str = app.config[ROOT]
    return root.rstrip("/")
