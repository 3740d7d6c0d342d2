"""What the operator sets: in `server.toml` in the data folder, or the file that `--config` names, and the environment.

Each section belongs to one part of the server, which says by a schema what can be set in it. The variable
``EDGE_SERVER_SECTION_KEY`` sets the same as ``key`` in ``[section]``, and counts before the file. A secret can stand
in a file of its own, which ``key_file`` or ``EDGE_SERVER_SECTION_KEY_FILE`` names. No error shows one.
"""

from __future__ import annotations

import dataclasses
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import marshmallow

from edge_server.base.problems import CannotStart, first_error

FILE_NAME = "server.toml"

PREFIX = "EDGE_SERVER_"
"""What the variables of the environment begin with that set something."""

PATH_VARIABLE = f"{PREFIX}CONFIG"
"""The variable that names the file as `--config` does."""

IN_A_FILE = "_file"
"""What is put behind the key of a secret to name the file that holds it."""

# Kubernetes sets these in every container beside a service that is called edge-server.
_OF_A_SERVICE = re.compile(rf"{PREFIX}(SERVICE_(HOST|PORT\w*)|PORT(_\d+_\w+)?)")

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


class Origin(marshmallow.fields.String):
    """The address of a server, such as ``"https://s3.example.com"``: no path, and no password."""

    def _deserialize(self, value: Any, *rest: Any, **options: Any) -> str:
        text: str = super()._deserialize(value, *rest, **options).rstrip("/")
        try:
            parts = urlsplit(text)
            is_origin = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            raise self.make_error("invalid") from None
        if not is_origin or parts.username is not None or parts.path or parts.query or parts.fragment:
            raise self.make_error("invalid")
        return text


class Secret(marshmallow.fields.String):
    """A text that nothing shows."""

    def is_secret(self, value: object) -> bool:
        """Whether a value has to be kept from others; False where it holds nothing that matters."""
        return bool(value)


@dataclasses.dataclass(frozen=True)
class _Entry:
    """What was set for one key.

    Attributes:
        where: what an error names.
        value: as it was set.
    """

    where: str
    value: Any = dataclasses.field(repr=False)


class Configuration:
    """The operator's settings.

    Args:
        path: the file.
        environment: the variables, which count before the file.
        required: whether the file has to be there.

    Raises:
        CannotStart: it cannot be read, or is not TOML.
    """

    def __init__(self, path: Path, environment: Mapping[str, str] | None = None, *, required: bool = False) -> None:
        self.path = path
        self._settable: dict[str, list[str]] = {}
        # A variable that is empty is one that a template has left out.
        self._environment = {
            name: value for name, value in (environment or {}).items() if name.startswith(PREFIX) and value
        }
        self._known_variables = {PATH_VARIABLE}
        self._is_open = False
        try:
            with open(path, "rb") as file:
                self._is_open = _others_can_read(file.fileno())
                # Editors of Windows begin UTF-8 text with a byte order mark.
                self._sections = tomllib.loads(file.read().decode("utf-8-sig"))
        except FileNotFoundError:
            if required:
                raise CannotStart(f"there is no file {path}; write it, or name another with --config") from None
            self._sections = {}
        except OSError as error:
            raise CannotStart(f"{path} cannot be read ({error.strerror}); make it readable") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            why = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error
            raise CannotStart(f"{path} is not TOML ({why}); correct it") from None

    def section(self, name: str, schema: marshmallow.Schema) -> Any:
        """What is set in a section.

        Args:
            name: the section's.
            schema: what can be set in it; it is loaded with an empty section where there is none.

        Raises:
            CannotStart: something in it is not known or not valid, or holds a secret that others can read.
        """
        secrets = [key for key, field in schema.fields.items() if isinstance(field, Secret)]
        self._settable[name] = [*schema.fields, *(f"{key}{IN_A_FILE}" for key in secrets)]
        self._known_variables |= {_variable(name, key) for key in self._settable[name]}
        section = self._sections.get(name, {})
        if not isinstance(section, dict):
            raise CannotStart(f"{self.path}: {name} is no section; write [{name}]")
        unknown = [f"{name}.{key}" for key in section if key not in self._settable[name]]
        if unknown:
            raise self._unknown(str(self.path), unknown[0], "remove")
        entries = {}
        for key, field in schema.fields.items():
            entry = self._in_environment(name, key, field) or self._in_file(name, key, field, section)
            if entry is not None:
                entries[key] = entry
        try:
            return schema.load({key: entry.value for key, entry in entries.items()})
        except marshmallow.ValidationError as error:
            key, _, what = first_error(error).partition(": ")
            key, _, place = key.partition(".")
            where = entries[key].where if key in entries else f"{self.path}: {name}.{key}"
            raise CannotStart(f"{where}{place and f'.{place}'}: {what}") from None

    def require_known(self) -> None:
        """See that there is no section, and no variable, but those that were asked for.

        Raises:
            CannotStart: there is one.
        """
        for name in self._sections:
            if name not in self._settable:
                raise self._unknown(str(self.path), name, "remove")
        for variable in self._environment:
            if variable not in self._known_variables and not _OF_A_SERVICE.fullmatch(variable):
                raise self._unknown("the environment", variable, "unset")

    def _in_environment(self, section: str, key: str, field: marshmallow.fields.Field[Any]) -> _Entry | None:
        variable, file_variable = _variable(section, key), _variable(section, f"{key}{IN_A_FILE}")
        text = self._environment.get(variable)
        path = self._environment.get(file_variable) if isinstance(field, Secret) else None
        if path is not None:
            _refuse_both(text, variable, file_variable)
            return _Entry(file_variable, read_secret(self.path.parent / path, file_variable))
        return None if text is None else _Entry(variable, _typed(field, text))

    def _in_file(
        self, name: str, key: str, field: marshmallow.fields.Field[Any], section: dict[str, Any]
    ) -> _Entry | None:
        where = f"{self.path}: {name}.{key}"
        file_key = f"{key}{IN_A_FILE}"
        if isinstance(field, Secret) and file_key in section:
            _refuse_both(section.get(key), where, file_key)
            path = section[file_key]
            if not isinstance(path, str):
                raise CannotStart(f"{where}{IN_A_FILE}: write the path of a file in quotes")
            return _Entry(where, read_secret(self.path.parent / path, f"{where}{IN_A_FILE}"))
        if key not in section:
            return None
        if isinstance(field, Secret) and field.is_secret(section[key]) and self._is_open:
            raise CannotStart(
                f"other users can read {self.path}, which holds a secret ({name}.{key}); run `chmod 600` on it, "
                "and change the secret if one of them may have read it"
            )
        return _Entry(where, section[key])

    def _unknown(self, where: str, name: str, verb: str) -> CannotStart:
        settable = "; ".join(f"{', '.join(keys)} in [{section}]" for section, keys in sorted(self._settable.items()))
        return CannotStart(
            f"{where}: there is no setting {name}; {verb} it (what can be set is {settable or 'nothing'})"
        )


def of_server(data: Path, path: Path | None = None) -> Configuration:
    """The settings of the server with the data folder `data`, of the file and of this process's environment.

    Args:
        data: the data folder.
        path: the file; by default that of the data folder, which need not be there.

    Raises:
        CannotStart: the file cannot be read, or is not TOML.
    """
    return Configuration(path or data / FILE_NAME, os.environ, required=path is not None)


def _variable(section: str, key: str) -> str:
    """The variable that sets `key` in `section`."""
    return f"{PREFIX}{section}_{key}".upper().replace("-", "_")


def _typed(field: marshmallow.fields.Field[Any], text: str) -> Any:
    """What a variable's text is in TOML: the texts of a list have commas between, numbers and switches no quotes."""
    if isinstance(field, marshmallow.fields.List):
        return [part.strip() for part in text.split(",") if part.strip()]
    if isinstance(field, marshmallow.fields.Number | marshmallow.fields.Boolean):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            pass  # such as a size with its unit, or what the schema refuses
    return text


def _refuse_both(value: object, where: str, file_key: str) -> None:
    if value is not None:
        raise CannotStart(f"{where} is set, and {file_key} as well; remove one of them")


def read_secret(path: Path, where: str) -> str:
    """The secret in a file, without the line's end behind it."""
    try:
        with open(path, "rb") as file:
            if _others_can_read(file.fileno()):
                raise CannotStart(
                    f"{where}: other users can read {path}; run `chmod 600` on it, "
                    "and change the secret if one of them may have read it"
                )
            secret = file.read().decode("utf-8-sig").rstrip("\r\n")
    except OSError as error:
        raise CannotStart(f"{where}: {path} cannot be read ({error.strerror}); make it readable") from None
    except UnicodeDecodeError:
        raise CannotStart(f"{where}: {path} is not UTF-8 text; write the secret into it") from None
    if not secret:
        raise CannotStart(f"{where}: {path} is empty; write the secret into it")
    return secret


def _others_can_read(handle: int) -> bool:
    """Whether users can read an open file who are neither its owner nor of its group."""
    return os.name == "posix" and bool(stat.S_IMODE(os.fstat(handle).st_mode) & 0o007)
