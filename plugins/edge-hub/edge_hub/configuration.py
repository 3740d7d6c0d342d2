"""What a JupyterHub's configuration needs, so that its users' tokens are good for an Edge server."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge_core.errors import ConfigurationError
from edge_hub import services as hub_services
from edge_hub.placeholders import Placeholders, keeper
from edge_hub.spawning import EdgeService, SpawnHook
from edge_hub.spawning.plans import PlanService
from edge_hub.spawning.table import Table

SERVICE = "api"
"""The service's name, by which its addresses begin with ``/services/api``."""

SERVICE_SCOPES = (
    "list:groups",
    "read:groups",
    "read:users",
    "tokens",
    "list:users",
    "servers",
    "read:servers",
    "shares",
)
"""What the Edge server may do at the hub: see who is there, in which groups and with which servers,
make and remove tokens, start, stop and share servers."""

CLIENT_SCOPE = "admin:services"
"""What the Edge server may do as well for external applications: keep their OAuth clients, which are services."""

ORGANIZATION = "edge_organization"
"""The property of a group of the hub that names an organization."""

_LOCAL_PORT = 8790

_PODS = ("namespace", "node_selector", "tolerations", "scheduler_name")
"""What a KubeSpawner says of where pods go."""


def configure(
    c: Any,
    *,
    data: str | os.PathLike[str] | None = None,
    port: int = _LOCAL_PORT,
    url: str | None = None,
    api_token: str | None = None,
    hub_url: str | None = None,
    organization: str | None = None,
    service: str = SERVICE,
    applications: str | os.PathLike[str] | None = None,
    external_apps: bool | None = None,
    placeholders: Placeholders | None = None,
) -> None:
    """Make an Edge server a service of the hub, and each user's servers know it.

    It adds to what `c` has already: the service; a role by which the Edge server sees users and groups and makes
    tokens; the scope of the service for users and for the tokens of their servers; and for each server the variables
    ``EDGE_API_SERVICE_URL`` and ``EDGE_API_ORG``. Servers can have names, and a server that is launched for an
    application runs what the Edge server says. Call it after you have set roles, services,
    `c.JupyterHub.base_url` and the spawner's environment, scopes and `pre_spawn_hook`.

    Either the hub starts the Edge server, with its data in `data`, or that runs elsewhere, at `url`.

    Args:
        c: the configuration, in ``jupyterhub_config.py``.
        data: the data folder of an Edge server that the hub starts and stops on its own machine.
        port: where it listens then, on 127.0.0.1.
        url: address of an Edge server that runs by itself, as the hub's proxy reaches it, such as
            ``http://edge.internal:8790``.
        api_token: its token, which is also set in its settings (``[identity] api_token``); at least 8 characters.
        hub_url: the hub's address for users' servers, such as ``https://hub.example.com``; by default
            `c.JupyterHub.public_url`, else `c.JupyterHub.bind_url`, else the default address of a hub on this machine.
        organization: short name of the organization that users' servers work in; by default that of the user's groups,
            if they are in one alone, and otherwise the session asks the Edge server.
        service: name of the service.
        applications: the operator's table of what applications run, where the hub's spawner has no images; see
            `edge_hub.spawning.table`.
        external_apps: whether users log in at the hub to external applications, which Edge registers as services of it
            while it runs. A hub can let users use all of its services, those too that are added later, or single ones
            by name; so they get the scope ``access:services``. By default they do where `c.JupyterHub.services` has
            no other service yet that this would open.
        placeholders: pods that hold room on the nodes of a Kubernetes cluster, for whatever placeholders the admins of
            organizations make; by default none are kept. They go where `c.KubeSpawner` says, in its `namespace`,
            `node_selector`, `tolerations` and `scheduler_name`, which are set before.

    Raises:
        ConfigurationError: the arguments do not fit together, what is set already cannot be added to, the table has
            mistakes, or what placeholders need is not installed.
    """
    if (data is None) == (url is None):
        raise ConfigurationError(
            "edge_hub.configure takes data= for an Edge server that the hub starts, or url= of one that runs; give one "
            "of them"
        )
    if (url is None) != (api_token is None):
        raise ConfigurationError("edge_hub.configure takes api_token= together with url=; give both or neither")
    prefix = f"{_base_url(c)}services/{service}"
    table = None if applications is None else Table(Path(applications).absolute())
    if table is not None:
        table.entries()
    services = _list(c.JupyterHub, "services")
    if any(each.get("name") == service for each in services):
        raise ConfigurationError(
            f"c.JupyterHub.services has a service {service!r} already; remove it, or give edge_hub.configure another "
            "name by service="
        )
    if external_apps is None:
        external_apps = not services
    if data is None:
        own = {"name": service, "url": url, "api_token": api_token, "display": False}
    else:
        own = _started_by_hub(service, prefix, Path(data).absolute(), port)
    services.append(own)
    edge_url, edge_token = f"{str(own['url']).rstrip('/')}{prefix}", str(own["api_token"])
    if placeholders is not None:
        pods = {name: value for name in _PODS if (value := _set_value(c.KubeSpawner, name, None))}
        services.append(keeper(placeholders, service, edge_url, edge_token, pods))
    c.JupyterHub.services = services
    access = f"access:services!service={service}"
    _permit(c, service, access, external_apps=external_apps)
    if external_apps:
        hub_services.let_them_change()
    c.Spawner.server_token_scopes = _with_scope(c, access)
    environment = dict(_set_value(c.Spawner, "environment", {}))
    environment["EDGE_API_SERVICE_URL"] = f"{_hub_url(c, hub_url)}{prefix}"
    environment["EDGE_API_ORG"] = organization or _only_organization
    c.Spawner.environment = environment
    c.JupyterHub.allow_named_servers = True
    edge = EdgeService(service, PlanService(edge_url, edge_token), table, environment["EDGE_API_SERVICE_URL"])
    c.Spawner.pre_spawn_hook = SpawnHook(edge, _set_value(c.Spawner, "pre_spawn_hook", None))


def _started_by_hub(service: str, prefix: str, data: Path, port: int) -> dict[str, Any]:
    """A service that the hub starts; it gives it its own address and its token in the environment."""
    command = [sys.executable, "-m", "edge_server", "run", "--data", str(data), "--port", str(port)]
    # A hub that is killed does not stop it, and the next one could not start another on the folder.
    command += ["--ends-with", str(os.getpid())]
    return {
        "name": service,
        "url": f"http://127.0.0.1:{port}",
        "command": [*command, "--url-prefix", prefix],
        "environment": {"EDGE_SERVER_IDENTITY_KIND": "jupyterhub"},
        # The hub gives it to the service; by it the hub itself asks what to run.
        "api_token": secrets.token_hex(32),
        "display": False,
    }


def _permit(c: Any, service: str, access: str, *, external_apps: bool) -> None:
    """Add the roles of the service and of users, who are to have the scope of the service."""
    # A service registers no client whose logins may do what it may not itself.
    further = [CLIENT_SCOPE, access] if external_apps else []
    roles = _list(c.JupyterHub, "load_roles")
    user = next((role for role in roles if role.get("name") == "user"), None)
    if user is None:
        # A role that is set stands in the place of the hub's own, which is this.
        user = {"name": "user", "scopes": ["self"]}
        roles.append(user)
    user["scopes"] = [*user.get("scopes", []), access, *(["access:services"] if external_apps else [])]
    roles.append({"name": f"edge-{service}", "services": [service], "scopes": [*SERVICE_SCOPES, *further]})
    c.JupyterHub.load_roles = roles


def _with_scope(c: Any, access: str) -> list[str]:
    """The scopes of the tokens of users' servers, with that of the service."""
    # Without them the hub takes those of the role `server`, whose own default these are.
    roles = _list(c.JupyterHub, "load_roles")
    server: dict[str, Any] = next((role for role in roles if role.get("name") == "server"), {})
    default = server.get("scopes", ["users:activity!user", "access:servers!server"])
    scopes = _set_value(c.Spawner, "server_token_scopes", default)
    if callable(scopes):
        raise ConfigurationError(
            f"c.Spawner.server_token_scopes is a function, to which nothing can be added; have it give {access!r} as "
            "well, and set it after edge_hub.configure"
        )
    return [*scopes, access]


def _only_organization(spawner: Any) -> str:
    """The organization of a user's groups; empty if there is none, or several, so that the session asks."""
    groups = spawner.user.orm_user.groups
    values = [(group.properties or {}).get(ORGANIZATION) for group in groups]
    names = {value for value in values if isinstance(value, str)}
    return names.pop() if len(names) == 1 else ""


def _hub_url(c: Any, hub_url: str | None) -> str:
    """Scheme and host of the hub, as users' servers reach it."""
    address = hub_url or _set_value(c.JupyterHub, "public_url", "") or _set_value(c.JupyterHub, "bind_url", "")
    address = address or f"http://127.0.0.1:{_set_value(c.JupyterHub, 'port', 8000)}"
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or parts.hostname in (None, "0.0.0.0", "::"):  # noqa: S104
        raise ConfigurationError(
            f"users' servers cannot reach the hub at {address!r}; give edge_hub.configure hub_url=, such as "
            "https://hub.example.com"
        )
    return f"{parts.scheme}://{parts.netloc}"


def _base_url(c: Any) -> str:
    """The path that the hub's addresses begin with, with a slash at both ends."""
    address = _set_value(c.JupyterHub, "public_url", "") or _set_value(c.JupyterHub, "bind_url", "")
    path: str = _set_value(c.JupyterHub, "base_url", urlsplit(address).path or "/")
    return f"/{path.strip('/')}/" if path.strip("/") else "/"


def _set_value(section: Any, name: str, default: Any) -> Any:
    """What the operator has set before; what was only added to a default is a lazy value of traitlets."""
    value = section.get(name, default)
    return value.get_value(default) if hasattr(value, "get_value") else value


def _list(section: Any, name: str) -> list[Any]:
    value: list[Any] = list(_set_value(section, name, []))
    return value
