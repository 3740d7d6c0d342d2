"""What the server says of itself."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence

import flask
import sqlalchemy as sa

from edge_core.records import Record, field
from edge_server.web.engines import services
from edge_server.web.routes import Routes, answer

routes = Routes("server", __name__)

_NAME = "edge_server.subsystems"

SUBSYSTEMS = [
    "admin",
    "applications",
    "billing",
    "compute",
    "files",
    "search",
    "secrets",
    "sources",
    "tokens",
    "whoami",
]


class Health(Record):
    """Whether the server can do its work."""

    status: str = field(doc='"ok".')


class Meta(Record):
    """What is spoken here."""

    version: str = field(doc="Version of the server.")
    api: str = field(doc="Version of the API.")
    subsystems: list[str] = field(doc="What the server offers.")


def install(app: flask.Flask, added: Sequence[str]) -> None:
    """Note what `app` offers.

    Args:
        app: the application.
        added: names of the subsystems that plugins add.
    """
    app.extensions[_NAME] = sorted({*SUBSYSTEMS, *added})


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
    return answer(Meta(version=_version(), api="v1", subsystems=flask.current_app.extensions[_NAME]))


def _version() -> str:
    try:
        return importlib.metadata.version("edge-server")
    except importlib.metadata.PackageNotFoundError:
        return "0"
