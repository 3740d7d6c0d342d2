"""Sizes for people, as commands and errors write them."""

from __future__ import annotations

_UNITS = [(unit, 1000**power) for power, unit in enumerate(("kB", "MB", "GB", "TB", "PB"), 1)]


def shown(size: int) -> str:
    """Bytes for people, in powers of 1000.

    >>> shown(999), shown(1_500_000)
    ('999 bytes', '1.5 MB')
    """
    if size < 1000:
        return f"{size} bytes"
    unit, factor = next(((unit, factor) for unit, factor in _UNITS if size < 999.95 * factor), _UNITS[-1])
    return f"{size / factor:.1f} {unit}"
