"""What the routes work with, held by the app."""

from __future__ import annotations

import dataclasses

import flask

from edge_server.base.audit import AuditLog
from edge_server.base.background import Background
from edge_server.base.configuration import Configuration
from edge_server.billing.prices import PriceFile
from edge_server.compute.instance_types import InstanceTypeFile
from edge_server.compute.machines import CatalogueBackend, ComputeBackend
from edge_server.data.database import Database
from edge_server.data.store import Store
from edge_server.identity.token_use import TokenUse
from edge_server.keys.sealing import Sealer
from edge_server.keys.signing import Signer

_NAME = "edge_server"


@dataclasses.dataclass(frozen=True)
class Services:
    """The parts a server is made of."""

    database: Database
    store: Store
    signer: Signer
    sealer: Sealer
    audit: AuditLog = dataclasses.field(default_factory=lambda: AuditLog(None))
    configuration: Configuration = dataclasses.field(default_factory=Configuration)
    token_use: TokenUse = dataclasses.field(default_factory=TokenUse)
    background: Background = dataclasses.field(default_factory=Background)
    prices: PriceFile = dataclasses.field(default_factory=PriceFile)
    instance_types: InstanceTypeFile = dataclasses.field(default_factory=InstanceTypeFile)
    compute: ComputeBackend = dataclasses.field(default_factory=lambda: CatalogueBackend(InstanceTypeFile()))


def install(app: flask.Flask, services: Services) -> None:
    """Give `app` its services."""
    app.extensions[_NAME] = services


def services() -> Services:
    """The services of the app that answers the request at hand."""
    return services_of(flask.current_app)


def services_of(app: flask.Flask) -> Services:
    """The services of `app`."""
    found: Services = app.extensions[_NAME]
    return found
