"""What the server says of itself."""

from __future__ import annotations

import importlib.metadata

import flask
import sqlalchemy as sa

from edge_core.records import Record, field
from edge_server.routes.blueprint import Routes, answer
from edge_server.services import services

routes = Routes("server", __name__)

SUBSYSTEMS = [
    "admin",
    "applications",
    "billing",
    "compute",
    "files",
    "search",
    "secrets",
    "tokens",
    "whoami",
]


class Health(Record):
    """Whether the server can do its work."""

    __slots__ = ()

    status: str = field(doc='"ok".')


class Meta(Record):
    """What is spoken here."""

    __slots__ = ()

    version: str = field(doc="Version of the server.")
    api: str = field(doc="Version of the API.")
    subsystems: list[str] = field(doc="What the server offers.")


@routes.operation("healthz", "GET", "/healthz")
@routes.response(200, Health.schema())
def healthz() -> flask.Response:
    """Tell that the server runs and its database answers."""
    with services().database.read() as session:
        session.execute(sa.text("SELECT 1"))
    return answer(Health(status="ok"))


@routes.operation("meta", "GET", "/v1/meta")
@routes.response(200, Meta.schema())
def meta() -> flask.Response:
    """Tell versions and subsystems."""
    return answer(Meta(version=_version(), api="v1", subsystems=SUBSYSTEMS))


def _version() -> str:
    try:
        return importlib.metadata.version("edge-server")
    except importlib.metadata.PackageNotFoundError:
        return "0"
