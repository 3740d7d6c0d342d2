"""What a hub starts when a server is that of an application: the Edge server says what, and nothing that a user sends.

A user of a hub can start a server with any `user_options`. Those of an application name it, under the key `edge`, and
that is all they do: before each start the hub asks the Edge server what to run for this user and this server.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from edge_core.errors import BadResponse, EdgeError
from edge_hub.spawning import images
from edge_hub.spawning.plans import PlanService
from edge_hub.spawning.refusals import Refused
from edge_hub.spawning.table import Table, local_command

if TYPE_CHECKING:
    from edge_applications.launch_plan import LaunchPlan

Hook: TypeAlias = Callable[[Any], Awaitable[None] | None]
"""JupyterHub's `Spawner.pre_spawn_hook`."""

OPTION = "edge"
"""The key of the `user_options` of an application's server."""

SERVICE_OPTION = "service"
"""The key below `OPTION` that names the service whose application it is: a hub may have several Edge servers."""

_CHOICES = ("organization", "app_id", "version", "profile")


@dataclasses.dataclass(frozen=True)
class EdgeService:
    """An Edge server of the hub, whose applications run there.

    Attributes:
        name: of the service.
        plans: asks it.
        table: what runs on this machine, where spawners have no images; None for nothing.
        url: service URL, as users' servers reach it.
    """

    name: str
    plans: PlanService
    table: Table | None
    url: str


class SpawnHook:
    """The hook that makes a server that of an application; other servers stay what they are.

    Args:
        service: the Edge server.
        before: a hook that comes first; the services of one of this kind are taken over.
    """

    def __init__(self, service: EdgeService, before: Hook | None = None) -> None:
        self._services = {service.name: service}
        self._before: Hook | None
        if isinstance(before, SpawnHook):
            self._services = {**before._services, **self._services}
            before = before._before
        self._before = before

    async def __call__(self, spawner: Any) -> None:
        """Prepare a server that is about to start.

        Raises:
            HTTPError: it is not started.
        """
        from tornado.web import HTTPError

        if self._before is not None:
            done = self._before(spawner)
            if inspect.isawaitable(done):
                await done
        if OPTION not in (spawner.user_options or {}):
            return
        try:
            await _prepare(spawner, self._services)
        except Refused as refused:
            raise HTTPError(refused.status, refused.sentence) from None
        except BadResponse as error:
            spawner.log.error("%s", error)
            raise HTTPError(
                424, "The Edge server's answer is of another version than edge-hub; its operator upgrades both."
            ) from None


async def _prepare(spawner: Any, services: Mapping[str, EdgeService]) -> None:
    choice = _choice_in(spawner.user_options)
    service = services.get(choice.pop(SERVICE_OPTION) or next(iter(services)))
    if service is None:
        raise Refused(404, "This hub has no Edge server of that name; launch the application with: edge app launch")
    plan = await service.plans.plan(spawner.user.name, spawner.name, choice)
    if (plan.user_name, plan.server_name) != (spawner.user.name, spawner.name):
        raise Refused(424, "The Edge server has answered for another server than was asked for; tell its operator.")
    if spawner.has_trait("image"):
        await images.prepare(spawner, plan)
    else:
        _prepare_local(spawner, plan, service.table)
    if plan.cpu:
        spawner.cpu_limit = float(plan.cpu)
    if plan.memory:
        spawner.mem_limit = int(plan.memory * 1_000_000_000)
    spawner.environment = {
        **spawner.environment,
        "EDGE_APP_IDENTITY": "hub",
        "EDGE_APP_ID": plan.app_id,
        "EDGE_APP_VERSION": plan.version,
        "EDGE_API_ORG": plan.organization,
        "EDGE_API_SERVICE_URL": service.url,
    }
    _keep(spawner, plan, service)
    spawner.log.info(
        "%s starts %s %s of %s as %s", plan.user_name, plan.app_id, plan.version, plan.organization, spawner.name
    )


def _choice_in(options: Mapping[str, Any]) -> dict[str, str | None]:
    """What the options name.

    Raises:
        Refused: they hold more than that, which another part of the hub might heed.
    """
    choice = options[OPTION]
    good = (
        len(options) == 1
        and isinstance(choice, dict)
        and set(choice) <= {*_CHOICES, SERVICE_OPTION}
        and all(isinstance(choice.get(name), str) for name in _CHOICES[:2])
        and all(value is None or isinstance(value, str) for value in choice.values())
    )
    if not good:
        raise Refused(
            400,
            f"The options of an application's server are {OPTION!r} with {SERVICE_OPTION}, {', '.join(_CHOICES)}, and "
            "nothing else; launch it with: edge app launch",
        )
    return {name: choice.get(name) for name in (*_CHOICES, SERVICE_OPTION)}


def _prepare_local(spawner: Any, plan: LaunchPlan, table: Table | None) -> None:
    """Have a process of this machine run what the operator has in the table."""
    if table is None:
        raise Refused(
            403,
            f"{plan.app_id} {plan.version} is the image {plan.link}, and this hub has no engine that runs images; its "
            "operator can name a folder and a command for it by edge_hub.configure(c, applications=...).",
        )
    try:
        entry = table.find(plan.organization, plan.app_id, plan.version)
    except EdgeError as error:
        spawner.log.error("%s", error)
        raise Refused(
            424, "The hub's table of applications has mistakes; its operator finds them in its log."
        ) from None
    if entry is None:
        raise Refused(
            403,
            f"{plan.app_id} {plan.version} is not in the hub's table of applications, and its image {plan.link} alone "
            "runs nothing there; ask the hub's operator to add it.",
        )
    spawner.cmd = local_command(entry)
    spawner.args = []


def _keep(spawner: Any, plan: LaunchPlan, service: EdgeService) -> None:
    """Have the hub say what runs: the version and app profile that the Edge server has chosen."""
    chosen = {
        SERVICE_OPTION: service.name,
        "organization": plan.organization,
        "app_id": plan.app_id,
        "version": plan.version,
        "profile": plan.profile_id,
    }
    spawner.user_options = {OPTION: chosen}
    spawner.orm_spawner.user_options = {OPTION: chosen}
