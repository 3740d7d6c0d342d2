"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 300.0
"""Seconds after which it is not going to happen, on a machine that does much else."""


def wait_for(condition: Callable[[], Any], otherwise: str = "") -> None:
    """Return once `condition` gives something true; fail with the words `otherwise` if it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)
