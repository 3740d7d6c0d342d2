"""Files that the operator writes, such as prices: TOML in the data folder, read again when it has changed."""

from __future__ import annotations

import decimal
import threading
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import marshmallow

from edge_server.base.problems import CannotStart, first_error

Toml = Mapping[str, Any]
"""A table of a TOML file, as it was read."""

_T = TypeVar("_T")


class BadOperatorFile(CannotStart):
    """An operator's file cannot be used; the message is one sentence for the operator."""


class OperatorFile(Generic[_T]):
    """A file of the operator's, as it is now.

    Args:
        path: the file, which need not be there.
        schema: loads what the file states, numbers with a point as `decimal.Decimal`, and makes a
            value of it.
        absent: what counts where there is no file: a value, or the path of a file that comes with
            the server.
    """

    def __init__(self, path: Path, schema: marshmallow.Schema, absent: _T | Path) -> None:
        self.path = path
        self._schema = schema
        self._absent = absent
        self._lock = threading.Lock()
        self._loaded: tuple[object, _T] | None = None

    def read(self) -> _T:
        """What the file states.

        Raises:
            BadOperatorFile: it cannot be used.
        """
        path = self.path
        with self._lock:
            try:
                if not path.exists():
                    if not isinstance(self._absent, Path):
                        return self._absent
                    path = self._absent
                stat = path.stat()
                state = (path, stat.st_mtime_ns, stat.st_size, stat.st_ino)
                if self._loaded is None or self._loaded[0] != state:
                    self._loaded = (state, load(path.name, path.read_bytes(), self._schema))
            except OSError as error:
                raise BadOperatorFile(f"{path.name} cannot be read ({error.strerror}); make it readable") from None
            return self._loaded[1]


class Number(marshmallow.fields.Decimal):
    """A number, exactly as it is written; a text is none."""

    default_error_messages = {
        "required": "it is missing; write it as a number, such as 0.5",
        "invalid": "write it as a number, such as 0.5",
        "special": "write it as a number, such as 0.5",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Toml | None, **kwargs: Any) -> decimal.Decimal:
        if isinstance(value, str):
            raise self.make_error("invalid")
        return super()._deserialize(value, attr, data, **kwargs)


class Text(marshmallow.fields.String):
    """A text."""

    default_error_messages = {
        "required": "it is missing; write it as text in quotes",
        "invalid": "write it as text in quotes",
    }


class Table(marshmallow.fields.Nested):
    """A table of its own."""

    def _deserialize(self, value: Any, attr: str | None, data: Toml | None, partial: Any = None, **kwargs: Any) -> Any:
        if not isinstance(value, dict):
            raise marshmallow.ValidationError(f'write it as a table ["{attr}"]')
        return super()._deserialize(value, attr, data, partial, **kwargs)


class Entries(marshmallow.fields.Dict):
    """A table whose entries are all alike, under names that the operator chooses.

    What is wrong with an entry is told by its name alone; that of marshmallow's `Dict` would be NAME.value.

    Args:
        values: what an entry is.
        names: looks at the name of each.
    """

    def __init__(
        self, values: marshmallow.fields.Field[Any], names: Callable[[str], object] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._values = values
        self._names = names

    def _deserialize(self, value: Any, attr: str | None, data: Toml | None, **kwargs: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise marshmallow.ValidationError(f'write it as a table ["{attr}"]')
        loaded, errors = {}, {}
        for name, entry in value.items():
            try:
                if self._names is not None:
                    self._names(name)
                loaded[name] = self._values.deserialize(entry, name, value)
            except marshmallow.ValidationError as error:
                errors[name] = error.messages
        if errors:
            raise marshmallow.ValidationError(errors)
        return loaded


def load(name: str, content: bytes, schema: marshmallow.Schema) -> Any:
    """What `schema` makes of the TOML in `content`.

    Args:
        name: the file's, for errors.
        content: the file's.
        schema: what it may state.

    Raises:
        BadOperatorFile: it states what cannot be.
    """
    try:
        # As decimals, or 0.1 would already not be what was written.
        table = tomllib.loads(content.decode("utf-8-sig"), parse_float=decimal.Decimal)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, decimal.InvalidOperation, RecursionError) as error:
        raise BadOperatorFile(f"{name} is not TOML ({error}); correct it") from None
    try:
        return schema.load(table)
    except marshmallow.ValidationError as error:
        raise BadOperatorFile(f"{name}: {first_error(error)}") from None
