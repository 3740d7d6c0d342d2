"""The subsystem of compute."""

from __future__ import annotations

from edge_server.compute import routes
from edge_server.compute.backends import CatalogueBackend, HubBackend
from edge_server.compute.instance_types import FILE_NAME, SHIPPED, Catalogue, CatalogueSchema
from edge_server.compute.profiles import INTERVAL, TASK, AppProfiles
from edge_server.identity.hub_identity import hub_of
from edge_server.web.context import OwnContext
from edge_server.web.parts import Parts


def server(context: OwnContext) -> Parts:
    """Machines that applications can run on. The backends to choose from start none."""
    catalogue: Catalogue = context.operator_file(FILE_NAME, CatalogueSchema(), SHIPPED)
    at_hub = hub_of(context.engines.identity) is not None
    backend = (HubBackend if at_hub else CatalogueBackend)(catalogue)
    app_profiles = AppProfiles(context, catalogue, backend)
    context.engines.machines.limits = app_profiles.limits
    context.every(INTERVAL, TASK, app_profiles.make_ready)
    return context.subsystem(
        routes.routes(context, catalogue, backend, app_profiles), routes.hub_routes(context, app_profiles)
    )
