"""The subsystem of compute."""

from __future__ import annotations

from edge_server.compute import instance_types, machines, routes
from edge_server.web.context import OwnContext, Parts


def server(context: OwnContext) -> Parts:
    """Compute."""
    engines = context.engines
    catalogue = instance_types.InstanceTypeFile(engines.folder / instance_types.FILE_NAME)
    catalogue.read()
    backend = machines.CatalogueBackend(catalogue)
    engines.legacy.update(instance_types=catalogue, compute=backend)
    context.every(machines.INTERVAL, machines.TASK, lambda: machines.make_ready(engines.database, backend))
    return context.subsystem(routes.routes)
