"""What the server's tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edge_server.testing.local_server import EdgeServer

from .bringing import bring
from .buckets import bucket, elsewhere, juicefs, seaweedfs
from .engines import _connections_closed, _engine, each_server, postgresql_server
from .guarded import place
from .hubs import hub_site, real_hub
from .launched import stand_in_hub
from .openbao import bao, bao_with_tls, shared_bao
from .pairs import _hosts
from .postgresql import opened
from .stores import _store
from .wire import Api, client, close_all

__all__ = [
    "_connections_closed",
    "_engine",
    "_hosts",
    "bao",
    "bao_with_tls",
    "_store",
    "bring",
    "bucket",
    "each_server",
    "elsewhere",
    "stand_in_hub",
    "hub_site",
    "juicefs",
    "opened",
    "place",
    "postgresql_server",
    "real_hub",
    "seaweedfs",
    "shared_bao",
]


@pytest.fixture(autouse=True)
def _connections() -> Iterator[None]:
    yield
    close_all()


@pytest.fixture
def api(edge_server: EdgeServer) -> Api:
    """A member of a fresh organization."""
    organization = edge_server.create_organization()
    user = edge_server.create_user(organization=organization)
    return client(edge_server, edge_server.create_token(user), organization)
