"""`S3Connection`: a bucket of Amazon S3, or of any store that speaks its protocol."""

from __future__ import annotations

import base64
import builtins
import hashlib
import re
from collections.abc import Iterator
from typing import Any, ClassVar

import edge_vfs
from edge_core.errors import BadEntry, Forbidden, Unauthenticated
from edge_core.redaction import guard
from edge_sources.connection import Connection, need, parts_of
from edge_sources.s3_errors import translated
from edge_sources.s3_store import BucketStore

_AMAZON = re.compile(r"(?:^|\.)s3[.-](?:dualstack\.)?(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$")


class S3File(edge_vfs.File):
    """A file of a bucket, opened for reading."""


class S3Folder(edge_vfs.Folder):
    """A folder of a bucket: what its keys have in common up to a ``/``.

    A folder is there as long as a key begins with its path and ``/``. Keys that are no paths, such
    as ``a//b``, are left out; `S3Connection.iter_keys` gives them all.
    """

    _file_class: ClassVar[type[edge_vfs.File]] = S3File

    # A store lists folders with the "/" that their names end in, which is another order.

    def list(self) -> builtins.list[str]:
        return sorted(super().list(), key=str.encode)

    def list_folders(self) -> builtins.list[str]:
        return sorted(super().list_folders(), key=str.encode)


class S3Connection(Connection):
    """A bucket of an object store.

    Nothing but these arguments decides where a call goes and who makes it: no configuration or
    credentials of the AWS command line, no instance metadata. Proxies and CA certificates are those of
    the session.

    Args:
        name: short name.
        title: name for display.
        bucket: the bucket's name.
        endpoint: the store's address, such as ``https://s3.eu-central-1.amazonaws.com`` or
            ``http://minio.example.com:9000``; empty or None for Amazon's.
        access_key: the access key; empty or None to ask without credentials.
        secret_key: its secret.
        _verify: False accepts any certificate; a path names a file of CA certificates.
    """

    kind = "s3"
    plugin_api = 1
    fields = ("bucket", "endpoint", "_verify")
    secret_fields = ("access_key", "secret_key")

    def __init__(
        self,
        name: str,
        title: str,
        bucket: str,
        endpoint: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        _verify: bool | str | None = None,
    ) -> None:
        super().__init__(name, title)
        if not isinstance(bucket, str) or not bucket:
            raise BadEntry(f"bucket must be the name of a bucket, not {bucket!r}")
        if endpoint and "://" not in endpoint:
            endpoint = f"https://{endpoint}"
        self.bucket = bucket
        self.endpoint = endpoint
        self.access_key = access_key
        self.secret_key = secret_key
        self._verify = _verify
        self._store: BucketStore | None = None

    @property
    def root(self) -> S3Folder:
        """The bucket as a folder, with all that `session.files` can do."""
        if self._store is None:
            self._store = BucketStore(self)
        return S3Folder(self._store)

    def iter_prefixes(self, prefix: str | None = None) -> Iterator[str]:
        """The "folders" directly below `prefix`, each ending in ``/``, page after page.

        Args:
            prefix: what they begin with, such as ``"folder2/"``; empty by default.

        Raises:
            NotFound: there is no such bucket.
        """
        for page in self._pages(prefix, Delimiter="/"):
            for one in page.get("CommonPrefixes", ()):
                yield one["Prefix"]

    def list_prefixes(self, prefix: str | None = None) -> list[str]:
        """The same as `iter_prefixes`, as a list."""
        return list(self.iter_prefixes(prefix))

    def iter_keys(self, prefix: str | None = None) -> Iterator[str]:
        """All keys that begin with `prefix`, page after page: the first come after one request.

        Raises:
            NotFound: there is no such bucket.
        """
        for page in self._pages(prefix):
            for one in page.get("Contents", ()):
                yield one["Key"]

    def list_keys(self, prefix: str | None = None) -> list[str]:
        """The same as `iter_keys`, as a list."""
        return list(self.iter_keys(prefix))

    def open(self, key: str, open_with: str | None = None) -> Any:
        """Open a key, as `Folder.open` does: ``conn.open("runs/plate-7.csv")`` is a DataFrame."""
        return self.root.open(key, open_with)

    def check(self, timeout: float) -> None:
        client = self.client(connect_timeout=timeout, read_timeout=timeout, attempts=1)
        try:
            with translated(f"the bucket {self.bucket}"):
                client.list_objects_v2(Bucket=self.bucket, MaxKeys=1)
        except Forbidden as error:
            raise Unauthenticated(str(error)) from None
        finally:
            client.close()

    def client(
        self,
        *,
        connect_timeout: float = 5,
        read_timeout: float = 60,
        attempts: int = 3,
        region: str | None = None,
    ) -> Any:
        """A new boto3 client of the store.

        Args:
            connect_timeout: seconds until a connection must stand.
            read_timeout: seconds between bytes.
            attempts: how often a call is tried in all.
            region: the region to sign for first; by default what the endpoint says, else ``us-east-1``.
                boto3 finds out which one the store wants.

        Raises:
            MissingPackage: boto3 is not installed.
            BadEntry: the endpoint is no address.
        """
        boto3 = need("a connection to an object store", "s3", "boto3")
        # They write whole requests, and each step of signing one.
        guard("botocore.auth", "botocore.endpoint")
        import botocore.config
        import botocore.exceptions

        parts = parts_of(self.endpoint or "https://s3.us-east-1.amazonaws.com")
        amazon = _AMAZON.search(parts.hostname or "")
        region = region or (amazon["region"] if amazon else "us-east-1")
        route = self.route(parts.geturl())
        config = botocore.config.Config(
            signature_version="s3v4" if self.access_key else botocore.UNSIGNED,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            retries={"mode": "standard", "total_max_attempts": attempts},
            max_pool_connections=32,
            proxies=route["proxies"],
            user_agent_extra="edge-sources",
            # Stores that are not Amazon's often have one host name for all buckets, and refuse checksums
            # they do not know.
            s3={"addressing_style": "virtual" if amazon and "." not in self.bucket else "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            made = boto3.session.Session(botocore_session=_bare_session()).client(
                "s3",
                endpoint_url=self.endpoint or None,
                region_name=region,
                aws_access_key_id=self.access_key or None,
                aws_secret_access_key=self.secret_key or None,
                verify=route["verify"] if self._verify is None else self._verify,
                config=config,
            )
        except (ValueError, botocore.exceptions.BotoCoreError):
            raise BadEntry(f"no store can be at {self.endpoint!r}; write it as in https://s3.example.com") from None
        made.meta.events.register("before-sign.s3.DeleteObjects", _add_md5)
        return made

    def _pages(self, prefix: str | None, **options: Any) -> Iterator[dict[str, Any]]:
        pages = iter(
            self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix or "", **options)
        )
        while True:
            with translated(f"the bucket {self.bucket}"):
                page = next(pages, None)
            if page is None:
                return
            yield page

    @property
    def _client(self) -> Any:
        if self._store is None:
            self._store = BucketStore(self)
        return self._store.client


def _bare_session() -> Any:
    """botocore's session, deaf to the environment's and the home folder's AWS settings."""
    import botocore.configprovider
    import botocore.session

    session = botocore.session.Session()
    store = session.get_component("config_store")
    for name, (_, _, default, _) in botocore.configprovider.BOTOCORE_DEFAUT_SESSION_VARIABLES.items():
        store.set_config_variable(name, None if name in ("config_file", "credentials_file") else default)
    return session


def _add_md5(request: Any, **_: Any) -> None:
    """Deleting in bulk needs this header on stores of MinIO's older kind; others pass over it."""
    digest = hashlib.md5(request.body, usedforsecurity=False).digest()
    request.headers["Content-MD5"] = base64.b64encode(digest).decode()
