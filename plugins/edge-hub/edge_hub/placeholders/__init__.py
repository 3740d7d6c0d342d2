"""Placeholders on Kubernetes: pods that do nothing and hold room on nodes until an application needs it.

Each has what its app profile gives, and a priority below that of applications. The pod of an application that starts
puts one out and has its room at once; the cluster then looks for a place for that one again, for which its autoscaler
may start a node.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from edge_core.errors import ConfigurationError

SETTINGS = "EDGE_HUB_PLACEHOLDERS"
"""The variable with the settings of what keeps them, as JSON."""

TOKEN = "EDGE_HUB_TOKEN"  # noqa: S105  # the name of a variable
"""The variable with the token by which the Edge server knows the hub."""

_CLUSTER = ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
"""What tells a process where the cluster is, and a hub keeps from its services."""


@dataclasses.dataclass(frozen=True)
class Placeholders:
    """What a hub on Kubernetes keeps running for the placeholders of an Edge server's organizations.

    Attributes:
        image: an image that waits and does nothing, such as the cluster's own ``pause``.
        priority_class: name of a PriorityClass of the cluster with a value below 0, so that every application comes
            first.
        most: pods of all placeholders together at the most, whatever admins of organizations ask for.
    """

    image: str
    priority_class: str
    most: int = 20


def keeper(placeholders: Placeholders, service: str, url: str, api_token: str, pods: Mapping[str, Any]) -> Any:
    """The service of a hub that keeps placeholders.

    Args:
        placeholders: what is kept.
        service: name of the Edge server at the hub.
        url: address of the Edge server as the hub reaches it.
        api_token: its token.
        pods: where the pods of applications go: `namespace`, `node_selector`, `tolerations` and `scheduler_name` of
            the KubeSpawner, as far as they are set.

    Raises:
        ConfigurationError: what it needs is not installed.
    """
    for package in ("kubernetes_asyncio", "edge_compute"):
        if importlib.util.find_spec(package) is None:
            raise ConfigurationError(
                f"placeholders need {package}, which is not installed; install edge-hub[hub] and jupyterhub-kubespawner"
            )
    settings = {**dataclasses.asdict(placeholders), "service": service, "url": url, "pods": dict(pods)}
    return {
        "name": f"{service}-placeholders",
        "command": [sys.executable, "-P", "-m", "edge_hub.placeholders"],
        "environment": {
            **{name: os.environ[name] for name in _CLUSTER if name in os.environ},
            SETTINGS: json.dumps(settings),
            TOKEN: api_token,
        },
        "display": False,
    }
