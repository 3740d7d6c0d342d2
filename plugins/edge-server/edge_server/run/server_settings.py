"""What the operator can set under [server]: the path below which it answers, its processes, and who watches it."""

from __future__ import annotations

import re
from typing import Any

import marshmallow

from edge_server.base.configuration import Configuration
from edge_server.web import url_prefix

MOST_WORKERS = 64


class UrlPrefix(marshmallow.fields.String):
    """A path such as "/services/api"."""

    def _deserialize(self, value: Any, *rest: Any, **options: Any) -> str:
        try:
            return url_prefix.parse(super()._deserialize(value, *rest, **options))
        except ValueError as error:
            raise marshmallow.ValidationError(str(error)) from None


class Listen(marshmallow.fields.String):
    """A host and a port, such as "127.0.0.1:8791" or "[::1]:8791"; port 0 is any free one."""

    default_error_messages = {"invalid": 'write a host and a port, such as "127.0.0.1:8791"'}

    def _deserialize(self, value: Any, *rest: Any, **options: Any) -> tuple[str, int]:  # type: ignore[override]
        host, colon, port = super()._deserialize(value, *rest, **options).rpartition(":")
        if not host or not colon or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 0xFFFF:
            raise self.make_error("invalid")
        return host.removeprefix("[").removesuffix("]"), int(port)


class ServerSettings(marshmallow.Schema):
    """What can be set."""

    url_prefix = UrlPrefix(load_default="")
    metrics_listen = Listen(load_default=None)
    workers = marshmallow.fields.Integer(
        strict=True,
        load_default=1,
        validate=marshmallow.validate.Range(1, MOST_WORKERS, error="write a number from {min} to {max}"),
    )


def url_prefix_of(settings: Configuration) -> str:
    """The path that all addresses begin with; empty for none.

    Raises:
        CannotStart: the section cannot be used.
    """
    prefix: str = settings.section("server", ServerSettings())["url_prefix"]
    return prefix


def workers_of(settings: Configuration) -> int:
    """The processes that answer.

    Raises:
        CannotStart: the section cannot be used.
    """
    workers: int = settings.section("server", ServerSettings())["workers"]
    return workers


def metrics_listen_of(settings: Configuration) -> tuple[str, int] | None:
    """The host and port for who watches the server; None for none.

    Raises:
        CannotStart: the section cannot be used.
    """
    listen: tuple[str, int] | None = settings.section("server", ServerSettings())["metrics_listen"]
    return listen
