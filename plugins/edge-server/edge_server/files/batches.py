"""Small files in batches: many of them in a request, each taken, refused or sent by itself."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import flask
from sqlalchemy.orm import Session

from edge_files.wire import (
    BATCH_TYPE,
    MAX_BATCH_CONTENT,
    SMALL_CONTENT,
    BatchAnswer,
    BatchContent,
    BatchFile,
    BatchItem,
    BatchManifest,
    BatchPiece,
    BatchQuery,
    BatchReading,
)
from edge_server.base.problems import Refusal, bad_entry, checksum_mismatch, shortened
from edge_server.data.store import MissingContent, Store
from edge_server.files import commits, queries, quotas, tree
from edge_server.files.queries import NewVersion, VersionRow
from edge_server.files.quotas import Limits
from edge_server.files.releases import Releases
from edge_server.files.tree import Put, Segments, Tree
from edge_server.web import bodies
from edge_server.web.context import OwnContext


class _Target(NamedTuple):
    """A file of a batch, and its path."""

    file: BatchFile
    segments: Segments


def put(
    context: OwnContext, store: Store, names: Tree, deleted: Releases, limits: Limits, manifest: BatchManifest
) -> flask.Response:
    """Store the files of the batch at hand.

    All that come whole are on disk before a single short transaction takes or refuses each of them.

    Args:
        context: the subsystem's.
        store: where content is kept.
        names: the tree.
        deleted: releases deleted folders, if there is no room otherwise.
        limits: what organizations may hold that have no quota of their own.
        manifest: the files, whose content is still to come.

    Raises:
        Refusal: what was sent is not a batch, so that nothing of it was stored.
    """
    files = manifest.files
    if sum(file.size for file in files) > MAX_BATCH_CONTENT:
        raise bad_entry(f"the files have more than {MAX_BATCH_CONTENT} bytes; send fewer of them at once")
    refusals: dict[int, Refusal] = {}
    targets = _targets(files, refusals)
    organization_id = context.member().organization_id

    def check() -> dict[int, Refusal]:
        with context.read() as session:
            return _without_room(session, organization_id, targets, limits, overwrite=manifest.overwrite)

    refused = check()
    if any(refusal.code == quotas.FULL for refusal in refused.values()) and deleted.release(organization_id):
        while deleted.release(organization_id):
            pass
        refused = check()
    refusals |= refused
    coming = {at: target for at, target in targets.items() if at not in refusals}
    arrived: list[int] = []
    keys = store.write_many(_arriving(files, coming, arrived, refusals)) if coming else []
    try:
        with context.write() as session:
            now, user_id = context.now(), context.caller().id
            puts = [
                Put(
                    coming[at].segments,
                    NewVersion(key, files[at].size, files[at].sha256, now, user_id, files[at].source_mtime_ns),
                )
                for at, key in zip(arrived, keys, strict=True)
            ]
            outcomes = names.put_many(session, organization_id, puts, overwrite=manifest.overwrite) if puts else []
            taken = {at: node for at, node in zip(arrived, outcomes, strict=True) if not isinstance(node, Refusal)}
            refusals |= {at: node for at, node in zip(arrived, outcomes, strict=True) if isinstance(node, Refusal)}
            items = [_item(file, taken.get(at), refusals.get(at)) for at, file in enumerate(files)]
            answer = context.answer(BatchAnswer(items=items))
    except BaseException as error:
        if not (keys and commits.may_be_committed(context, keys[0], error)):
            for key in keys:
                store.remove(key)
        raise
    for at, key in zip(arrived, keys, strict=True):
        if at in refusals:
            store.remove(key)
    return answer


def _targets(files: Sequence[BatchFile], refusals: dict[int, Refusal]) -> dict[int, _Target]:
    """The paths of a batch, by their place in it; what cannot be a path goes to the refusals.

    Raises:
        Refusal: a path is that of another file, or leads through one.
    """
    targets: dict[int, _Target] = {}
    for at, file in enumerate(files):
        try:
            targets[at] = _Target(file, tree.parse_new(file.path))
        except Refusal as refusal:
            refusals[at] = refusal
    paths = [target.segments for target in targets.values()]
    distinct = set(paths)
    if len(distinct) < len(paths):
        double = next(path for path in paths if paths.count(path) > 1)
        raise bad_entry(f"two files of the batch have the path {tree.show(double)}; send one of them")
    for path in paths:
        for depth in range(1, len(path)):
            if path[:depth] in distinct:
                raise bad_entry(
                    f"{tree.show(path[:depth])} is a file of the batch, so nothing can be put below it; send another "
                    "path"
                )
    return targets


def _without_room(
    session: Session, organization_id: int, targets: dict[int, _Target], limits: Limits, *, overwrite: bool
) -> dict[int, Refusal]:
    """The files that seem not to fit, before their bytes are read, and why."""
    refusals: dict[int, Refusal] = {}
    room = quotas.room(session, organization_id, limits)
    with contextlib.suppress(Refusal):
        total = sum(target.file.size for target in targets.values())
        # As if nothing were replaced for the quota, and everything for the limit of deleted content.
        quotas.room_after(room, total, 0)
        quotas.room_after(room, total, total if overwrite else 0)
        return refusals
    for at, (file, segments) in targets.items():
        try:
            replaced = tree.check_target(session, organization_id, segments, overwrite=overwrite)
            room = quotas.room_after(room, file.size, replaced)
        except Refusal as refusal:
            refusals[at] = refusal
    return refusals


def _arriving(
    files: Sequence[BatchFile], coming: dict[int, _Target], arrived: list[int], refusals: dict[int, Refusal]
) -> Iterator[bytes]:
    """The content of the files that are coming, without what is not as it was announced.

    Args:
        files: all files of the batch.
        coming: those that are to be stored.
        arrived: gets the places of those whose content is given.
        refusals: gets those whose content is not.
    """
    for at, content in enumerate(bodies.contents([file.size for file in files])):
        if at not in coming:
            continue
        if hashlib.sha256(content).hexdigest() != files[at].sha256:
            refusals[at] = checksum_mismatch(
                f"the SHA-256 of {tree.show(coming[at].segments)} is not the one stated; send it again"
            )
            continue
        arrived.append(at)
        yield content


def _item(file: BatchFile, node: queries.NodeRow | None, refusal: Refusal | None) -> BatchItem:
    if refusal is not None:
        detail = shortened(refusal.detail)
        return BatchItem(path=file.path, error=refusal.code, status=refusal.status, detail=detail)
    assert node is not None  # noqa: S101  # either
    return BatchItem(path=file.path, entry=tree.entry(node))


def read(context: OwnContext, store: Store, query: BatchQuery) -> flask.Response:
    """The content of small files as an answer, of as many of them as fit.

    Args:
        context: the subsystem's.
        store: where content is kept.
        query: the files.
    """
    with context.read() as session:
        versions = _versions(session, context.member().organization_id, query.files)
    pieces: list[BatchPiece] = []
    contents: list[bytes] = []
    left = MAX_BATCH_CONTENT
    for file, version in zip(query.files, versions, strict=True):
        if version is None:
            pieces.append(BatchPiece(path=file.path, state="missing"))
            continue
        content = _content(store, version) if version.size <= min(left, SMALL_CONTENT) else None
        pieces.append(
            BatchPiece(
                path=file.path,
                state="left_out" if content is None else "sent",
                version=version.uid,
                size=version.size,
                sha256=version.digest if version.part_size is None else None,
                source_mtime_ns=version.source_mtime_ns,
            )
        )
        if content is not None:
            contents.append(content)
            left -= len(content)
    head = json.dumps(BatchReading(files=pieces).to_dict()).encode() + b"\n"
    headers = {
        "Cache-Control": "private, no-transform",
        "Content-Length": str(len(head) + sum(map(len, contents))),
        "X-Content-Type-Options": "nosniff",
    }
    return flask.Response([head, *contents], 200, headers, content_type=BATCH_TYPE)


def _versions(session: Session, organization_id: int, files: Sequence[BatchContent]) -> list[VersionRow | None]:
    """The versions to read; None for what cannot be found, or not in this organization."""
    by_uid = queries.versions_of_uids(session, [file.version for file in files if file.version is not None])
    versions: list[VersionRow | None] = []
    for file in files:
        version = None
        with contextlib.suppress(Refusal):
            segments = tree.parse(file.path)
            if file.version is None:
                version = tree.content(session, organization_id, segments, None)
            else:
                version = tree.readable(by_uid.get(file.version), organization_id)
        versions.append(version)
    return versions


def _content(store: Store, version: VersionRow) -> bytes | None:
    """All of a version's content; None if that is damaged, as whoever fetches it alone is told."""
    try:
        with contextlib.closing(store.open(version.key)) as content:
            whole = b"".join(content)
    except MissingContent:
        return None
    return whole if len(whole) == version.size else None
