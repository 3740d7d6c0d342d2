"""What the operator can set under [server]: the path below which it answers, and its processes."""

from __future__ import annotations

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


class ServerSettings(marshmallow.Schema):
    """What can be set."""

    url_prefix = UrlPrefix(load_default="")
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
