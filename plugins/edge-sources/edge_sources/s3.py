"""`S3Connection`: a bucket of Amazon S3 or of another object store with the same API."""

from __future__ import annotations

import base64
import builtins
import hashlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, overload

import edge_vfs
from edge_core.errors import BadEntry, Conflict, Forbidden, NotFound, Unauthenticated
from edge_core.redaction import guard
from edge_sources import s3_keys
from edge_sources.connection import Connection, need, parts_of
from edge_sources.s3_errors import translated
from edge_sources.s3_store import AMAZON, BucketStore

if TYPE_CHECKING:
    import pandas

    from edge_core.session import EdgeSession
    from edge_vfs.filesystem import FolderFileSystem

_AMAZON = re.compile(r"(?:^|\.)s3[.-](?:dualstack\.)?(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$")


class S3File(edge_vfs.File):
    """A file of a bucket, opened for reading."""


class S3Folder(edge_vfs.Folder[S3File]):
    """A folder of a bucket: a prefix of its keys that ends in ``/``.

    A folder exists as long as a key begins with its path and ``/``. Keys that have an empty segment, ``.`` or
    ``..``, such as ``a//b`` and ``/a``, are left out with an `InexactWarning` that counts them, and stay when the
    folder is deleted; `S3Connection.iter_keys` returns and `S3Connection.open` opens any key. A key can be the
    beginning of others: its name then stands for the file, and a folder of the same name is listed beside it.

    Folders are equal if their stores' addresses, buckets and paths are. The pickle of a folder names the
    connector and has no keys: on arrival the session gets the connector again, at the first call.
    """

    _file_class = S3File

    # Stores sort folders by their names with a "/" at the end, which is another order.

    def list(self) -> builtins.list[str]:
        return sorted(super().list(), key=str.encode)

    def list_folders(self) -> builtins.list[str]:
        return sorted(super().list_folders(), key=str.encode)


class S3Connection(Connection):
    """A bucket of an object store.

    Only these arguments decide which store is called and with which credentials: configuration and
    credentials of the AWS command line and instance metadata are ignored. Proxies and CA certificates
    are those of the session.

    Args:
        name: short name.
        title: name for display.
        bucket: the bucket's name.
        endpoint: the store's address, such as ``https://s3.eu-central-1.amazonaws.com`` or
            ``http://minio.example.com:9000``; empty or None for Amazon's.
        access_key: the access key; empty or None for calls without credentials.
        secret_key: the secret key of the access key.
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
        self._bucket_store: BucketStore | None = None

    @property
    def root(self) -> S3Folder:
        """The bucket as a folder, with all methods of `session.files`."""
        return S3Folder(self._store)

    def filesystem(self) -> FolderFileSystem:
        """Return the bucket as a file system of fsspec, for pandas, pyarrow, Dask and others.

        Paths are those of `root`. A pickle of it names the connector and has no keys, as that of a folder.
        """
        from edge_vfs.filesystem import FolderFileSystem

        return FolderFileSystem(self.root)

    def iter_prefixes(self, prefix: str | None = None) -> Iterator[str]:
        """Iterate over the "folders" directly below `prefix`, each ending in ``/``, page after page.

        Args:
            prefix: their common beginning, such as ``"folder2/"``; empty by default.

        Raises:
            NotFound: the bucket does not exist.
            Unauthenticated, Forbidden: the store rejects the credentials.
            ConnectionFailed: the store does not answer.
        """
        for page in self._store.pages(prefix or "", Delimiter="/"):
            for common in page.get("CommonPrefixes", ()):
                yield common["Prefix"]

    def list_prefixes(self, prefix: str | None = None) -> list[str]:
        """Return the prefixes of `iter_prefixes` as a list."""
        return list(self.iter_prefixes(prefix))

    def iter_keys(self, prefix: str | None = None) -> Iterator[str]:
        """Iterate over all keys that begin with `prefix`, page after page; raises like `iter_prefixes`.

        Args:
            prefix: their common beginning; empty by default.
        """
        return self._store.keys(prefix or "")

    def list_keys(self, prefix: str | None = None) -> list[str]:
        """Return the keys of `iter_keys` as a list."""
        return list(self.iter_keys(prefix))

    @overload
    def open(self, key: str, open_with: Literal["file"]) -> S3File: ...
    @overload
    def open(self, key: str, open_with: Literal["pandas"], **options: Any) -> pandas.DataFrame: ...
    @overload
    def open(self, key: str, open_with: str | None = None, **options: Any) -> Any: ...

    def open(self, key: str, open_with: str | None = None, **options: Any) -> Any:
        """Open a key like `Folder.open`: ``conn.open("runs/plate-7.csv")`` is a DataFrame.

        Args:
            key: any key of the bucket, such as one of `list_keys`. A key that does not exist, or ends in ``/`` and
                has no content, opens as an `S3Folder` if it is the path of a folder.
            open_with: name of an opener, or ``"file"`` for the bytes as an `S3File`.
            options: options of the opener, as of `Folder.open`.

        Raises:
            NotFound: neither a key nor a folder has this name.
            BadEntry, MissingPackage, UnreadableContent: as for `Folder.open`.
        """
        if not key:
            raise BadEntry("the key is empty; give one of list_keys")
        entry = self._store.head(key)
        if entry is None or (key.endswith("/") and not entry.size and open_with != "file"):
            path = key.removesuffix("/")
            if folder := self._store.folder(path):
                return self.root._open_at(path, folder, open_with, options)
        if entry is None:
            raise NotFound(
                f"{s3_keys.named(key)} does not exist in the bucket {self.bucket}; list_keys lists what there is"
            )
        return self.root._open_at(key, entry, open_with, options)

    def save(
        self, key: str, value: Any, save_with: str | None = None, *, overwrite: bool = True, **options: Any
    ) -> None:
        """Save a value under a key, as `Folder.save` does: ``conn.save("runs/plate-7.parquet", table)``.

        Args:
            key: the key, whose suffix says the format.
            value: the value.
            save_with: name of an opener.
            overwrite: False refuses to replace an existing object.
            options: options of the format, as of `Folder.save`.
        """
        self.root.save(key, value, save_with, overwrite=overwrite, **options)

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
        """Return a new boto3 client of the store.

        Args:
            connect_timeout: time limit for a connection, in seconds.
            read_timeout: time limit between bytes, in seconds.
            attempts: number of times a call is tried in all.
            region: the region to sign for first; by default that of the endpoint, else ``us-east-1``.
                boto3 finds out which region the store expects.

        Raises:
            MissingPackage: boto3 is not installed.
            BadEntry: the endpoint is not a valid address.
        """
        boto3 = need("a connection to an object store", "s3", "boto3")
        # These loggers write whole requests, and the steps of signing.
        guard("botocore.auth", "botocore.endpoint")
        import botocore.config
        import botocore.exceptions

        parts = parts_of(self.endpoint or AMAZON)
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
            # Stores other than Amazon's often have the same host name for all buckets, and refuse checksums
            # that they do not know.
            s3={"addressing_style": "virtual" if amazon and "." not in self.bucket else "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            client = boto3.session.Session(botocore_session=_bare_session()).client(
                "s3",
                endpoint_url=self.endpoint or None,
                region_name=region,
                aws_access_key_id=self.access_key or None,
                aws_secret_access_key=self.secret_key or None,
                verify=route["verify"] if self._verify is None else self._verify,
                config=config,
            )
        except (ValueError, botocore.exceptions.BotoCoreError):
            raise BadEntry(
                f"the endpoint {self.endpoint!r} is not an address; write it as in https://s3.example.com"
            ) from None
        client.meta.events.register("before-sign.s3.DeleteObjects", _add_md5)
        return client

    def _stored(self) -> StoredBucket:
        """Return the bucket as a pickle carries it: by the connector's name, without keys.

        Raises:
            BadEntry: the connection is not one of the organization's connectors.
        """
        if self._session is None:
            raise BadEntry(
                f"the connection {self.name!r} is not stored in the organization, and a pickle of its folders or files "
                "carries a connector's name and no keys; add it by sources.add, or get it by sources.get"
            )
        return StoredBucket(self._session, self.name, self.bucket, self.endpoint)

    @property
    def _store(self) -> BucketStore:
        if self._bucket_store is None:
            self._bucket_store = BucketStore(self, self._transferred, self._stored)
        return self._bucket_store


class StoredBucket:
    """The bucket of a connector, which is got from the organization at the first call.

    Args:
        session: the session of the organization.
        name: the connector's name.
        bucket: name of the bucket that the connector had.
        endpoint: the store's address that the connector had.
    """

    def __init__(self, session: EdgeSession, name: str, bucket: str, endpoint: str | None) -> None:
        self._session = session
        self._name = name
        self.bucket = bucket
        self.endpoint = endpoint
        self._connection: S3Connection | None = None

    def client(self, *, region: str | None = None) -> Any:
        """Return a new boto3 client of the store; raises like `EdgeData.get`.

        Raises:
            Conflict: the connector leads to another bucket by now.
        """
        return self._connected().client(region=region)

    def report(self, direction: str, path: str, done: int, total: int | None, /, *, finished: bool) -> None:
        """Report the progress of a transfer to the hooks of the session."""
        self._connected()._transferred(direction, path, done, total, finished=finished)

    def itself(self) -> StoredBucket:
        return self

    def _connected(self) -> S3Connection:
        if self._connection is None:
            connection = self._session.sources.get(self._name, kind=S3Connection)
            if (connection.bucket, connection.endpoint or None) != (self.bucket, self.endpoint or None):
                raise Conflict(
                    f"the connector {self._name!r} leads to another bucket than when the folder was pickled; "
                    "get the connector again and open the folder from it"
                )
            self._connection = connection
        return self._connection

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._session, self._name, self.bucket, self.endpoint)


def _bare_session() -> Any:
    """Return a botocore session that ignores the AWS settings of the environment and the home folder."""
    import botocore.session

    session = botocore.session.Session()
    store = session.get_component("config_store")
    for name, (_, _, default, _) in session.SESSION_VARIABLES.items():
        store.set_config_variable(name, None if name in ("config_file", "credentials_file") else default)
    return session


def _add_md5(request: Any, **_: Any) -> None:
    """Add a header that older MinIO and similar stores require for bulk deletes; other stores ignore it."""
    digest = hashlib.md5(request.body, usedforsecurity=False).digest()
    request.headers["Content-MD5"] = base64.b64encode(digest).decode()
