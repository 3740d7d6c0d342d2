"""The operator's catalogue of instance types: what machines there are to be had.

`instance_types.toml` in the data folder; without it the one that comes with the server, which has
figures of a public cloud. It is read again when it has changed.

    ["t3.small"]
    cpu = 2
    memory = 2
"""

from __future__ import annotations

import re
import threading
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_compute.names import INSTANCE_NAME
from edge_compute.wire import InstanceType
from edge_server.base.problems import Refusal

FILE_NAME = "instance_types.toml"

SHIPPED = Path(__file__).with_name(FILE_NAME)

LARGEST = 1_000_000
"""Processors or GB of one machine."""

_TEXTS = ("gpu_name", "title")
_NUMBERS = ("cpu", "memory", "gpu_memory")


class BadInstanceTypes(Exception):
    """The catalogue cannot be used; the message is one sentence for the operator."""


class InstanceTypeFile:
    """The catalogue, as it is now.

    Args:
        path: the operator's file, which need not be there; None where there is none.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: tuple[Path, int, int, int] | None = None
        self._found: Mapping[str, InstanceType] = {}

    def read(self) -> Mapping[str, InstanceType]:
        """The instance types by name, in the order of their names.

        Raises:
            BadInstanceTypes: the file cannot be used.
        """
        with self._lock:
            path = SHIPPED if self._path is None or not self._path.exists() else self._path
            try:
                stat = path.stat()
                seen = (path, stat.st_mtime_ns, stat.st_size, stat.st_ino)
                if seen != self._seen:
                    self._found = parse(path.read_bytes())
                    self._seen = seen
            except OSError as error:
                raise BadInstanceTypes(f"{FILE_NAME} cannot be read ({error.strerror}); make it readable") from None
            return self._found

    def require(self) -> Mapping[str, InstanceType]:
        """The same for an answer.

        Raises:
            Refusal: the file cannot be used.
        """
        try:
            return self.read()
        except BadInstanceTypes as error:
            raise Refusal(
                500, "bad_instance_types", f"there are no instance types, as the server's catalogue is wrong: {error}"
            ) from None


def parse(content: bytes) -> Mapping[str, InstanceType]:
    """The instance types that a file's content states.

    Raises:
        BadInstanceTypes: it states what cannot be.
    """
    try:
        stated = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInstanceTypes(f"{FILE_NAME} is not TOML ({error}); correct it") from None
    return {name: _instance_type(name, stated[name]) for name in sorted(stated)}


def _instance_type(name: str, entry: Any) -> InstanceType:
    if not re.fullmatch(INSTANCE_NAME, name):
        raise _bad(name, "it is no name; use letters, digits, dots, hyphens and underscores")
    if not isinstance(entry, dict):
        raise _bad(name, f'write it as a table ["{name}"] with cpu and memory')
    unknown = sorted(set(entry) - {"gpu", *_NUMBERS, *_TEXTS})
    if unknown:
        raise _bad(f"{name}.{unknown[0]}", f"there is no such entry; there are gpu, {', '.join((*_NUMBERS, *_TEXTS))}")
    for text in _TEXTS:
        if not isinstance(entry.get(text, ""), str):
            raise _bad(f"{name}.{text}", "write it as text")
    gpu = entry.get("gpu", 0)
    if not _is_number(gpu) or gpu != int(gpu):
        raise _bad(f"{name}.gpu", "state how many graphics processors it has, as a whole number")
    for number in ("cpu", "memory"):
        if not _is_number(entry.get(number)) or entry[number] == 0:
            raise _bad(f"{name}.{number}", "state it as a number above 0")
    if "gpu_memory" in entry and not _is_number(entry["gpu_memory"]):
        raise _bad(f"{name}.gpu_memory", "state it as a number of GB")
    return InstanceType(
        instance_name=name,
        cpu=float(entry["cpu"]),
        gpu=int(gpu),
        memory=float(entry["memory"]),
        gpu_name=entry.get("gpu_name"),
        gpu_memory=float(entry["gpu_memory"]) if "gpu_memory" in entry else None,
        title=entry.get("title"),
    )


def _is_number(stated: Any) -> bool:
    return isinstance(stated, (int, float)) and not isinstance(stated, bool) and 0 <= stated <= LARGEST


def _bad(where: str, said: str) -> BadInstanceTypes:
    return BadInstanceTypes(f"{FILE_NAME}: {where}: {said}")
