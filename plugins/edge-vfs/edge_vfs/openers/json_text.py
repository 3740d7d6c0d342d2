"""JSON as Python has it, and warnings of what Python's reader leaves out or changes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

from edge_vfs.openers.opener import warn

_EXTREME = re.compile(r"[eE][+-]?[0-9]{3}|[0-9]{300}")
"""Matches every text that has a number beyond those of a float; the others need no look at each number."""


class Decoder:
    """Reads the JSON texts of a file.

    Args:
        name: the file's name, for the warnings.
        options: those of `json.JSONDecoder`.
    """

    def __init__(self, name: str, **options: Any) -> None:
        self._name = name
        self._repeated: list[str] = []
        self._changed: list[str] = []
        self._decoder = json.JSONDecoder(object_pairs_hook=self._object, **options)
        options.setdefault("parse_float", self._float)
        self._decoder_of_extremes = json.JSONDecoder(object_pairs_hook=self._object, **options)

    def decode(self, text: str) -> Any:
        """Return the value of a JSON text; raise `ValueError` if it is none."""
        return self.function_for(text)(text)

    def function_for(self, text: str) -> Callable[[str], Any]:
        """Return the function that decodes each JSON text in `text`, which several share so that it is chosen once."""
        return (self._decoder_of_extremes if _EXTREME.search(text) else self._decoder).decode

    def warn(self) -> None:
        """Show an `InexactWarning` of what the values that were decoded so far do not have."""
        if self._repeated:
            warn(
                f"{self._name} has {len(self._repeated)} objects that repeat a name, the first {self._repeated[0]!r}, "
                'and only the last value of each came; open_with="file" gives its bytes'
            )
        if self._changed:
            warn(
                f"{self._name} has {len(self._changed)} numbers beyond those of a float, which came as infinity or 0, "
                f"the first {self._changed[0][:40]}; parse_float=decimal.Decimal keeps them"
            )

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            names = [name for name, _ in pairs]
            self._repeated.append(next(name for name in names if names.count(name) > 1))
        return value

    def _float(self, text: str) -> float:
        number = float(text)
        if math.isinf(number) or (number == 0 and re.match(r"-?0*\.?0*[1-9]", text)):
            self._changed.append(text)
        return number
