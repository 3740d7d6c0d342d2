"""The addresses of an organization's files."""

from __future__ import annotations

import datetime as dt

import flask

from edge_files.wire import (
    BATCH_TYPE,
    MAX_BATCH_CONTENT,
    MAX_MANIFEST,
    SMALL_CONTENT,
    AddressQuery,
    BatchAnswer,
    BatchManifest,
    BatchQuery,
    ContentQuery,
    Copy,
    DeleteQuery,
    DigestPage,
    DigestQuery,
    Entry,
    EntryPage,
    EntryQuery,
    FileVersionPage,
    ListQuery,
    MakeFolder,
    Move,
    PutQuery,
    Restore,
    SignedAddress,
    SourceTimes,
    VersionQuery,
)
from edge_server.base import pages
from edge_server.base.problems import bad_entry
from edge_server.data.store import Store
from edge_server.files import batches, commits, listing, paths, queries, quotas, sending, tree
from edge_server.files.housekeeping import TASK, Housekeeping
from edge_server.files.models import Version
from edge_server.files.queries import NewVersion
from edge_server.files.quotas import Limits
from edge_server.files.releases import Releases
from edge_server.files.signed_routes import content_address
from edge_server.files.tree import Tree
from edge_server.web import bodies
from edge_server.web.context import OwnContext
from edge_server.web.permissions import MEMBER
from edge_server.web.routes import BINARY_BODY, BINARY_SCHEMA, Routes

MAKING_ROOM = 10.0
"""Seconds that whoever deletes something waits at most for room on a full disk."""


def routes(context: OwnContext, store: Store, names: Tree, housekeeping: Housekeeping, limits: Limits) -> Routes:
    """Below ``/v1/orgs/<org>/files``."""
    routes = context.routes()
    deleted = Releases(context, names.clearing)

    @routes.operation("files.list", "GET", "/entries", who=MEMBER)
    @routes.arguments(ListQuery.schema(), location="query")
    @routes.response(200, EntryPage.schema())
    def list_entries(query: ListQuery, org: str) -> flask.Response:
        """List a folder, in the order of the names' UTF-8 bytes; or, if asked to, all that is below it."""
        segments = tree.parse(query.path)
        if query.after is not None and not query.recursive:
            raise bad_entry("after: it is for a listing of all that is below a folder; add recursive=true")
        if query.recursive or query.prefix:
            return _list_below(query, segments)
        with context.read_rows() as connection:
            nodes = tree.children(
                connection,
                context.member().organization_id,
                segments,
                kind=query.kind,
                after="" if query.cursor is None else pages.key_of(query.cursor, str),
                limit=query.limit + 1,
            )
        page, following = pages.cut(nodes, lambda node: node.name, query)
        return context.answer(EntryPage(items=[tree.entry(node) for node in page], next=following))

    def _list_below(query: ListQuery, segments: tree.Segments) -> flask.Response:
        place = _place(query)
        with context.read() as session:
            page, following = listing.page(
                session,
                context.member().organization_id,
                segments,
                prefix=query.prefix,
                kind=query.kind,
                recursive=query.recursive,
                place=place,
                limit=query.limit,
            )
        items = [tree.entry(node, path) for path, node in page]
        return context.answer(EntryPage(items=items, next=None if following is None else pages.cursor_of(following)))

    @routes.operation("files.stat", "GET", "/entry", who=MEMBER)
    @routes.arguments(EntryQuery.schema(), location="query")
    @routes.response(200, Entry.schema())
    def stat(query: EntryQuery, org: str) -> flask.Response:
        """Tell what is at a path."""
        segments = tree.parse(query.path)
        with context.read_rows() as connection:
            return context.answer(tree.entry(tree.get(connection, context.member().organization_id, segments)))

    @routes.operation("files.delete", "DELETE", "/entry", who=MEMBER)
    @routes.arguments(DeleteQuery.schema(), location="query")
    @routes.response(204)
    def delete(query: DeleteQuery, org: str) -> flask.Response:
        """Delete a file or folder. Content can be read by its version for another 24 hours."""
        segments = tree.parse(query.path)
        organization_id = context.member().organization_id

        def remove() -> tuple[flask.Response, bool]:
            with context.write() as session:
                is_large = names.remove(
                    session, organization_id, segments, recursive=query.recursive, version=query.version
                )
                return context.nothing(), is_large

        response, is_large = housekeeping.deleting(remove)
        if is_large:
            context.wake(TASK)
        housekeeping.make_room(MAKING_ROOM)
        return response

    @routes.operation("files.put", "PUT", "/content", who=MEMBER)
    @routes.arguments(PutQuery.schema(), location="query")
    @routes.response(201, Entry.schema())
    @routes.doc(
        requestBody=BINARY_BODY,
        description="A header Content-Digest (RFC 9530) with a SHA-256 is compared before anything is stored.",
    )
    def put_content(query: PutQuery, org: str) -> flask.Response:
        """Store small content as the newest version of the file at a path."""
        segments = tree.parse_new(query.path)
        organization_id = context.member().organization_id

        def check() -> None:
            with context.read_rows() as connection:
                replaced = tree.check_target(connection, organization_id, segments, overwrite=query.overwrite)
                length = flask.request.content_length or 0
                quotas.require_room(connection, organization_id, length, limits, replaced=replaced)

        deleted.before_refusing(organization_id, check)
        too_long = f"content above {SMALL_CONTENT} bytes does not travel this way; start an upload for it"
        key = store.new_key()
        written = store.write(key, bodies.blocks(SMALL_CONTENT, too_long, sha256=bodies.content_digest()))
        try:
            with context.write_rows() as connection:
                content = NewVersion(
                    key=key,
                    size=written.size,
                    digest=written.sha256,
                    created_at=context.now(),
                    created_by=context.caller().id,
                    source_mtime_ns=query.source_mtime_ns,
                )
                node = names.put(connection, organization_id, segments, content, overwrite=query.overwrite)
                return context.answer(tree.entry(node), status=201)
        except BaseException as error:
            if not commits.may_be_committed(context, key, error):
                store.remove(key)
            raise

    @routes.operation("files.put_batch", "POST", "/batch", who=MEMBER, max_json=MAX_MANIFEST)
    @routes.manifest(BatchManifest.schema(), media_type=BATCH_TYPE, content=MAX_BATCH_CONTENT)
    @routes.response(200, BatchAnswer.schema())
    @routes.doc(description="The body is the manifest in one line, a line feed, and the content of its files.")
    def put_batch(manifest: BatchManifest, org: str) -> flask.Response:
        """Store small files, each of which is taken or refused by itself."""
        return batches.put(context, store, names, deleted, limits, manifest)

    @routes.operation(
        "files.read_batch",
        "POST",
        "/batch/read",
        who=MEMBER,
        max_json=MAX_MANIFEST,
        reads=True,
        repeatable=True,
    )
    @routes.arguments(BatchQuery.schema())
    @routes.response(200, BINARY_SCHEMA, content_type=BATCH_TYPE)
    @routes.doc(
        description="The answer is a line of JSON (`BatchReading`), and the content of the files it says so of."
    )
    def read_batch(query: BatchQuery, org: str) -> flask.Response:
        """Send the content of small files."""
        return batches.read(context, store, query)

    @routes.operation("files.set_times", "PUT", "/source-times", who=MEMBER)
    @routes.arguments(SourceTimes.schema())
    @routes.response(204)
    def set_times(times: SourceTimes, org: str) -> flask.Response:
        """Note the times of local files that have the content of newest versions."""
        organization_id = context.member().organization_id
        with context.write() as session:
            queries.set_source_times(
                session, organization_id, {file.version: file.source_mtime_ns for file in times.files}
            )
            return context.nothing()

    @routes.operation("files.content", "GET", "/content", who=MEMBER)
    @routes.arguments(ContentQuery.schema(), location="query")
    @routes.content(redirects=True)
    def get_content(query: ContentQuery, org: str) -> flask.Response:
        """Send small content or a small range, or where more can be fetched."""
        segments = tree.parse(query.path)
        with context.read_rows() as connection:
            version = tree.content(connection, context.member().organization_id, segments, query.version)
        if version.size <= SMALL_CONTENT:
            return sending.answer(store, version)
        span = sending.requested(version)
        is_small = span is not None and len(span) <= SMALL_CONTENT
        if not is_small and (elsewhere := sending.redirect(store, version, _filename(segments))) is not None:
            return elsewhere
        address, _ = content_address(context, version, _filename(segments), dt.timedelta(minutes=15))
        # Relative, to this address: right behind any prefix, whether or not a proxy tells us of it.
        relative = f"../../../{address.removeprefix('v1/')}"
        if not is_small:
            return flask.Response(status=307, headers={"Location": relative})
        answer = sending.answer(store, version)
        # RFC 9110, 8.7: another address of this content. Who reads on there need not ask for it.
        answer.headers["Content-Location"] = sending.store_address(store, version, _filename(segments)) or relative
        return answer

    @routes.operation("files.digests", "GET", "/digests", who=MEMBER)
    @routes.arguments(DigestQuery.schema(), location="query")
    @routes.response(200, DigestPage.schema())
    def list_digests(query: DigestQuery, org: str) -> flask.Response:
        """List the digests of the parts of a file's content, in their order."""
        segments = tree.parse(query.path)
        after = 0 if query.cursor is None else pages.key_of(query.cursor, int)
        with context.read_rows() as connection:
            version = tree.content(connection, context.member().organization_id, segments, query.version)
            parts = tree.part_digests(connection, version, after=after, limit=query.limit + 1)
        page, following = pages.cut(parts, lambda part: part.n, query)
        return context.answer(DigestPage(items=list(page), next=following))

    @routes.operation("files.sign", "GET", "/download-url", who=MEMBER)
    @routes.arguments(AddressQuery.schema(), location="query")
    @routes.response(200, SignedAddress.schema())
    def sign(query: AddressQuery, org: str) -> flask.Response:
        """Give an address at which anyone can fetch a file's content, until it expires."""
        segments = tree.parse(query.path)
        with context.read_rows() as connection:
            version = tree.content(connection, context.member().organization_id, segments, query.version)
        lifetime = dt.timedelta(seconds=query.expires_in)
        address, expires_at = content_address(context, version, _filename(segments), lifetime)
        return context.answer(SignedAddress(url=address, expires_at=expires_at))

    @routes.operation("files.make_folder", "POST", "/folders", who=MEMBER, max_json=paths.MAX_JSON)
    @routes.arguments(MakeFolder.schema())
    @routes.response(201, Entry.schema())
    def make_folder(folder: MakeFolder, org: str) -> flask.Response:
        """Make a folder, with the parents that are missing."""
        segments = tree.parse_new(folder.path)
        with context.write() as session:
            node = names.make_folder(session, context.member().organization_id, segments, exist_ok=folder.exist_ok)
            return context.answer(tree.entry(node), status=201)

    @routes.operation("files.move", "POST", "/move", who=MEMBER, max_json=2 * paths.MAX_JSON)
    @routes.arguments(Move.schema())
    @routes.response(200, Entry.schema())
    def move(move: Move, org: str) -> flask.Response:
        """Give a file or folder another path; its content stays where it is."""
        source, target = tree.parse(move.path), tree.parse_new(move.new_path)
        with context.write() as session:
            node = names.move(session, context.member().organization_id, source, target, overwrite=move.overwrite)
            return context.answer(tree.entry(node))

    @routes.operation("files.copy", "POST", "/copy", who=MEMBER, max_json=2 * paths.MAX_JSON)
    @routes.arguments(Copy.schema())
    @routes.response(201, Entry.schema())
    def copy(copy: Copy, org: str) -> flask.Response:
        """Make a file with the content of another, of which no bytes are moved."""
        source, target = tree.parse(copy.path), tree.parse_new(copy.new_path)
        organization_id, user_id = context.member().organization_id, context.caller().id

        def make() -> flask.Response:
            with context.write() as session:
                node = names.copy(session, organization_id, source, target, user_id=user_id, overwrite=copy.overwrite)
                return context.answer(tree.entry(node), status=201)

        return deleted.before_refusing(organization_id, make)

    @routes.operation("files.versions", "GET", "/versions", who=MEMBER)
    @routes.arguments(VersionQuery.schema(), location="query")
    @routes.response(200, FileVersionPage.schema())
    def list_versions(query: VersionQuery, org: str) -> flask.Response:
        """List the versions that can be read and restored of a file, which may be deleted, as they were made."""
        segments = tree.parse_new(query.path)
        with context.read() as session:
            organization_id = context.member().organization_id
            versions = tree.versions(session, organization_id, segments)
            page, following = context.page(session, versions, Version.id, query)
            if not page and query.cursor is None:
                raise context.not_found(f"there is no file {tree.show(segments)}, nor a version of it; check the path")
            removed = tree.being_cleared(session, organization_id, segments)
            items = [tree.file_version(version, removed.get(version.id)) for version in page]
        return context.answer(FileVersionPage(items=items, next=following))

    @routes.operation("files.restore", "POST", "/restore", who=MEMBER, max_json=paths.MAX_JSON)
    @routes.arguments(Restore.schema())
    @routes.response(200, Entry.schema())
    def restore(restore: Restore, org: str) -> flask.Response:
        """Make an old version of a file, which may be deleted, the newest one again."""
        segments = tree.parse_new(restore.path)
        organization_id, user_id = context.member().organization_id, context.caller().id

        def make() -> flask.Response:
            with context.write() as session:
                node = names.restore(session, organization_id, segments, restore.version, user_id=user_id)
                return context.answer(tree.entry(node))

        return deleted.before_refusing(organization_id, make)

    return routes


def _filename(segments: tree.Segments) -> str:
    return segments[-1] if segments else "content"


def _place(query: ListQuery) -> listing.Place | None:
    """Where a page of what is below a folder begins."""
    if query.cursor is not None:
        text = pages.key_of(query.cursor, str)
        try:
            return listing.parse_place(text)
        except paths.BadPath:
            raise pages.bad_cursor() from None
    if query.after is not None:
        return listing.Place(tree.parse_new(query.after), behind=True)
    return None
