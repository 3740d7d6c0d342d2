"""Columns of whole numbers that float64, pandas' type for a column with gaps, would change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

EXACT_UP_TO = 2**53
"""Magnitude up to which float64 holds every whole number (IEEE 754)."""


def series(pandas: Any, cells: Sequence[Any]) -> Any:
    """Return cells as a series of the type that pandas takes by itself, unless this would change a number.

    Numbers with gaps become pandas' nullable ``Int64`` or ``UInt64`` where float64 would change one; other numbers
    that no type of pandas holds stay Python objects.

    Args:
        pandas: the package.
        cells: the column's values, None for a gap.
    """
    kinds = set(map(type, cells)) - {type(None)}
    if int not in kinds or not kinds <= {int, float}:
        try:
            return pandas.Series(cells)
        except UnicodeEncodeError:  # half of a surrogate pair, which pandas' own type of texts does not hold
            return pandas.Series(cells, dtype=object)
    whole = [cell for cell in cells if type(cell) is int]
    changed = any(abs(number) > EXACT_UP_TO and not is_float(number) for number in whole)
    if float in kinds:
        return pandas.Series(cells, dtype=object if changed else "float64")
    if not changed:
        return pandas.Series(cells)
    if len(whole) == len(cells):
        return pandas.Series(cells)
    return with_gaps(pandas, cells)


def with_gaps(pandas: Any, cells: Sequence[int | None]) -> Any:
    """Return whole numbers with gaps as ``Int64``, else ``UInt64``, else Python objects, whichever holds them."""
    least = min((cell for cell in cells if cell is not None), default=0)
    most = max((cell for cell in cells if cell is not None), default=0)
    if least >= -(2**63) and most < 2**63:
        return pandas.Series(pandas.array(cells, dtype="Int64"))
    if least >= 0 and most < 2**64:
        return pandas.Series(pandas.array(cells, dtype="UInt64"))
    return pandas.Series(cells, dtype=object)


def is_float(number: int) -> bool:
    """Return whether float64 holds `number`."""
    try:
        return int(float(number)) == number
    except OverflowError:
        return False
