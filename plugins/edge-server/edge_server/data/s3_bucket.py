"""A bucket of an S3-compatible store: one client per process, and errors that are sentences without a secret."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import errno
import functools
import os
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.exceptions
import urllib3.exceptions
from botocore.config import Config

from edge_server.data.store import StoreFailure

DEFAULT_REGION = "us-east-1"
"""What is signed for where the operator names no region; stores that have none expect it."""

CONNECT_TIMEOUT = 5
"""Seconds."""

READ_TIMEOUT = 60
"""Seconds between bytes of an answer."""

ATTEMPTS = 3
"""How often a request is sent at most, but for those that must not be sent again while the store is at them."""

CONNECTIONS = 128
"""Connections that a process keeps: as many as it answers requests at once, with the bodies it waits for."""

_FULL = {"InsufficientStorage", "QuotaExceeded", "XMinioStorageFull"}

_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "InvalidSecurity"}

_MISSING = {"404", "NoSuchKey", "NoSuchUpload", "NotFound"}

_DAMAGED = {"BadDigest", "InvalidDigest", "InvalidPart", "XAmzContentChecksumMismatch"}

_BROKEN_OFF = (
    botocore.exceptions.IncompleteReadError,
    botocore.exceptions.ReadTimeoutError,
    botocore.exceptions.ResponseStreamingError,
    urllib3.exceptions.HTTPError,
    OSError,
)


class NotThere(LookupError):
    """The object or the upload is not there."""


class Failed(StoreFailure):
    """The store answers that it fails, or cannot do it now."""


class Refused(StoreFailure):
    """The store refuses a request as it is.

    Attributes:
        status: the answer's.
        is_damaged: whether what arrived has another digest than it must have.
    """

    def __init__(self, what: str, status: int, code: str) -> None:
        super().__init__(errno.EIO, f"{what}: the store refuses the request ({code or status}); look at its log")
        self.status = status
        self.is_damaged = code in _DAMAGED


@dataclasses.dataclass(frozen=True)
class Bucket:
    """A bucket, and how to call its store.

    Attributes:
        name: the bucket's.
        endpoint: the store's address, such as ``https://s3.example.com``; None for Amazon's.
        region: the region that requests are signed for; None for that of the environment, else `DEFAULT_REGION`.
        access_key: the access key; None for what boto3 finds in the environment, or of the machine's role.
        secret_key: the secret key of the access key.
    """

    name: str
    endpoint: str | None = None
    region: str | None = None
    access_key: str | None = dataclasses.field(default=None, repr=False)
    secret_key: str | None = dataclasses.field(default=None, repr=False)

    @property
    def place(self) -> str:
        """What a sentence calls it."""
        return f"the bucket {self.name} at {self.endpoint or 'Amazon S3'}"

    @property
    def client(self) -> Any:
        """The client of this process, which its threads share; connections do not survive a fork."""
        return _client(self, os.getpid(), ATTEMPTS)

    def signed_region(self) -> str:
        """The region that the store takes signatures for, found out by a call of it.

        boto3 repeats a call for the region that the store names when it refuses, but signs no address for it.

        Raises:
            NotThere: the bucket is not there.
            StoreFailure: as `call`.
        """
        regions = []

        def note(request: Any, **_: Any) -> None:
            regions.append(request.context.get("signing", {}).get("region"))

        client = _new_client(self, ATTEMPTS)
        client.meta.events.register("before-sign.s3", note)
        self._call(client, "list_objects_v2", {"MaxKeys": 1})
        region: str = regions[-1] or client.meta.region_name
        return region

    def call(self, operation: str, **arguments: Any) -> Any:
        """Call an operation of the store on the bucket.

        Args:
            operation: the method of boto3's client, such as ``"head_object"``.
            arguments: the operation's, without the bucket.

        Returns:
            what boto3 gives.

        Raises:
            NotThere: the object or the upload is not there.
            Refused: the request cannot be.
            Failed: the store answers that it fails.
            StoreFailure: the store gives no answer, is full, or does not accept the keys.
        """
        return self._call(self.client, operation, arguments)

    def call_once(self, operation: str, **arguments: Any) -> Any:
        """Call an operation that is sent once, also if no answer comes; else as `call`."""
        return self._call(_client(self, os.getpid(), 1), operation, arguments)

    def _call(self, client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        with self.translated():
            return getattr(client, operation)(Bucket=self.name, **arguments)

    def pages(self, operation: str, size: int, **arguments: Any) -> Iterator[dict[str, Any]]:
        """All pages of a list, of at most `size` each; other arguments and errors as of `call`."""
        with self.translated():
            paginator = self.client.get_paginator(operation)
            yield from paginator.paginate(Bucket=self.name, PaginationConfig={"PageSize": size}, **arguments)

    def address(self, operation: str, lifetime: int, **arguments: Any) -> str:
        """An address that permits an operation to whoever has it, such as ``"get_object"``; nothing is asked.

        Args:
            operation: the method of boto3's client.
            lifetime: seconds until it expires.
            arguments: the operation's, without the bucket; those that are headers of a request are signed with it.
        """
        with self.translated():
            signed: str = self.client.generate_presigned_url(
                operation, Params={"Bucket": self.name, **arguments}, ExpiresIn=lifetime
            )
            return signed

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Translate what boto3 raises within the block; errors as of `call`."""
        try:
            yield
        except botocore.exceptions.ClientError as error:
            raise self._refusal(error) from None
        except botocore.exceptions.NoCredentialsError:
            raise StoreFailure(
                errno.EACCES,
                f"{self.place}: there are no keys; set access_key and secret_key in [storage], or AWS_ACCESS_KEY_ID "
                "and AWS_SECRET_ACCESS_KEY in the environment",
            ) from None
        except (botocore.exceptions.BotoCoreError, *_BROKEN_OFF) as error:
            if isinstance(error, StoreFailure):
                raise
            # The error's own text may hold an address with what was signed.
            why = "its certificate is not trusted" if "SSL" in type(error).__name__ else type(error).__name__
            raise StoreFailure(
                errno.EIO,
                f"{self.place}: the store gives no answer ({why}); check endpoint in [storage], and that it runs",
            ) from None

    def missing(self) -> StoreFailure:
        """That the bucket is not there."""
        return StoreFailure(
            errno.EIO, f"{self.place}: the bucket is not there; make it, or correct bucket in [storage]"
        )

    def _refusal(self, error: botocore.exceptions.ClientError) -> Exception:
        status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _FULL or status == 507:
            return StoreFailure(errno.ENOSPC, f"{self.place}: the store is full; give it space")
        if code == "NoSuchBucket":
            return self.missing()
        if code in _MISSING or status == 404:
            return NotThere(code)
        if code in _KEYS:
            return StoreFailure(
                errno.EACCES,
                f"{self.place}: the store rejects the keys ({code}); correct access_key and secret_key in [storage]",
            )
        if status in (401, 403):
            return StoreFailure(
                errno.EACCES,
                f"{self.place}: the store does not permit this ({code}); correct the keys in [storage], or permit "
                "their owner to list, read, write and delete in the bucket",
            )
        if status >= 500 or status == 429:
            return Failed(errno.EIO, f"{self.place}: the store fails ({code or status}); look at its log")
        return Refused(self.place, status, code)


def encoded(digest: bytes) -> str:
    """A digest as headers of requests have it."""
    return base64.b64encode(digest).decode()


@functools.lru_cache(maxsize=8)
def _client(bucket: Bucket, _process: int, attempts: int) -> Any:
    return _new_client(bucket, attempts)


def _new_client(bucket: Bucket, attempts: int) -> Any:
    # A session of its own, since boto3's default one cannot be used by several threads at once.
    session = boto3.session.Session()
    return session.client(
        "s3",
        endpoint_url=bucket.endpoint,
        region_name=bucket.region or session.region_name or DEFAULT_REGION,
        aws_access_key_id=bucket.access_key,
        aws_secret_access_key=bucket.secret_key,
        config=Config(
            # The older one signs neither lengths nor headers.
            signature_version="s3v4",
            # Few stores are known by a name for each bucket.
            s3={"addressing_style": "path" if bucket.endpoint else "auto"},
            # By itself boto3 adds a CRC to what it sends, which some stores do not know.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            max_pool_connections=CONNECTIONS,
        ),
    )
