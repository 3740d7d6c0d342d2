"""The addresses that carry their permission in themselves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import flask

from edge_server.data.store import Block, Store
from edge_server.files import queries, sending, tree
from edge_server.files.queries import VersionRow
from edge_server.files.uploads import Uploads, etag
from edge_server.web import bodies
from edge_server.web.context import Context
from edge_server.web.permissions import ANYONE
from edge_server.web.routes import BINARY_BODY, Routes


def content_address(
    context: Context, version: VersionRow, filename: str, lifetime: dt.timedelta
) -> tuple[str, dt.datetime]:
    """The address of a version's content, relative to the service URL, and when it expires."""
    expires_at = context.address_expiry(lifetime)
    return context.signed_address("GET", f"v1/content/{version.uid}", expires_at, {"filename": filename}), expires_at


def part_path(upload: str, n: int) -> str:
    """Where a part goes, relative to the service URL."""
    return f"v1/parts/{upload}/{n}"


def routes(context: Context, store: Store, uploads: Uploads) -> Routes:
    """``/v1/content`` and ``/v1/parts``."""
    routes = context.routes("/v1", group="signed")

    @routes.operation("signed.content", "GET", "/content/<version>", who=ANYONE)
    @routes.content(redirects=True)
    @routes.doc(parameters=_parameters("filename"))
    def get_content(version: str) -> flask.Response:
        """Send content to whoever holds its signed address."""
        query = context.signed_query()
        with context.read() as session:
            row = queries.version_of_uid(session, version)
        if row is None or not tree.is_readable(row):
            raise context.not_found("this content was replaced or deleted more than 24 hours ago; ask for the newest")
        context.charge(row.organization_id)
        return sending.redirect(store, row, query["filename"]) or sending.answer(store, row, query["filename"])

    @routes.operation("signed.part", "PUT", "/parts/<upload_id>/<int:n>", who=ANYONE)
    @routes.response(200)
    @routes.doc(requestBody=BINARY_BODY, parameters=_parameters("md5", "sha256"))
    def put_part(upload_id: str, n: int) -> flask.Response:
        """Take a part of an upload from whoever holds its signed address."""
        query = context.signed_query()

        def part(limit: int) -> Iterator[Block]:
            too_long = f"a part of this upload has at most {limit} bytes"
            return bodies.blocks(limit, too_long, md5=query.get("md5"), sha256=query.get("sha256"))

        written = uploads.write_part(upload_id, n, flask.request.content_length, part)
        return flask.Response(status=200, headers={"ETag": etag(written.sha256)})

    return routes


def _parameters(*names: str) -> list[dict[str, object]]:
    """The query of a signed address, in the API description."""
    return [
        {
            "in": "query",
            "name": name,
            "required": name in ("expires", "signature"),
            "schema": {"type": "string"},
            "description": "Part of the address as it was given; to be sent unchanged.",
        }
        for name in ("expires", *names, "signature", "signer")
    ]
