"""The deployments of a cluster whose pods are placeholders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_hub.placeholders import Placeholders

if TYPE_CHECKING:
    from edge_compute.wire import HubPlaceholder

UID = "edge-hub/placeholder"
"""The annotation of a deployment that names its placeholder."""

_DIGEST = "edge-hub/digest"
"""The annotation that has the digest of what was asked of the cluster, which adds defaults of its own."""

_PATIENCE = {"_request_timeout": 20}
"""Seconds until a call to the cluster counts as failed; without it one that hangs is waited for without end."""

_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class Deployments:
    """One deployment for each placeholder.

    Args:
        api: an `AppsV1Api` of kubernetes_asyncio.
        placeholders: what is kept.
        service: name of the Edge server at the hub, whose deployments alone are touched.
        pods: where the pods go; see `edge_hub.placeholders.keeper`.
    """

    def __init__(self, api: Any, placeholders: Placeholders, service: str, pods: Mapping[str, Any]) -> None:
        self._api = api
        self._placeholders = placeholders
        self._pods = pods
        self._service = _digest(service)
        self._namespace = pods.get("namespace") or own_namespace()

    async def keep(self, requested: Sequence[HubPlaceholder]) -> dict[str, int]:
        """Have the cluster keep these and no others.

        Args:
            requested: what the Edge server asks for; the first ones have their pods where `most` is not enough for all.

        Returns:
            How many pods are ready, by uid.
        """
        bodies = self._deployments(requested)
        selector = ",".join(f"{name}={value}" for name, value in self._labels().items())
        answer = await self._api.list_namespaced_deployment(self._namespace, label_selector=selector, **_PATIENCE)
        present = {each.metadata.name: each for each in answer.items}
        ready = {}
        for uid, body in bodies.items():
            name, annotations = body["metadata"]["name"], body["metadata"]["annotations"]
            existing = present.pop(name, None)
            if existing is None:
                await self._api.create_namespaced_deployment(self._namespace, body, **_PATIENCE)
            elif (existing.metadata.annotations or {}).get(_DIGEST) != annotations[_DIGEST]:
                await self._api.replace_namespaced_deployment(name, self._namespace, body, **_PATIENCE)
            status = None if existing is None else existing.status
            ready[uid] = min((status and status.ready_replicas) or 0, body["spec"]["replicas"])
        for name in present:
            await self._api.delete_namespaced_deployment(name, self._namespace, **_PATIENCE)
        return ready

    def _deployments(self, requested: Sequence[HubPlaceholder]) -> dict[str, dict[str, Any]]:
        """What is to be there, by uid of the placeholder."""
        bodies = {}
        left = self._placeholders.most
        for placeholder in requested:
            replicas = min(placeholder.quantity, left)
            left -= replicas
            bodies[placeholder.uid] = self._deployment(placeholder, replicas)
        return bodies

    def _labels(self) -> dict[str, str]:
        return {
            "app.kubernetes.io/managed-by": "edge-hub",
            "app.kubernetes.io/component": "placeholder",
            "app.kubernetes.io/instance": f"edge-{self._service}",
        }

    def _deployment(self, placeholder: HubPlaceholder, replicas: int) -> dict[str, Any]:
        resources = {"cpu": f"{round(placeholder.cpu * 1000)}m", "memory": str(int(placeholder.memory * 1_000_000_000))}
        if placeholder.gpu:
            resources["nvidia.com/gpu"] = str(placeholder.gpu)
        name = f"edge-placeholder-{self._service}-{_digest(placeholder.uid)}"
        labels = {**self._labels(), "edge-placeholder": _digest(placeholder.uid)}
        pod = {
            "containers": [
                {
                    "name": "placeholder",
                    "image": self._placeholders.image,
                    "resources": {"requests": resources, "limits": resources},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                        "readOnlyRootFilesystem": True,
                        "runAsNonRoot": True,
                        "runAsUser": 65534,
                    },
                }
            ],
            "priorityClassName": self._placeholders.priority_class,
            # Whoever needs the room does not wait for it.
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            **{
                field: self._pods[ours]
                for field, ours in (
                    ("nodeSelector", "node_selector"),
                    ("tolerations", "tolerations"),
                    ("schedulerName", "scheduler_name"),
                )
                if self._pods.get(ours)
            },
        }
        spec = {
            "replicas": replicas,
            # Those of before are in the way of those that come.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        }
        digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": name,
                "labels": labels,
                "annotations": {UID: placeholder.uid, _DIGEST: digest},
            },
            "spec": spec,
        }


def own_namespace() -> str:
    """The namespace that the hub is in, as KubeSpawner takes it."""
    return _NAMESPACE.read_text(encoding="utf-8").strip() if _NAMESPACE.exists() else "default"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
