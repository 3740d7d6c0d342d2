"""The subsystem of files."""

from __future__ import annotations

from edge_server.files import housekeeping, releases, routes, signed_routes, tree, upload_routes
from edge_server.files.housekeeping import Housekeeping
from edge_server.files.models import Upload, Version
from edge_server.files.quotas import Limits
from edge_server.files.storage import SECTION, StorageSettings
from edge_server.files.tree import Tree
from edge_server.files.uploads import Uploads
from edge_server.web.context import OwnContext
from edge_server.web.engines import Engines
from edge_server.web.names import Names
from edge_server.web.parts import Parts
from edge_server.web.stored_content import StoredContent


def housekeeping_on(engines: Engines) -> Housekeeping:
    """What clears away files, for a command on the data folder of a server that may run."""
    uploads = uploads_on(engines)
    return Housekeeping(uploads.context, engines.store, uploads.names, uploads)


def uploads_on(engines: Engines) -> Uploads:
    """The uploads in parts, for a command on the data folder of a server."""
    limits = Limits()
    names = Tree(Names(engines.names, "file"), Names(engines.names, "folder"), limits)
    return Uploads(OwnContext("files", engines, ()), engines.store, names, limits)


def server(context: OwnContext) -> Parts:
    """Files of organizations: a tree of names, versions of content, and uploads in parts."""
    # The server's own store, which keeps the parts of uploads as well.
    store = context.engines.store
    settings = context.settings(StorageSettings(), SECTION)
    limits = Limits(settings.get("quota"), settings.get("deleted"))
    names = Tree(context.names("file", tree.paths_of), context.names("folder", tree.paths_of), limits)
    uploads = Uploads(context, store, names, limits)
    cleaner = Housekeeping(context, store, names, uploads)
    context.engines.space.room = lambda session, organization_id: releases.room(session, organization_id, limits)
    context.on_organization_added(tree.plant)
    # In the store itself, which had the content of files before subsystems had stores of their own.
    context.engines.stored.extend(StoredContent(column, store) for column in (Version.key, Upload.key))
    context.on_organization_removed(uploads.drop_files)
    context.on_member_left(uploads.end)
    # Where other hosts may be uploading, what they have begun ends by its leases.
    context.before_start(uploads.drop_left if context.engines.database.is_shared else uploads.recover)
    context.before_start(cleaner.reserve.keep)
    context.every(housekeeping.INTERVAL, housekeeping.TASK, cleaner.run, alone=True)
    return context.subsystem(
        routes.routes(context, store, names, cleaner, limits),
        upload_routes.routes(context, uploads),
        signed_routes.routes(context, store, uploads),
    )
