"""Files that the operator writes, such as prices: TOML in the data folder, read again when it has changed."""

from __future__ import annotations

import decimal
import threading
import tomllib
from pathlib import Path
from typing import Any, Generic, TypeVar

import marshmallow

from edge_server.base.problems import CannotStart, first_error

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
        table = tomllib.loads(content.decode(), parse_float=decimal.Decimal)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, decimal.InvalidOperation, RecursionError) as error:
        raise BadOperatorFile(f"{name} is not TOML ({error}); correct it") from None
    try:
        return schema.load(table)
    except marshmallow.ValidationError as error:
        raise BadOperatorFile(f"{name}: {first_error(error)}") from None
