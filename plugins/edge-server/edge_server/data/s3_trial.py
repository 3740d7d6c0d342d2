"""What a store is seen to do before anything rests on it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import secrets
import time
from collections.abc import Mapping

from edge_server.data.s3_bucket import Bucket, NotThere, Refused, encoded
from edge_server.data.store import StoreFailure

MD5, SHA256 = "Content-MD5", "SHA-256"

_TRIAL = b"a trial of edge-server"

_SKEW = 300.0
"""Seconds that clocks may differ by; what nobody names is dropped after an hour by the store's."""


def refused_digests(bucket: Bucket, key: str) -> set[str]:
    """Which digests a store compares: those with which it refuses a part that has another one.

    Args:
        bucket: where a multipart upload is opened for that, and dropped.
        key: of an object that is not there, and never will be.

    Raises:
        StoreFailure: it cannot be used.
    """
    wrong = {
        MD5: {"ContentMD5": encoded(_md5(b""))},
        SHA256: {"ChecksumSHA256": encoded(hashlib.sha256().digest())},
    }
    started = bucket.call("create_multipart_upload", Key=key, ChecksumAlgorithm="SHA256")
    upload = {"Key": key, "UploadId": started["UploadId"]}
    try:
        refused = {name for name, digest in wrong.items() if _is_refused(bucket, upload, digest)}
        if SHA256 in refused and not _is_compared(bucket, upload, wrong[SHA256]):
            refused.remove(SHA256)
        return refused
    finally:
        with contextlib.suppress(NotThere):  # of a store that has made an object of it
            bucket.call("abort_multipart_upload", **upload)
        with contextlib.suppress(NotThere):
            bucket.call("delete_object", Key=key)


def require_md5(bucket: Bucket, refused: set[str]) -> None:
    """See that a store compares Content-MD5, without which what is damaged on its way would be stored.

    Raises:
        StoreFailure: it does not.
    """
    if MD5 not in refused:
        raise StoreFailure(
            errno.EIO,
            f"{bucket.place}: the store takes bytes that have another Content-MD5, so that what is damaged on its way "
            "would be kept; use another store",
        )


def lacking(bucket: Bucket, prefix: str) -> list[str]:
    """Write, read, list and remove an object, and tell what the store lacks that the server can do without.

    Args:
        bucket: the bucket.
        prefix: what the names of the objects begin with that it may write.

    Raises:
        StoreFailure: it cannot be used.
    """
    key = f"{prefix}trial-{secrets.token_hex(8)}"
    bucket.call("put_object", Key=key, Body=_TRIAL, ContentMD5=encoded(_md5(_TRIAL)))
    try:
        answer = bucket.call("get_object", Key=key, Range="bytes=2-6")
        with bucket.translated():
            _require(bucket, answer["Body"].read() == _TRIAL[2:7], "a range of an object")
        listed = bucket.call("list_objects_v2", Prefix=key, MaxKeys=1).get("Contents", [])
        _require(bucket, [each["Key"] for each in listed] == [key], "a list of objects")
        skew = abs(listed[0]["LastModified"].timestamp() - time.time())
    finally:
        bucket.call("delete_object", Key=key)
    try:
        bucket.call("head_object", Key=key)
    except NotThere:
        pass
    else:
        _require(bucket, False, "an object that was removed")
    refused = refused_digests(bucket, key)
    require_md5(bucket, refused)
    lacks = []
    if SHA256 not in refused:
        lacks.append("it does not compare SHA-256")
    if skew > _SKEW:
        lacks.append(f"its clock is {skew:.0f} seconds off this machine's, which must not differ by much; set it right")
    if _keeps_versions(bucket):
        lacks.append(
            "it keeps old versions of objects, so that what is deleted takes room until a lifecycle rule ends it; "
            "suspend versioning, or add a rule"
        )
    return lacks


def _is_refused(bucket: Bucket, upload: Mapping[str, str], digest: Mapping[str, str]) -> bool:
    try:
        bucket.call("upload_part", **upload, PartNumber=1, Body=_TRIAL, **digest)
    except Refused:
        return True
    return False


def _is_compared(bucket: Bucket, upload: Mapping[str, str], wrong: Mapping[str, str]) -> bool:
    """Whether a store compares the SHA-256 of a part once more when it is to be made an object."""
    right = encoded(hashlib.sha256(_TRIAL).digest())
    part = bucket.call("upload_part", **upload, PartNumber=1, Body=_TRIAL, ChecksumSHA256=right)
    parts = [{"PartNumber": 1, "ETag": part["ETag"], **wrong}]
    try:
        bucket.call("complete_multipart_upload", **upload, MultipartUpload={"Parts": parts})
    except Refused:
        return True
    return False


def _keeps_versions(bucket: Bucket) -> bool:
    # Stores that do not know versions, and keys that may not ask, say so in ways of their own.
    with contextlib.suppress(StoreFailure, NotThere):
        return bool(bucket.call("get_bucket_versioning").get("Status") == "Enabled")
    return False


def _require(bucket: Bucket, holds: bool, what: str) -> None:
    if not holds:
        raise StoreFailure(errno.EIO, f"{bucket.place}: the store gives {what} wrongly; use another store")


def _md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()
