"""The subsystem of files."""

from __future__ import annotations

import marshmallow

from edge_server.base.configuration import Size
from edge_server.files import housekeeping, routes, signed_routes, tree, upload_routes, uploads
from edge_server.web.context import OwnContext, Parts


class StorageSettings(marshmallow.Schema):
    """What the operator can set under [storage]."""

    quota = Size()


def server(context: OwnContext) -> Parts:
    """Files."""
    engines = context.engines
    engines.legacy["quota"] = context.settings(StorageSettings(), "storage").get("quota")
    context.names("file", tree.paths_of)
    context.names("folder", tree.paths_of)
    context.on_organization_added(tree.plant)
    context.before_start(uploads.Uploads(engines.database, engines.store).drop_orphans)
    context.every(
        housekeeping.INTERVAL,
        "housekeeping",
        lambda: housekeeping.run(engines.database, engines.store),
        alone=True,
    )
    return context.subsystem(routes.routes, upload_routes.routes, signed_routes.routes)
