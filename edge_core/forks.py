"""Locks in a forked child, where the thread that held one is not there to let go of it."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class Owner(Protocol):
    """What has a lock that is held for moments only."""

    _lock: threading.Lock


_owners: weakref.WeakSet[Owner] = weakref.WeakSet()


def renew_lock(owner: Owner) -> None:
    """Give `owner` a lock, and another one in each child."""
    owner._lock = threading.Lock()
    _owners.add(owner)


def _renew_all() -> None:
    for owner in list(_owners):
        owner._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
