"""What the operator sets: a file `server.toml` in the data folder, which need not be there.

Each section belongs to one part of the server, which says by a schema what can be set in it.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import marshmallow

from edge_server.base.problems import CannotStart, first_error

FILE_NAME = "server.toml"

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|kB|MB|GB|TB|PB|KiB|MiB|GiB|TiB|PiB)?")

_UNITS = {
    "B": 1,
    **{name: 1000**power for power, name in enumerate(("kB", "MB", "GB", "TB", "PB"), 1)},
    **{name: 1024**power for power, name in enumerate(("KiB", "MiB", "GiB", "TiB", "PiB"), 1)},
}


class Size(marshmallow.fields.Integer):
    """Bytes, stated as a number or as text such as ``"50 GB"``."""

    def _deserialize(self, value: Any, attr: str | None, *_: Any, **__: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise marshmallow.ValidationError(
                'this is no size; write a number of bytes, or text such as "50 GB" or "1.5 TiB"'
            )
        size: float = float(match[1]) * _UNITS[match[2] or "B"]
        return round(size)


class Configuration:
    """The operator's settings.

    Args:
        path: the file.

    Raises:
        CannotStart: it cannot be read, or is not TOML.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._settable: dict[str, list[str]] = {}
        try:
            with open(path, "rb") as file:
                # Editors of Windows begin UTF-8 text with a byte order mark.
                self._sections = tomllib.loads(file.read().decode("utf-8-sig"))
        except FileNotFoundError:
            self._sections = {}
        except OSError as error:
            raise CannotStart(f"{path} cannot be read ({error.strerror}); make it readable") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CannotStart(f"{path} is not TOML ({error}); correct it") from None

    def section(self, name: str, schema: marshmallow.Schema) -> Any:
        """What is set in a section.

        Args:
            name: the section's.
            schema: what can be set in it; it is loaded with an empty section where there is none.

        Raises:
            CannotStart: something in it is not known or not valid.
        """
        self._settable[name] = list(schema.fields)
        section = self._sections.get(name, {})
        if not isinstance(section, dict):
            raise CannotStart(f"{self._path}: {name} is no section; write [{name}]")
        unknown = [f"{name}.{key}" for key in section if key not in schema.fields]
        if unknown:
            raise self._unknown(unknown[0])
        try:
            return schema.load(section)
        except marshmallow.ValidationError as error:
            raise CannotStart(f"{self._path}: {name}.{first_error(error)}") from None

    def require_known(self) -> None:
        """See that there is no section but those that were asked for.

        Raises:
            CannotStart: there is one.
        """
        for name in self._sections:
            if name not in self._settable:
                raise self._unknown(name)

    def _unknown(self, name: str) -> CannotStart:
        settable = "; ".join(f"{', '.join(keys)} in [{section}]" for section, keys in sorted(self._settable.items()))
        return CannotStart(
            f"{self._path}: there is no setting {name}; remove it (what can be set is {settable or 'nothing'})"
        )
