"""The addresses of uploads in parts, for content that is too large for one request."""

from __future__ import annotations

import base64
import binascii
import datetime as dt

import flask

from edge_files.wire import (
    CompleteUpload,
    Entry,
    OpenUpload,
    OpenUploadPage,
    OpenUploadQuery,
    PartToSign,
    SignedPart,
    SignedParts,
    SignParts,
    StartUpload,
    Upload,
)
from edge_server.files import models, paths
from edge_server.files.signed_routes import part_path
from edge_server.files.uploads import Uploads
from edge_server.web.context import Context
from edge_server.web.permissions import MEMBER
from edge_server.web.routes import Routes

DIGEST_HEADER = "x-amz-checksum-sha256"
"""The header that a part is sent to a store with, and without which the store refuses it."""

ADDRESS_LIFETIME = dt.timedelta(minutes=15)


def routes(context: Context, uploads: Uploads) -> Routes:
    """Below ``/v1/orgs/<org>/files/uploads``."""
    routes = context.routes("/v1/orgs/<org>/files/uploads", group="uploads")

    @routes.operation("files.uploads.start", "POST", "", who=MEMBER, max_json=paths.MAX_JSON)
    @routes.arguments(StartUpload.schema())
    @routes.response(201, Upload.schema())
    def start(start: StartUpload, org: str) -> flask.Response:
        """Open an upload."""
        return uploads.start(
            context.member().organization_id,
            context.caller().id,
            start,
            lambda upload: context.answer(upload, status=201),
        )

    @routes.operation("files.uploads.list", "GET", "", who=MEMBER)
    @routes.arguments(OpenUploadQuery.schema(), location="query")
    @routes.response(200, OpenUploadPage.schema())
    def list_uploads(query: OpenUploadQuery, org: str) -> flask.Response:
        """List the organization's open uploads as they were opened, with the bytes that count in its quota."""
        selected = uploads.open_uploads(context.member().organization_id)
        with context.read() as session:
            page, following = context.page(session, selected, models.Upload.id, query)
            items = [open_upload(upload) for upload in page]
        return context.answer(OpenUploadPage(items=items, next=following))

    @routes.operation("files.uploads.read", "GET", "/<upload_id>", who=MEMBER)
    @routes.response(200, Upload.schema())
    def read(org: str, upload_id: str) -> flask.Response:
        """Tell which parts are held."""
        return context.answer(uploads.read(context.member().organization_id, upload_id))

    @routes.operation("files.uploads.abort", "DELETE", "/<upload_id>", who=MEMBER)
    @routes.response(204)
    def abort(org: str, upload_id: str) -> flask.Response:
        """Drop an open upload and its parts."""
        return uploads.abort(context.member().organization_id, upload_id)

    @routes.operation(
        "files.uploads.sign", "POST", "/<upload_id>/sign", repeatable=True, who=MEMBER, max_json=256 << 10
    )
    @routes.arguments(SignParts.schema())
    @routes.response(200, SignedParts.schema())
    def sign(chosen: SignParts, org: str, upload_id: str) -> flask.Response:
        """Give the addresses that parts go to, by PUT."""
        organization_id = context.member().organization_id
        uploads.require(organization_id, upload_id)
        expires_at = context.address_expiry(ADDRESS_LIFETIME)
        known = {part.n: part.sha256 for part in chosen.parts if part.sha256 is not None}
        at_store = uploads.sign_parts(organization_id, upload_id, known) if known else {}
        parts = [signed(upload_id, part, expires_at, at_store.get(part.n)) for part in chosen.parts]
        return context.answer(SignedParts(parts=parts))

    @routes.operation(
        "files.uploads.complete", "POST", "/<upload_id>/complete", repeatable=True, who=MEMBER, max_json=4 << 20
    )
    @routes.arguments(CompleteUpload.schema())
    @routes.response(200, Entry.schema())
    def complete(completion: CompleteUpload, org: str, upload_id: str) -> flask.Response:
        """Make an upload the file's newest version, once its content is checked."""
        return uploads.complete(context.member().organization_id, upload_id, completion, context.answer)

    def open_upload(upload: models.Upload) -> OpenUpload:
        return OpenUpload(
            id=upload.uid,
            path=upload.path,
            size=upload.size,
            held_bytes=upload.held_bytes,
            reserved_bytes=upload.reserved_bytes,
            created_at=upload.created_at,
            created_by=upload.creator.user_name if upload.creator.removed_at is None else None,
            active_at=upload.active_at,
            expires_at=upload.expires_at,
        )

    def signed(upload: str, part: PartToSign, expires_at: dt.datetime, at_store: tuple[str, str] | None) -> SignedPart:
        if at_store is not None:
            address, digest = at_store
            return SignedPart(n=part.n, url=address, expires_at=expires_at, headers={DIGEST_HEADER: digest})
        bound = {}
        if part.md5 is not None:
            bound["md5"] = _md5(context, part.md5)
        if part.sha256 is not None:
            bound["sha256"] = part.sha256
        url = context.signed_address("PUT", part_path(upload, part.n), expires_at, bound)
        return SignedPart(n=part.n, url=url, expires_at=expires_at)

    return routes


def _md5(context: Context, encoded: str) -> str:
    """An MD5 in hexadecimal."""
    try:
        digest = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        digest = b""
    if len(digest) != 16:
        raise context.bad_entry("md5: this is no MD5 in base64; state the digest of the part's bytes")
    return digest.hex()
