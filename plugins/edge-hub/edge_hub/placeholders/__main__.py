"""Keeps the pods of placeholders, as a service that the hub starts."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import Any

import aiohttp

from edge_core.errors import BadResponse
from edge_hub.placeholders import SETTINGS, TOKEN, Placeholders
from edge_hub.placeholders.deployments import Deployments
from edge_hub.placeholders.edge_server import EdgeServer, NotAnswered

INTERVAL = 30.0
"""Seconds between two looks."""

log = logging.getLogger("edge_hub.placeholders")


class Keeper:
    """Has the cluster keep what the Edge server asks for.

    Args:
        edge: the Edge server.
        deployments: those of the cluster.
        most: machines that it asks for at the most; there is no deployment for what comes after them.
    """

    def __init__(self, edge: EdgeServer, deployments: Deployments, most: int) -> None:
        self._edge = edge
        self._deployments = deployments
        self._most = most
        self._trouble: str | None = None

    async def look(self) -> None:
        """Look once. What stands in the way is logged when it begins, and what is kept stays as it is."""
        from kubernetes_asyncio.client import ApiException

        trouble = None
        try:
            await self._edge.note(await self._deployments.keep(await self._edge.placeholders(self._most)))
        except NotAnswered as error:
            trouble = str(error)
        except BadResponse as error:
            trouble = f"{error}; upgrade the Edge server and edge-hub together"
        except ApiException as error:
            trouble = f"the cluster answers {error.status} about deployments ({error.reason})"
            if error.status == 403:
                trouble += "; give the hub's service account the role that the guide shows"
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            trouble = f"the cluster does not answer ({type(error).__name__})"
        if trouble is not None and trouble != self._trouble:
            log.warning("Placeholders are not looked after: %s.", trouble)
        elif trouble is None and self._trouble is not None:
            log.warning("Placeholders are looked after again.")
        self._trouble = trouble


async def _load_cluster() -> None:
    """Find the cluster as KubeSpawner does: that which this process runs in, else that of the kubeconfig."""
    from kubernetes_asyncio import config

    try:
        config.load_incluster_config()  # type: ignore[no-untyped-call]
    except config.ConfigException:
        await config.load_kube_config()


async def _run(settings: dict[str, Any], token: str) -> None:
    from kubernetes_asyncio import client

    await _load_cluster()
    placeholders = Placeholders(settings["image"], settings["priority_class"], settings["most"])
    async with client.ApiClient() as api_client:
        api = client.AppsV1Api(api_client)
        deployments = Deployments(api, placeholders, settings["service"], settings["pods"])
        await _look_while(os.getppid(), Keeper(EdgeServer(settings["url"], token), deployments, placeholders.most))


async def _look_while(hub: int, keeper: Keeper) -> None:
    """Look again and again. A hub that is killed leaves its services behind, and the next one starts its own."""
    while os.getppid() == hub:
        await keeper.look()
        await asyncio.sleep(INTERVAL)


def main() -> None:
    """Run until the hub ends it."""
    logging.basicConfig(level=logging.INFO, format="[%(levelname).1s %(asctime)s %(name)s] %(message)s")
    asyncio.run(_run(json.loads(os.environ[SETTINGS]), os.environ[TOKEN]))


if __name__ == "__main__":
    main()
