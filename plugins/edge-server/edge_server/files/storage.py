"""Where content is kept, as the operator sets it under [storage]: in the data folder, or in a bucket."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import marshmallow
from marshmallow import fields, validate

from edge_server.base.configuration import Configuration, Origin, Secret, Size
from edge_server.base.problems import CannotStart
from edge_server.data.store import FolderStore, Store

SECTION = "storage"

FOLDER, S3 = "folder", "s3"

INCOMING = "incoming"
"""The folder in the data folder of what is on its way to a bucket."""


class Endpoint(Origin):
    """The address of an S3-compatible store."""

    default_error_messages = {"invalid": 'write the address of the store, such as "https://s3.example.com"'}


class StorageSettings(marshmallow.Schema):
    """What the operator can set under [storage]."""

    kind = fields.String(
        load_default=FOLDER,
        validate=validate.OneOf([FOLDER, S3], error='write "folder" or "s3"'),
        error_messages={"invalid": 'write "folder" or "s3"'},
    )
    directory = fields.String(
        load_default="", error_messages={"invalid": 'write the path of a directory, such as "/mnt/edge"'}
    )
    endpoint = Endpoint(load_default=None)
    public_endpoint = Endpoint(load_default=None)
    bucket = fields.String(
        load_default=None,
        validate=validate.Regexp("[a-zA-Z0-9][a-zA-Z0-9._-]{1,253}[a-zA-Z0-9]$", error="this is no name of a bucket"),
    )
    prefix = fields.String(
        load_default=None,
        validate=validate.Regexp(
            "(?!(content|owner|subsystems)$)[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$",
            error='write a name of letters, digits, dots and hyphens, such as "lab", that is none of the server\'s own',
        ),
    )
    region = fields.String(load_default=None)
    access_key = fields.String(load_default=None)
    secret_key = Secret(load_default=None)
    direct = fields.Boolean(load_default=True)
    quota = Size()
    deleted = Size()


OF_A_BUCKET = ("endpoint", "public_endpoint", "bucket", "prefix", "region", "access_key", "secret_key")


def directory_of(settings: Configuration) -> Path | None:
    """The folder of content that is apart from the data folder; a relative one begins at the settings' file.

    Raises:
        CannotStart: the settings cannot be used.
    """
    directory: str = settings.section(SECTION, StorageSettings())["directory"]
    return settings.path.parent / directory if directory else None


def is_in_data_folder(settings: Configuration) -> bool:
    """Whether content lies in the data folder itself, which one server at a time uses.

    Raises:
        CannotStart: the settings cannot be used.
    """
    section: dict[str, Any] = settings.section(SECTION, StorageSettings())
    return section["kind"] == FOLDER and not section["directory"]


def store_of(settings: Configuration, data: Path) -> Store:
    """The store of content of the server with the data folder `data`; nothing is made or asked yet.

    Args:
        settings: the operator's.
        data: the data folder, where content is unless they say otherwise.

    Raises:
        CannotStart: the settings cannot be used, or boto3 is not installed, which a bucket needs.
    """
    section: dict[str, Any] = settings.section(SECTION, StorageSettings())
    present = [name for name in OF_A_BUCKET if section[name] is not None]
    if section["kind"] == FOLDER:
        if present:
            raise CannotStart(f'[storage] {present[0]} is set, which a folder has not; set kind to "s3", or remove it')
        return FolderStore(directory_of(settings) or data)
    if section["directory"]:
        raise CannotStart('[storage] directory is set, which a bucket has not; set kind to "folder", or remove it')
    if section["bucket"] is None:
        raise CannotStart('[storage] kind is "s3", and no bucket is set; name it, as in bucket = "edge"')
    if (section["access_key"] is None) != (section["secret_key"] is None):
        raise CannotStart("[storage] access_key and secret_key belong together, and one is set; set both or neither")
    try:
        from edge_server.data.s3_bucket import Bucket
        from edge_server.data.s3_store import S3Store
    except ImportError:
        raise CannotStart(
            'boto3 is not installed, which [storage] kind "s3" needs; run: python -m pip install boto3'
        ) from None
    bucket = Bucket(section["bucket"], *(section[name] for name in ("endpoint", "region", "access_key", "secret_key")))
    public = dataclasses.replace(bucket, endpoint=section["public_endpoint"] or bucket.endpoint)
    prefix = f"{section['prefix']}/" if section["prefix"] else ""
    return S3Store(bucket, data / INCOMING, prefix, public=public if section["direct"] else None)
