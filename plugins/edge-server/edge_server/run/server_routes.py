"""What the server says of itself."""

from __future__ import annotations

import importlib.metadata

import flask
import sqlalchemy as sa

from edge_core.records import Record, field
from edge_server.web.answers import answer
from edge_server.web.engines import Engines
from edge_server.web.permissions import ANYONE
from edge_server.web.routes import Routes


class Health(Record):
    """Whether the server can do its work."""

    status: str = field(doc='"ok".')


class Meta(Record):
    """What is spoken here."""

    version: str = field(doc="Version of the server.")
    api: str = field(doc="Version of the API.")
    subsystems: list[str] = field(doc="What the server offers.")


def routes(engines: Engines, offers: list[str]) -> Routes:
    """The addresses that belong to no subsystem.

    Args:
        engines: what the server runs on.
        offers: the names under which a client's session reaches its subsystems.
    """
    routes = Routes("server", __name__)

    @routes.operation("healthz", "GET", "/healthz", who=ANYONE)
    @routes.response(200, Health.schema())
    def healthz() -> flask.Response:
        """Tell that the server runs and its database answers."""
        with engines.database.read() as session:
            session.execute(sa.text("SELECT 1"))
        return answer(Health(status="ok"))

    @routes.operation("meta", "GET", "/v1/meta", who=ANYONE)
    @routes.response(200, Meta.schema())
    def meta() -> flask.Response:
        """Tell versions and subsystems."""
        return answer(Meta(version=version(), api="v1", subsystems=offers))

    return routes


def version() -> str:
    """The version of the server."""
    try:
        return importlib.metadata.version("edge-server")
    except importlib.metadata.PackageNotFoundError:
        return "0"
