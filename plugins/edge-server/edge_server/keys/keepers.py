"""Who keeps the key of what is sealed, as the operator sets it under [secrets]: a file, or OpenBao or Vault.

Each blob says who has sealed it, so that while a server has both, everything opens, whoever seals.
"""

from __future__ import annotations

import dataclasses
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import marshmallow
from marshmallow import fields, validate

from edge_server.base.configuration import Configuration, Origin, Secret
from edge_server.base.problems import CannotStart
from edge_server.keys import sealing
from edge_server.keys.sealing import FileSealer, KeyFile, Place, Prepared, unopened

if TYPE_CHECKING:
    from edge_server.keys.transit import TransitSealer

SECTION = "secrets"

FILE, TRANSIT = "file", "transit"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PATH = re.compile(rf"{_NAME.pattern}(/{_NAME.pattern})*")


class Address(Origin):
    """The address of OpenBao or Vault."""

    default_error_messages = {"invalid": 'write the address of the server, such as "https://bao.example.com:8200"'}


class SecretsSettings(marshmallow.Schema):
    """What the operator can set under [secrets]."""

    keeper = fields.String(
        load_default=FILE,
        validate=validate.OneOf([FILE, TRANSIT], error='write "file" or "transit"'),
        error_messages={"invalid": 'write "file" or "transit"'},
    )
    address = Address(load_default=None)
    key = fields.String(
        load_default=None, validate=validate.Regexp(rf"{_NAME.pattern}\Z", error="this is no name of a key")
    )
    mount = fields.String(
        load_default=None, validate=validate.Regexp(rf"{_PATH.pattern}\Z", error="this is no path of an engine")
    )
    role_id = fields.String(load_default=None, validate=validate.Length(min=1, error="write the id of an AppRole"))
    secret_id = Secret(load_default=None, validate=validate.Length(min=1, error="write a secret id of the AppRole"))
    token_file = fields.String(
        load_default=None, error_messages={"invalid": 'write the path of a file, such as "/run/edge/bao-token"'}
    )
    ca = fields.String(
        load_default=None, error_messages={"invalid": 'write the path of a file, such as "/etc/edge/bao-ca.pem"'}
    )


@dataclasses.dataclass(frozen=True)
class Keepers:
    """The sealer of a server: one keeper seals, and each opens what it has sealed.

    Attributes:
        keeper: the one that seals, `FILE` or `TRANSIT`.
        file: the key file, which need not be there where it seals nothing.
        transit: the transit engine; None where none is set.
    """

    keeper: str
    file: KeyFile
    transit: TransitSealer | None = None

    def prepare(self, content: bytes, *, organization: str, owner: str, name: str) -> Prepared:
        """Seal `content` by the keeper that seals; see `Sealer`."""
        place = Place(organization=organization, owner=owner, name=name)
        if self.keeper == TRANSIT and self.transit is not None:
            return self.transit.prepare(content, **place)
        return FileSealer(self.file).prepare(content, **place)

    def open(self, blob: bytes, *, organization: str, owner: str, name: str) -> bytes:
        """The content of a blob, by the keeper that has sealed it; see `Sealer`."""
        place = Place(organization=organization, owner=owner, name=name)
        if blob.startswith(sealing.FORMAT):
            return FileSealer(self.file).open(blob, **place)
        if self.transit is None:
            raise unopened("the key file has not sealed it, and no other keeper is set in [secrets]", place)
        return self.transit.open(blob, **place)


def keepers_of(settings: Configuration, keys: Path) -> Keepers:
    """The sealer of a server; nothing is read or asked yet.

    Args:
        settings: the operator's.
        keys: the folder of its keys.

    Raises:
        CannotStart: the settings cannot be used, or hvac is not installed, which a transit engine needs.
    """
    section: dict[str, Any] = settings.section(SECTION, SecretsSettings())
    file = KeyFile(keys / sealing.FILE_NAME)
    if all(value is None for name, value in section.items() if name != "keeper"):
        if section["keeper"] == TRANSIT:
            raise CannotStart('[secrets] keeper is "transit", and no address is set; set it, with key and role_id')
        return Keepers(FILE, file)
    for name in ("address", "key"):
        if section[name] is None:
            raise CannotStart(f"[secrets] {name} is missing, which a transit engine needs; set it")
    if (section["role_id"] is None) != (section["secret_id"] is None):
        raise CannotStart("[secrets] role_id and secret_id belong together, and one is set; set both or neither")
    if (section["role_id"] is None) == (section["token_file"] is None):
        raise CannotStart("[secrets] the server needs a way in; set role_id and secret_id, or token_file, and not both")
    try:
        from edge_server.keys.transit import Engine, TransitSealer
    except ImportError:
        raise CannotStart(
            "hvac is not installed, which [secrets] address needs; run: python -m pip install hvac"
        ) from None
    folder = settings.path.parent
    engine = Engine(
        section["address"],
        section["key"],
        section["mount"] or TRANSIT,
        section["role_id"],
        section["secret_id"],
        None if section["token_file"] is None else folder / section["token_file"],
        None if section["ca"] is None else _certificates(folder / section["ca"]),
    )
    return Keepers(section["keeper"], file, TransitSealer(engine))


def _certificates(path: Path) -> Path:
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise CannotStart(
            f"[secrets] ca: {path} holds no certificates; write those of the CA into it, as PEM"
        ) from None
    except OSError as error:
        raise CannotStart(f"[secrets] ca: {path} cannot be read ({error.strerror}); make it readable") from None
    return path
