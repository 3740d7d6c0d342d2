"""The records of files on the wire. The server imports them, so that each is declared in a single place.

Paths are relative to the organization's root, segments joined by ``/``. They travel as the query
parameter or JSON field ``path`` and never in an address's path, where clients, proxies and servers
normalise ``..``, ``%2F`` and Unicode.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from edge_core.records import Pattern, Record, field

SMALL_CONTENT = 1 << 20
"""Bytes. Content or a range of up to this size travels through the API itself, more by signed addresses.

A range that is sent at once takes 0.54 (4 KiB) to 0.58 (1 MiB) of the time of a redirect and the range from there.
"""

PART_SIZE = 8 << 20
"""Bytes. The size of an upload's parts, unless it needs larger ones to stay under `MAX_PARTS`."""

MAX_PARTS = 10_000
"""Maximum number of parts of an upload."""

MAX_BATCH_FILES = 100
"""Maximum number of files of a batch."""

MAX_BATCH_CONTENT = 8 << 20
"""Bytes. Maximum of all content of a batch."""

MAX_SOURCE_TIMES = 500
"""Maximum number of files whose times are set at once."""

MAX_MANIFEST = 256 << 10
"""Bytes. Maximum of the line of JSON that names the files of a batch."""

BATCH_TYPE = "application/vnd.edge.batch"
"""Media type of a line of JSON, which ends with a line feed, and the content of files after it, in its order."""

DIGEST = Pattern("^[0-9a-f]{64}$", "write the SHA-256 as 64 hexadecimal digits, in lower case")

MIN_NS, MAX_NS = -(1 << 63), (1 << 63) - 1
"""Nanoseconds since 1970 of the first and last moment that can be kept, in the years 1677 and 2262."""

_SOURCE_MTIME = (
    "When the uploaded local file was last modified, as its uploader tells: whole nanoseconds since 1970-01-01T00:00Z, "
    "an integer of 64 bits; null if that is not known."
)

_SHA256 = "Hexadecimal SHA-256 of all of the content, where the server has computed it; null for content in parts."
_DIGEST = (
    "Hexadecimal digest of the content: its SHA-256, or where it has parts of `part_size` bytes, the SHA-256 over the "
    "binary SHA-256s of the parts in their order."
)
_PART_SIZE = (
    "Bytes of each part but the last that `digest` is made over; null if it is the SHA-256 of all of the content."
)


def _source_mtime_ns() -> Any:
    return field(default=None, minimum=MIN_NS, maximum=MAX_NS, doc=_SOURCE_MTIME)


class Entry(Record):
    """A file or folder, as listings and `stat` return it."""

    name: str = field(doc="Basename; empty for the root.")
    kind: str = field(doc='"file" or "folder".')
    uid: str = field(doc="Universally unique id; it stays when the entry is moved or renamed.")
    modified_at: dt.datetime = field(doc="UTC. Of a file: when its newest version became visible.")
    size: int | None = field(default=None, doc="Bytes; null for a folder.")
    sha256: str | None = field(default=None, doc=_SHA256)
    version: str | None = field(default=None, doc="Id of the newest version; null for a folder.")
    digest: str | None = field(default=None, doc=_DIGEST)
    part_size: int | None = field(default=None, doc=_PART_SIZE)
    source_mtime_ns: int | None = _source_mtime_ns()
    path: str | None = field(
        default=None,
        doc="Path from the listed folder, in a listing with `recursive` or `prefix`; null elsewhere.",
    )


class EntryQuery(Record):
    """Names a file or folder."""

    path: str = field(default="", doc="Path from the organization's root; empty for the root itself.")


class ListQuery(Record):
    """Asks for the children of a folder, in the order of their names' UTF-8 bytes, or for all that is below it.

    With `recursive` the entries of each folder stand together, in this order, and what is in each of its folders
    follows in the same way. A page begins behind the path that the page before ended with, whatever is there by now.
    """

    path: str = ""
    recursive: bool = field(default=False, doc="True: also what is in the folders, and below.")
    prefix: str = field(
        default="", doc="Only entries whose path from the listed folder begins with this text, such as `runs/plate-`."
    )
    after: str | None = field(
        default=None,
        doc="With `recursive`: path from the listed folder; the listing begins with what follows all that is in it.",
    )
    kind: str | None = field(
        default=None, pattern=Pattern("^(file|folder)$", 'write "file" or "folder"'), doc="Only entries of this kind."
    )
    limit: int = field(default=1000, minimum=1, maximum=1000, doc="Most items of one page.")
    cursor: str | None = field(default=None, doc="The `next` of the page before.")


class EntryPage(Record):
    """One page of a listing. With `recursive` it may have few items, or none, and yet a `next`."""

    items: list[Entry]
    next: str | None = field(default=None, doc="Cursor of the next page; null on the last one.")


class ContentQuery(Record):
    """Names the content of a file."""

    path: str
    version: str | None = field(default=None, doc="Id of a version; null for the newest one.")


class DigestQuery(Record):
    """Asks for the digests of the parts of a file's content."""

    path: str
    version: str | None = field(default=None, doc="Id of a version; null for the newest one.")
    limit: int = field(default=1000, minimum=1, maximum=1000, doc="Most items of one page.")
    cursor: str | None = field(default=None, doc="The `next` of the page before.")


class PartDigest(Record):
    """The digest of a part of a file's content."""

    n: int = field(doc="Number of the part, from 1.")
    size: int = field(doc="Bytes.")
    sha256: str = field(doc="Hexadecimal SHA-256 of the part.")


class DigestPage(Record):
    """One page of the digests of parts, in their order; there are none of content that was stored in one piece."""

    items: list[PartDigest]
    next: str | None = field(default=None, doc="Cursor of the next page; null on the last one.")


class PutQuery(Record):
    """Where small content goes."""

    path: str
    overwrite: bool = field(default=True, doc="False: an existing file is refused.")
    source_mtime_ns: int | None = _source_mtime_ns()


class DeleteQuery(Record):
    """What to delete."""

    path: str
    recursive: bool = field(default=False, doc="Needed for a folder that is not empty.")
    version: str | None = field(
        default=None, doc="Id of the version that the file must have, or else nothing is deleted; null for any."
    )


class MakeFolder(Record):
    """A folder to make, with its missing parents."""

    path: str
    exist_ok: bool = field(default=False, doc="True: an existing folder is no error.")


class Move(Record):
    """An entry's new path, parent and name in one; missing parents are made."""

    path: str
    new_path: str
    overwrite: bool = field(default=False, doc="True: a file at the new path is replaced.")


class Copy(Record):
    """A file to copy, and the copy's path, parent and name in one; missing parents are made."""

    path: str
    new_path: str
    overwrite: bool = field(default=False, doc="True: a file at the new path is replaced.")


class FileVersion(Record):
    """A version of a file that can be read and restored."""

    version: str = field(doc="Id of the version.")
    size: int = field(doc="Bytes.")
    modified_at: dt.datetime = field(doc="UTC. When it became visible.")
    sha256: str | None = field(default=None, doc=_SHA256)
    digest: str | None = field(default=None, doc=_DIGEST)
    part_size: int | None = field(default=None, doc=_PART_SIZE)
    source_mtime_ns: int | None = _source_mtime_ns()
    created_by: str | None = field(
        default=None, doc="User name of who stored it; null if that user has left the server."
    )
    kept_until: dt.datetime | None = field(
        default=None, doc="UTC. Until when a replaced or deleted one can be restored; null for the newest one."
    )


class VersionQuery(Record):
    """Asks for the versions of a file, which may be deleted."""

    path: str
    limit: int = field(default=1000, minimum=1, maximum=1000, doc="Most items of one page.")
    cursor: str | None = field(default=None, doc="The `next` of the page before.")


class FileVersionPage(Record):
    """One page of versions, each after those that were stored before it."""

    items: list[FileVersion]
    next: str | None = field(default=None, doc="Cursor of the next page; null on the last one.")


class Restore(Record):
    """A version to make the newest one again of the file at a path; missing parents are made."""

    path: str
    version: str = field(max_length=36, doc="Id of the version, as the list of versions gives it.")


class SourceTime(Record):
    """When the local file was last modified that has the content of a version."""

    version: str = field(max_length=36, doc="Id of the version.")
    source_mtime_ns: int = field(minimum=MIN_NS, maximum=MAX_NS, doc=_SOURCE_MTIME.partition("; null")[0] + ".")


class SourceTimes(Record):
    """The times of local files whose content is stored already; versions that are not the newest keep theirs."""

    files: list[SourceTime] = field(max_length=MAX_SOURCE_TIMES)


class BatchFile(Record):
    """A small file of a batch; its content comes after the manifest."""

    path: str
    size: int = field(minimum=0, maximum=SMALL_CONTENT, doc="Bytes.")
    sha256: str = field(pattern=DIGEST, doc="Hexadecimal SHA-256 of the content.")
    source_mtime_ns: int | None = _source_mtime_ns()


class BatchManifest(Record):
    """Small files to store, each of which is taken or refused by itself; no two of them at a path."""

    files: list[BatchFile] = field(max_length=MAX_BATCH_FILES)
    overwrite: bool = field(default=True, doc="False: existing files are refused.")


class BatchItem(Record):
    """What became of a file of a batch."""

    path: str = field(doc="As it was sent.")
    entry: Entry | None = field(default=None, doc="The file, if it was taken.")
    error: str | None = field(default=None, doc="The problem's code, if it was refused.")
    status: int = field(default=201, doc="HTTP status code that the file alone would be answered with.")
    detail: str | None = field(default=None, doc="Why it was refused, and what to do.")


class BatchAnswer(Record):
    """What became of the files of a batch, in their order."""

    items: list[BatchItem]


class BatchContent(Record):
    """A small file to read."""

    path: str
    version: str | None = field(default=None, max_length=36, doc="Id of a version; null for the newest one.")


class BatchQuery(Record):
    """Small files to read."""

    files: list[BatchContent] = field(max_length=MAX_BATCH_FILES)


class BatchPiece(Record):
    """A file of the answer to a `BatchQuery`."""

    path: str = field(doc="As it was sent.")
    state: str = field(
        doc='"sent": its content comes after the manifest; "left_out": fetch it alone, as it is too large or cannot be '
        'read; "missing": it cannot be found.'
    )
    version: str | None = field(default=None, doc="Id of the version.")
    size: int | None = field(default=None, doc="Bytes.")
    sha256: str | None = field(default=None, doc=_SHA256)
    source_mtime_ns: int | None = _source_mtime_ns()


class BatchReading(Record):
    """The manifest of the answer to a `BatchQuery`, in its order."""

    files: list[BatchPiece]


class AddressQuery(Record):
    """Asks for an address that gives a file's content without a token."""

    path: str
    version: str | None = None
    expires_in: int = field(default=900, minimum=1, maximum=7 * 86_400, doc="Seconds.")


class SignedAddress(Record):
    """An address that needs no token, until it expires."""

    _hidden = frozenset({"url"})

    url: str = field(doc="Absolute, or relative to the service URL.")
    expires_at: dt.datetime
    headers: dict[str, str] = field(default_factory=dict, doc="Headers the request must carry.")


class StartUpload(Record):
    """Opens an upload in parts."""

    path: str
    size: int | None = field(default=None, minimum=0, doc="Bytes; null if the sender does not know yet.")
    overwrite: bool = True
    source_mtime_ns: int | None = _source_mtime_ns()
    resume: bool = field(
        default=False,
        doc="True: the answer is the newest open upload of the same user, path, size and overwrite, with the parts "
        "held of it; a new one if there is none, or the size is null.",
    )


class HeldPart(Record):
    """A part the server holds."""

    n: int = field(minimum=1, maximum=MAX_PARTS, doc="Number of the part, from 1.")
    size: int = field(minimum=0, doc="Bytes.")
    etag: str = field(max_length=200, doc="The entity tag the part's address answered with.")
    sha256: str | None = field(default=None, pattern=DIGEST)


class Upload(Record):
    """An open upload. All parts but the last have `part_size` bytes."""

    id: str
    path: str
    part_size: int = field(doc="Bytes.")
    expires_at: dt.datetime = field(doc="UTC; parts of an upload not completed by then are dropped.")
    size: int | None = None
    parts: list[HeldPart] = field(default_factory=list, doc="The parts held so far, by number.")
    signed_digest: str | None = field(
        default=None,
        doc='Digest that must be stated of each part to have its address, "sha256" or "md5"; null if none must be.',
    )
    resumed: bool = field(default=False, doc="Whether it was open before, so that others may be sending its parts.")
    completing: bool = field(
        default=False,
        doc="Whether the server is making it a file, which takes long where large content is compared once more; "
        "whoever completes it again afterwards gets the same answer.",
    )


class OpenUploadQuery(Record):
    """Asks for the open uploads of an organization."""

    limit: int = field(default=1000, minimum=1, maximum=1000, doc="Most items of one page.")
    cursor: str | None = field(default=None, doc="The `next` of the page before.")


class OpenUpload(Record):
    """An upload that is not completed yet, and what it takes of the organization's quota."""

    id: str
    path: str = field(doc="Where its file will be.")
    held_bytes: int = field(doc="Bytes that its parts take on the server.")
    reserved_bytes: int = field(
        doc="Bytes that count in the quota: those of its stated size, and after an hour without a part those held."
    )
    created_at: dt.datetime = field(doc="UTC.")
    expires_at: dt.datetime = field(doc="UTC; it is dropped then.")
    size: int | None = field(default=None, doc="Bytes of the file; null if its sender does not know yet.")
    created_by: str | None = field(
        default=None, doc="User name of who opened it; null if that user has left the server."
    )
    active_at: dt.datetime | None = field(
        default=None, doc="UTC. When a part last came, or the upload was resumed; null if neither happened."
    )


class OpenUploadPage(Record):
    """One page of open uploads, each after those that were opened before it."""

    items: list[OpenUpload]
    next: str | None = field(default=None, doc="Cursor of the next page; null on the last one.")


class PartToSign(Record):
    """A part about to be sent."""

    n: int = field(minimum=1, maximum=MAX_PARTS)
    md5: str | None = field(default=None, max_length=24, doc="Base64 MD5, bound to the address where given.")
    sha256: str | None = field(default=None, pattern=DIGEST, doc="Likewise, hexadecimal.")


class SignParts(Record):
    """Asks for the addresses of parts; at any time, since addresses live 15 minutes."""

    parts: list[PartToSign] = field(max_length=1000)


class SignedPart(Record):
    """Where one part goes, by PUT."""

    _hidden = frozenset({"url"})

    n: int
    url: str = field(doc="Absolute, or relative to the service URL.")
    expires_at: dt.datetime
    headers: dict[str, str] = field(default_factory=dict)


class SignedParts(Record):
    """The addresses asked for."""

    parts: list[SignedPart]


class CompleteUpload(Record):
    """Makes an upload the file's newest version. Sending it twice is the same as once.

    It states `digest` and the SHA-256 of each part, as clients do that hash each part once, or only `sha256`.
    """

    parts: list[HeldPart] = field(max_length=MAX_PARTS)
    digest: str | None = field(
        default=None,
        pattern=DIGEST,
        doc="Hexadecimal SHA-256 of a single part, else the SHA-256 over the binary SHA-256s of the parts in order.",
    )
    sha256: str | None = field(
        default=None,
        pattern=DIGEST,
        doc="Hexadecimal SHA-256 of all of the content; of several parts it is kept and not compared.",
    )
