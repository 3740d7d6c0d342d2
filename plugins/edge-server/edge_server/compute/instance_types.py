"""The operator's catalogue of instance types: what machines there are to be had.

`instance_types.toml` in the data folder; without it the one that comes with the server, which has
figures of a public cloud. It is read again when it has changed.

    ["t3.small"]
    cpu = 2
    memory = 2
"""

from __future__ import annotations

import decimal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import marshmallow
from marshmallow.validate import Range

from edge_compute.names import is_profile_id
from edge_compute.wire import InstanceType
from edge_server.base.operator_files import BadOperatorFile, Entries, Number, OperatorFile, Table, Text
from edge_server.base.problems import Refusal

FILE_NAME = "instance_types.toml"

SHIPPED = Path(__file__).with_name(FILE_NAME)

LARGEST = 1_000_000
"""Processors or GB of one machine."""

InstanceTypes = Mapping[str, InstanceType]
"""By their names, and in the order of them."""

Catalogue = OperatorFile[InstanceTypes]
"""The catalogue, as it is now."""

_some = Range(0, LARGEST, min_inclusive=False, error="write it as a number above 0, of a machine that there can be")
_some_or_none = Range(0, LARGEST, error="write it as a number, of a machine that there can be")


def _whole(number: decimal.Decimal) -> None:
    if number != int(number):
        raise marshmallow.ValidationError("write it as a whole number")


class _InstanceTypeTable(marshmallow.Schema):
    """What the catalogue states of an instance type."""

    error_messages = {
        "unknown": "it is unknown here; an instance type has cpu, memory, gpu, gpu_name, gpu_memory and title"
    }

    cpu = Number(required=True, validate=_some)
    memory = Number(required=True, validate=_some)
    gpu = Number(validate=[_some_or_none, _whole])
    gpu_memory = Number(validate=_some_or_none)
    gpu_name = Text()
    title = Text()


def _name(name: str) -> None:
    if not is_profile_id(name):
        raise marshmallow.ValidationError("it is no name; use letters, digits, dots, hyphens and underscores")


_ENTRIES = Entries(Table(_InstanceTypeTable()), names=_name)


class CatalogueSchema(marshmallow.Schema):
    """What an operator writes into `instance_types.toml`: a table for each instance type."""

    class Meta:
        unknown = marshmallow.INCLUDE

    # The original, as marshmallow does not keep the order of the names.
    @marshmallow.post_load(pass_original=True)
    def _instance_types(self, _loaded: object, original: dict[str, Any], **_: Any) -> InstanceTypes:
        return {name: _instance_type(name, table) for name, table in sorted(_ENTRIES.deserialize(original).items())}


def _instance_type(name: str, table: dict[str, Any]) -> InstanceType:
    return InstanceType(
        instance_name=name,
        cpu=float(table["cpu"]),
        gpu=int(table.get("gpu", 0)),
        memory=float(table["memory"]),
        gpu_name=table.get("gpu_name"),
        gpu_memory=float(table["gpu_memory"]) if "gpu_memory" in table else None,
        title=table.get("title"),
    )


def offered(catalogue: Catalogue) -> InstanceTypes:
    """The instance types there are, for an answer.

    Raises:
        Refusal: the file cannot be used.
    """
    try:
        return catalogue.read()
    except BadOperatorFile as error:
        raise Refusal(
            500, "bad_instance_types", f"there are no instance types, as the server's catalogue is wrong: {error}"
        ) from None
