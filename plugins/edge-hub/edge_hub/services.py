"""The services of a hub, as those that Edge adds and removes while it runs need them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any


class Services(dict[str, Any]):
    """The services of a hub by their names, of which whoever goes through them sees those that there were."""

    def items(self) -> Any:
        """Names and services."""
        return list(super().items())

    def values(self) -> Any:
        """Services."""
        return list(super().values())


def let_them_change() -> None:
    """Let the hub that reads its configuration in this process bear that services change while it starts.

    JupyterHub 6.1.1 waits for one service after the other, answers meanwhile, and ends with "dictionary changed size
    during iteration" if one is added or removed in between (`app.JupyterHub.start`).
    """
    module = sys.modules.get("jupyterhub.app")
    if module is None or not module.JupyterHub.initialized():
        return
    hub = module.JupyterHub.instance()
    present = getattr(hub, "_service_map", None)
    if isinstance(present, Mapping) and not isinstance(present, Services):
        hub._service_map = Services(present)
