"""Small files in batches, as the server takes and sends them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from edge_core.errors import BadResponse, EdgeError, NotFound, error_from
from edge_core.http import Answer, ServiceClient
from edge_files.wire import (
    BATCH_TYPE,
    MAX_BATCH_CONTENT,
    MAX_BATCH_FILES,
    MAX_MANIFEST,
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
from edge_vfs.store import BatchLimits, SmallFile, Stat

LIMITS = BatchLimits(MAX_BATCH_FILES, MAX_BATCH_CONTENT, SMALL_CONTENT)


class Batches:
    """Sends and fetches small files.

    Attributes:
        limits: of a batch; None once the server has turned out to know none, as one of an older version.
    """

    def __init__(self, http: ServiceClient) -> None:
        self._http = http
        self.limits: BatchLimits | None = LIMITS

    def write(self, files: Sequence[SmallFile], *, overwrite: bool) -> list[EdgeError | None]:
        """Store files; gives for each why it was refused, or None.

        Raises:
            EdgeError: nothing was stored.
        """
        manifest = BatchManifest(
            files=[
                BatchFile(path=file.path, size=len(file.content), sha256=file.sha256, source_mtime_ns=file.mtime_ns)
                for file in files
            ],
            overwrite=overwrite,
        )
        line = json.dumps(manifest.to_dict()).encode()
        if len(line) > MAX_MANIFEST and len(files) > 1:  # of very long paths
            middle = len(files) // 2
            rest = files[middle:]
            return [*self.write(files[:middle], overwrite=overwrite), *self.write(rest, overwrite=overwrite)]
        body = b"".join([line, b"\n", *(file.content for file in files)])
        headers = {"Accept": "application/json", "Content-Type": BATCH_TYPE}
        with self._fetch("/batch", headers, body) as answer:
            items = BatchAnswer.from_answer(answer.json()).items
            if [outcome.path for outcome in items] != [file.path for file in files]:
                raise _other_files(answer)
            return [_failure(file, outcome, answer) for file, outcome in zip(files, items, strict=True)]

    def read(self, files: Sequence[tuple[str, Stat]]) -> list[bytes | None]:
        """Fetch files; gives for each its content, or None if it has to be fetched alone."""
        pieces = self._pieces([BatchContent(path=path, version=stat.version) for path, stat in files])
        # What is of another version is passed over, and fetched alone.
        return [
            content if piece.version == stat.version else None
            for (piece, content), (_, stat) in zip(pieces, files, strict=True)
        ]

    def read_newest(self, paths: Sequence[str]) -> list[bytes | None]:
        """Fetch the newest versions of files; gives for each its content, or None if it has to be fetched alone."""
        contents: list[bytes | None] = [None] * len(paths)
        left = list(range(len(paths)))
        while left:
            pieces = self._pieces([BatchContent(path=paths[at]) for at in left])
            later: list[int] = []
            for at, (piece, content) in zip(left, pieces, strict=True):
                if content is not None:
                    # Fetched alone, damaged content is an error that says so.
                    contents[at] = content if hashlib.sha256(content).hexdigest() == piece.sha256 else None
                elif piece.state == "left_out" and (piece.size or 0) <= SMALL_CONTENT:
                    later.append(at)
            if len(later) == len(left):
                break  # the server cannot read what is left
            left = later
        return contents

    def _pieces(self, files: Sequence[BatchContent]) -> list[tuple[BatchPiece, bytes | None]]:
        line = json.dumps(BatchQuery(files=list(files)).to_dict()).encode()
        if len(line) > MAX_MANIFEST and len(files) > 1:
            middle = len(files) // 2
            return [*self._pieces(files[:middle]), *self._pieces(files[middle:])]
        headers = {"Accept": f"{BATCH_TYPE}, application/json", "Content-Type": "application/json"}
        with self._fetch("/batch/read", headers, line) as answer:
            if answer.headers.get("Content-Type") != BATCH_TYPE:
                raise BadResponse(f"{answer.url} answered with something else than files; check the service URL")
            return _contents([file.path for file in files], answer)

    def _fetch(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        try:
            return self._http.fetch("POST", path, headers=headers, body=body)
        except NotFound as error:
            if error.code == "unknown_route":
                self.limits = None
            raise


def _failure(file: SmallFile, outcome: BatchItem, answer: Answer) -> EdgeError | None:
    if outcome.error is not None:
        return error_from(
            status=outcome.status,
            method="POST",
            url=answer.url,
            problem={"code": outcome.error, "detail": outcome.detail},
            request_id=answer.headers.get("X-Request-ID"),
        )
    if outcome.entry is None or outcome.entry.sha256 != file.sha256:
        return BadResponse("the server did not confirm that it stored what was sent; look at the file, then try again")
    return None


def _contents(paths: Sequence[str], answer: Answer) -> list[tuple[BatchPiece, bytes | None]]:
    line, _, rest = answer.whole().partition(b"\n")
    try:
        pieces = BatchReading.from_answer(json.loads(line)).files
    except ValueError:
        raise _other_files(answer) from None
    if [piece.path for piece in pieces] != list(paths):
        raise _other_files(answer)
    contents: list[tuple[BatchPiece, bytes | None]] = []
    at = 0
    for piece in pieces:
        size = (piece.size or 0) if piece.state == "sent" else 0
        contents.append((piece, rest[at : at + size] if piece.state == "sent" else None))
        at += size
    if at != len(rest):
        raise _other_files(answer)
    return contents


def _other_files(answer: Answer) -> BadResponse:
    return BadResponse(f"{answer.url} answered about other files than were named; try again, or tell its operator")
