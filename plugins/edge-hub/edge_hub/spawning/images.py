"""What an application's image is started with, by spawners that have an engine for images.

What is the operator's own for notebooks stays out of an application, whose code is its developer's: users' volumes, and
the credentials of registries that the operator uses. Values are set as attributes of the spawner, each checked, and no
text is put together that a shell or a template reads.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edge_hub.spawning.refusals import Refused

if TYPE_CHECKING:
    from edge_applications.launch_plan import LaunchPlan

_MOUNT_POINT = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")
_VOLUME = "edge-volume"
_VOLUME_SIZE = 10
"""GB of a volume whose size nobody suggests."""
_VOLUME_GROUP = 100
"""Whose the files of a pod's volume are, where the operator has set no group: Debian's `users`."""
_MOST_TROUBLE = 3
"""How many failures of a pod the log has."""
_PORT = 8888
"""Where an image's proxy listens."""


async def prepare(spawner: Any, plan: LaunchPlan) -> None:
    """Set what a spawner starts.

    Raises:
        Refused: a value cannot be right, or this spawner cannot do what is asked for.
    """
    from edge_applications.names import is_image

    if not is_image(plan.link):
        raise Refused(
            409, f"{plan.app_id} {plan.version} has the link {plan.link!r}, which is no image; publish it anew."
        )
    mount = plan.volume_mount_point
    if mount is not None and not _MOUNT_POINT.fullmatch(mount):
        raise Refused(409, f"{plan.app_id} {plan.version} mounts a volume at {mount!r}, which is no plain path.")
    spawner.image = plan.link
    # What the image itself starts.
    spawner.cmd = None
    spawner.args = []
    if spawner.has_trait("image_pull_secrets"):
        await _prepare_pod(spawner, plan)
    elif spawner.has_trait("pull_policy") and getattr(spawner, "object_type", None) == "container":
        await _prepare_container(spawner, plan)
    else:
        name = type(spawner).__name__
        raise Refused(
            424,
            f"edge-hub does not know how {name} fetches images; its operator uses DockerSpawner or KubeSpawner.",
        )


async def _prepare_container(spawner: Any, plan: LaunchPlan) -> None:
    """Have DockerSpawner start a new container."""
    # A container that is left of an earlier start is of the image of then.
    spawner.remove = True
    for trait in ("volumes", "read_only_volumes"):
        setattr(spawner, trait, {})
    spawner.mounts = []
    if plan.volume_mount_point is not None:
        spawner.volumes = {f"edge-{_volume_name(plan)}": plan.volume_mount_point}
    if plan.gpu:
        further: Any = spawner.extra_host_config
        if callable(further):
            further = further(spawner)
        if inspect.isawaitable(further):
            further = await further
        devices = [{"count": plan.gpu, "capabilities": [["gpu"]]}]
        spawner.extra_host_config = {**further, "device_requests": devices}
    await _pull(spawner, plan)
    spawner.pull_policy = "never"


async def _pull(spawner: Any, plan: LaunchPlan) -> None:
    """Fetch the image with the credentials of the application, and no others.

    It is fetched at each start, even if it is there: an engine keeps one store of images, and what another application
    has fetched would be for everybody else.
    """
    registry = plan.registry
    # Without any, docker-py takes what the operator has in the engine's own configuration.
    login = {} if registry is None else {"username": registry.username, "password": registry.password}
    refusal = Refused(
        424,
        f"The image {plan.link} cannot be fetched; see that its registry has it, and takes the password.",
    )
    repository, _, digest = plan.link.partition("@")
    if digest:
        # As the engine's API has it: a digest stands in the place of the tag.
        host, slash, rest = repository.rpartition("/")
        repository, tag = f"{host}{slash}{rest.partition(':')[0]}", digest
    else:
        repository, _, tag = plan.link.rpartition(":")
    try:
        answer = await spawner.docker("pull", repository, tag=tag, auth_config=login)
    except Exception as error:
        # Its text can hold what the registry was sent.
        spawner.log.error("The image %s cannot be fetched (%s).", plan.link, type(error).__name__)
        raise refusal from None
    for line in str(answer).splitlines():
        # The engine answers 200, and goes on to say what has failed.
        if "error" in _json_line(line):
            spawner.log.error("The image %s cannot be fetched (the registry refuses it).", plan.link)
            raise refusal


def _json_line(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


async def _prepare_pod(spawner: Any, plan: LaunchPlan) -> None:
    """Have KubeSpawner start a pod."""
    # Their choices would be made after this hook.
    spawner.profile_list = []
    # The registry is asked at each start, as a node keeps images for everybody.
    spawner.image_pull_policy = "Always"
    # These are of the notebooks' image; that of an application has a folder and a port of its own.
    spawner.working_dir = None
    spawner.lifecycle_hooks = {}
    spawner.port = _PORT
    for trait in ("init_containers", "extra_containers"):
        setattr(spawner, trait, _without_mounts(getattr(spawner, trait)))
    spawner.image_pull_secrets = []
    if plan.registry is not None:
        spawner.image_pull_secrets = [{"name": _secret_name(plan)}]
    spawner.volumes = []
    spawner.volume_mounts = []
    # What KubeSpawner itself claims, it deletes with the server, which users can do on the hub's page.
    spawner.storage_pvc_ensure = False
    if plan.volume_mount_point is not None:
        spawner.storage_capacity = f"{plan.suggested_volume_size or _VOLUME_SIZE}G"
        spawner.volumes = [{"name": _VOLUME, "persistentVolumeClaim": {"claimName": _volume_name(plan)}}]
        spawner.volume_mounts = [{"name": _VOLUME, "mountPath": plan.volume_mount_point}]
        if spawner.fs_gid is None:
            # A new volume is root's, and images run as any user.
            spawner.fs_gid = _VOLUME_GROUP
    spawner.post_stop_hook = _TroubleHook(spawner.post_stop_hook)
    if spawner.enable_user_namespaces:
        # KubeSpawner makes the user's namespace after this hook, and before that one.
        spawner.modify_pod_hook = _KeepingHook(plan, spawner.modify_pod_hook)
    else:
        await _keep(spawner, plan)
    # A limit below what is guaranteed is refused by the cluster; without a guarantee the limit is it.
    if plan.cpu:
        spawner.cpu_guarantee = None
    if plan.memory:
        spawner.mem_guarantee = None
    if plan.gpu:
        spawner.extra_resource_limits = {**spawner.extra_resource_limits, "nvidia.com/gpu": str(plan.gpu)}


def _without_mounts(containers: Any) -> Any:
    """The operator's further containers without those that mount volumes, which are those of the notebooks."""
    if isinstance(containers, dict):
        return {name: each for name, each in containers.items() if not _mounts(each)}
    return [each for each in containers if not _mounts(each)]


def _mounts(container: Mapping[str, Any]) -> bool:
    return any(container.get(name) for name in ("volumeMounts", "volume_mounts", "volumeDevices", "volume_devices"))


class _TroubleHook:
    """A `post_stop_hook`, by which the hub's log says what kept a pod from starting, which no page of the hub has.

    Args:
        before: the operator's hook, or one of this kind with it.
    """

    def __init__(self, before: Any) -> None:
        self._before: Any = before._before if isinstance(before, _TroubleHook) else before

    def __call__(self, spawner: Any) -> Any:
        failed = [str(event["message"]) for event in spawner.events if str(event["reason"]).startswith("Failed")]
        for message in list(dict.fromkeys(failed))[-_MOST_TROUBLE:]:
            spawner.log.warning(
                "The pod of %s %s: %s", spawner.user.name, spawner.name, " ".join(message.split())[:500]
            )
        return None if self._before is None else self._before(spawner)


class _KeepingHook:
    """KubeSpawner's `modify_pod_hook`, by which the cluster keeps first what the pod names.

    Args:
        plan: what is started.
        before: the operator's hook, or one of this kind with it.
    """

    def __init__(self, plan: LaunchPlan, before: Any) -> None:
        self._plan = plan
        self._before: Any = before._before if isinstance(before, _KeepingHook) else before

    async def __call__(self, spawner: Any, pod: Any) -> Any:
        from tornado.web import HTTPError

        try:
            await _keep(spawner, self._plan)
        except Refused as refused:
            raise HTTPError(refused.status, refused.sentence) from None
        if self._before is None:
            return pod
        pod = self._before(spawner, pod)
        return await pod if inspect.isawaitable(pod) else pod


async def _keep(spawner: Any, plan: LaunchPlan) -> None:
    """Have the cluster keep the secret and the volume's claim that the pod names."""
    if plan.registry is not None:
        await _keep_secret(spawner, plan)
    if plan.volume_mount_point is not None:
        await _keep_claim(spawner, plan)


async def _keep_claim(spawner: Any, plan: LaunchPlan) -> None:
    """Claim the user's volume for the application, unless an earlier start has."""
    from kubernetes_asyncio.client import ApiException

    name = _volume_name(plan)
    claim = spawner.get_pvc_manifest()
    claim.metadata.name = name
    try:
        try:
            # A quota that is used up refuses to create also what is there, so that is looked for first.
            await spawner.api.read_namespaced_persistent_volume_claim(name, spawner.namespace)
        except ApiException as error:
            if error.status != 404:
                raise
            await spawner.api.create_namespaced_persistent_volume_claim(spawner.namespace, claim)
    except Exception as error:
        raise _unkept(spawner, f"volume {name}", "volume", error) from None


def _unkept(spawner: Any, what: str, kind: str, error: Exception) -> Refused:
    """The refusal of a start for which the cluster does not keep something."""
    # The text of the cluster's answer can hold the secret that it was sent.
    status = getattr(error, "status", None)
    reason = type(error).__name__ if status is None else f"{type(error).__name__}, status {status}"
    spawner.log.error("The %s cannot be written (%s).", what, reason)
    return Refused(424, f"The cluster does not keep the {kind}; the hub's operator finds why in its log.")


def _secret_name(plan: LaunchPlan) -> str:
    assert plan.registry is not None  # noqa: S101 - so says the caller
    return f"edge-registry-{_digest(plan.organization, plan.app_id, plan.registry.domain)}"


async def _keep_secret(spawner: Any, plan: LaunchPlan) -> None:
    """Keep the registry's credentials in a secret of the cluster."""
    from kubernetes_asyncio.client import ApiException, V1ObjectMeta, V1Secret

    registry = plan.registry
    assert registry is not None  # noqa: S101 - so says the caller
    name = _secret_name(plan)
    login = base64.b64encode(f"{registry.username}:{registry.password}".encode()).decode()
    content = {
        "auths": {registry.domain: {"username": registry.username, "password": registry.password, "auth": login}}
    }
    secret = V1Secret(
        metadata=V1ObjectMeta(name=name, labels={"app.kubernetes.io/managed-by": "edge-hub"}),
        type="kubernetes.io/dockerconfigjson",
        data={".dockerconfigjson": base64.b64encode(json.dumps(content).encode()).decode()},
    )
    try:
        try:
            await spawner.api.create_namespaced_secret(spawner.namespace, secret)
        except ApiException as error:
            if error.status != 409:
                raise
            await spawner.api.replace_namespaced_secret(name, spawner.namespace, secret)
    except Exception as error:
        raise _unkept(spawner, f"secret {name}", "registry's credentials", error) from None


def _volume_name(plan: LaunchPlan) -> str:
    """The name of the volume of a user and an application, which begins as that of the server."""
    return f"{plan.server_name}-{_digest(plan.user_name)}"


def _digest(*names: str) -> str:
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]
