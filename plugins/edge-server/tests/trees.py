"""The subsystem of files on a database of a test's own, without an application."""

from __future__ import annotations

from pathlib import Path

from edge_server.data.database import Database
from edge_server.files.housekeeping import Housekeeping
from edge_server.files.quotas import Limits
from edge_server.files.tree import Tree
from edge_server.files.uploads import Uploads
from edge_server.keys.signing import Signer
from edge_server.run import app
from edge_server.search import index
from edge_server.web.context import OwnContext
from edge_server.web.names import Names

TREE = Tree(Names(index, "file"), Names(index, "folder"), Limits())


def uploads_on(folder: Path, database: Database) -> Uploads:
    """The uploads of a server in `folder`, whose database is open already."""
    engines = app.engines_at(folder, Signer(b""), database=database)
    return Uploads(OwnContext("files", engines, ()), engines.store, TREE, Limits())


def housekeeping_on(folder: Path, database: Database) -> Housekeeping:
    """The housekeeping of a server in `folder`, whose database is open already."""
    uploads = uploads_on(folder, database)
    return Housekeeping(uploads.context, uploads.store, TREE, uploads)
