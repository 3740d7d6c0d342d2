"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 300.0
"""Seconds after which it is not going to happen, on a machine that does much else."""

_T = TypeVar("_T")


def wait_for(condition: Callable[[], _T], otherwise: str = "") -> _T:
    """What `condition` gives, as soon as that is something true; fail with the words `otherwise` if it never is."""
    deadline = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)
    return result
