"""What the tests of the app proxy share."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

PATIENCE = 300.0
"""Seconds after which it is not going to happen, on a machine that does much else."""


@pytest.fixture
def wait_for() -> Callable[[Callable[[], Any]], Any]:
    """Wait until a function gives something true, and return that."""

    def wait(condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE
        while not (result := condition()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return result

    return wait


@pytest.fixture
def free_port() -> int:
    """A port of loopback where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
