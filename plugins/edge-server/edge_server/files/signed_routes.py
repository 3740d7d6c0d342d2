"""The addresses that carry their permission in themselves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import flask
from sqlalchemy import select

from edge_server.base import clock
from edge_server.base.problems import not_found
from edge_server.files import sending, tree
from edge_server.files.models import Version
from edge_server.files.uploads import Uploads, etag
from edge_server.identity.accounts import DELETING
from edge_server.identity.models import Organization
from edge_server.web import bodies, counting
from edge_server.web.engines import services
from edge_server.web.permissions import ANYONE
from edge_server.web.routes import BINARY_BODY, Routes

routes = Routes("signed", __name__, url_prefix="/v1")


def _signed_parameters(*names: str) -> list[dict[str, object]]:
    """The query of a signed address, in the API description."""
    said = "Part of the address as it was given; to be sent unchanged."
    return [
        {
            "in": "query",
            "name": name,
            "required": name in ("expires", "signature"),
            "schema": {"type": "string"},
            "description": said,
        }
        for name in ("expires", *names, "signature")
    ]


def content_address(version: Version, filename: str, lifetime: dt.timedelta) -> tuple[str, dt.datetime]:
    """The address of a version's content, relative to the service URL, and when it expires."""
    expires_at = (clock.now() + lifetime).replace(microsecond=0)
    url = services().signer.address("GET", _content_path(version.key), expires_at, {"filename": filename})
    return url, expires_at


def part_path(upload: str, n: int) -> str:
    """Where a part goes, relative to the service URL."""
    return f"v1/parts/{upload}/{n}"


def _content_path(key: str) -> str:
    return f"v1/content/{key}"


@routes.operation("signed.content", "GET", "/content/<version_key>", who=ANYONE)
@routes.content(redirects=False)
@routes.doc(parameters=_signed_parameters("filename"))
def get_content(version_key: str) -> flask.Response:
    """Send content to whoever holds its signed address."""
    signed = services().signer.check("GET", _content_path(version_key), _query())
    with services().database.read() as session:
        wanted = select(Version).join(Organization).where(Version.key == version_key, Organization.status != DELETING)
        version = session.scalar(wanted)
    if version is None or not tree.is_readable(version):
        raise not_found("this content was replaced or deleted more than 24 hours ago; ask for the newest")
    counting.charge(version.organization_id)
    return sending.answer(version, signed["filename"])


@routes.operation("signed.part", "PUT", "/parts/<upload_id>/<int:n>", who=ANYONE)
@routes.response(200)
@routes.doc(requestBody=BINARY_BODY, parameters=_signed_parameters("md5", "sha256"))
def put_part(upload_id: str, n: int) -> flask.Response:
    """Take a part of an upload from whoever holds its signed address."""
    signed = services().signer.check("PUT", part_path(upload_id, n), _query())

    def part(limit: int) -> Iterator[bytes]:
        too_long = f"a part of this upload has at most {limit} bytes"
        return bodies.blocks(limit, too_long, md5=signed.get("md5"), sha256=signed.get("sha256"))

    uploads = Uploads(services().database, services().store)
    written = uploads.write_part(upload_id, n, flask.request.content_length, part)
    return flask.Response(status=200, headers={"ETag": etag(written.sha256)})


def _query() -> dict[str, list[str]]:
    return flask.request.args.to_dict(flat=False)
