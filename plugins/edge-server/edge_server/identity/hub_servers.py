"""The servers that a JupyterHub runs for its users, as it tells of them."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Any, overload

import marshmallow
from marshmallow import fields, validate


@dataclasses.dataclass(frozen=True)
class HubServer:
    """A server that runs, starts or stops.

    Attributes:
        user_name: whose it is.
        name: of the server; empty for the user's default one.
        ready: whether it can be visited.
        pending: what goes on with it, such as "spawn" and "stop"; None for nothing.
        started: when it was started, in UTC; None if the hub does not say.
        last_activity: when it was used last, in UTC; None if the hub does not say.
        url: where it is visited: an absolute address where the hub knows its own, else the path of one.
        options: what its user asked for when it was started, which can be anything.
    """

    user_name: str
    name: str
    ready: bool
    pending: str | None
    started: dt.datetime | None
    last_activity: dt.datetime | None
    url: str
    options: Any


def servers_of(user_name: str, models: Mapping[str, Mapping[str, Any]]) -> list[HubServer]:
    """The servers of a user, as `ServerSchema` has loaded them, by their names."""
    return [
        HubServer(
            user_name=user_name,
            name=name,
            ready=model["ready"],
            pending=model["pending"],
            started=in_utc(model["started"]),
            last_activity=in_utc(model["last_activity"]),
            url=model["full_url"] or model["url"],
            options=model["user_options"],
        )
        for name, model in sorted(models.items())
    ]


@overload
def in_utc(moment: dt.datetime) -> dt.datetime: ...
@overload
def in_utc(moment: dt.datetime | None) -> dt.datetime | None: ...
def in_utc(moment: dt.datetime | None) -> dt.datetime | None:
    """A moment as a hub tells it, which is of UTC where it names no zone."""
    if moment is None:
        return None
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)


def _moment() -> fields.DateTime:
    return fields.DateTime(format="iso", load_default=None, allow_none=True)


class ServerSchema(marshmallow.Schema):
    """What a hub tells of a server, as far as it matters here."""

    class Meta:
        unknown = marshmallow.EXCLUDE

    ready = fields.Boolean(required=True, truthy={True}, falsy={False})
    pending = fields.String(load_default=None, allow_none=True)
    started = _moment()
    last_activity = _moment()
    url = fields.String(required=True, validate=validate.Regexp(r"(/|https?://)[!-~]{0,2000}\Z"))
    full_url = fields.String(
        load_default=None, allow_none=True, validate=validate.Regexp(r"(https?://[!-~]{1,2000})?\Z")
    )
    user_options = fields.Raw(load_default=None, allow_none=True)


class ServersSchema(marshmallow.Schema):
    """A user with the servers that are active."""

    class Meta:
        unknown = marshmallow.EXCLUDE

    name = fields.String(required=True, validate=validate.Length(1, 255))
    servers = fields.Dict(
        keys=fields.String(validate=validate.Length(max=255)), values=fields.Nested(ServerSchema()), required=True
    )
