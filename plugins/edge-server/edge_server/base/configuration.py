"""What the operator sets: a file `server.toml` in the data folder, which need not be there."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

FILE_NAME = "server.toml"

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|kB|MB|GB|TB|PB|KiB|MiB|GiB|TiB|PiB)?")

_UNITS = {
    "B": 1,
    **{name: 1000**power for power, name in enumerate(("kB", "MB", "GB", "TB", "PB"), 1)},
    **{name: 1024**power for power, name in enumerate(("KiB", "MiB", "GiB", "TiB", "PiB"), 1)},
}


class BadConfiguration(Exception):
    """The file cannot be used; the message is one sentence for the operator."""


@dataclasses.dataclass(frozen=True)
class Configuration:
    """The settings.

    Attributes:
        quota: bytes that an organization may hold, unless it has a quota of its own; None for no limit.
    """

    quota: int | None = None


def read(data: Path) -> Configuration:
    """The configuration in the data folder `data`; the defaults where there is none.

    Raises:
        BadConfiguration: it cannot be read, or something in it is not known or not valid.
    """
    path = data / FILE_NAME
    try:
        with open(path, "rb") as file:
            given = tomllib.load(file)
    except FileNotFoundError:
        return Configuration()
    except OSError as error:
        raise BadConfiguration(f"{path} cannot be read ({error.strerror}); mend it") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"{path} is not TOML ({error}); correct it") from None
    storage = given.pop("storage", {})
    if not isinstance(storage, dict):
        raise BadConfiguration(f"{path}: storage is no section; write [storage]")
    quota = storage.pop("quota", None)
    unknown = [*given, *(f"storage.{name}" for name in storage)]
    if unknown:
        raise BadConfiguration(
            f"{path}: there is no setting {unknown[0]}; remove it (what can be set is quota in [storage])"
        )
    return Configuration(None if quota is None else _size(path, "storage.quota", quota))


def _size(path: Path, name: str, value: Any) -> int:
    """Bytes from a number, or from text such as ``"50 GB"``."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise BadConfiguration(
            f'{path}: {name} is no size; write a number of bytes, or text such as "50 GB" or "1.5 TiB"'
        )
    size: float = float(found[1]) * _UNITS[found[2] or "B"]
    return round(size)
