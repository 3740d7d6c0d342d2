"""What `edge hub run` makes ready: a hub, its proxy and an Edge server on this machine, for trying."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edge_core.errors import ConfigurationError
from edge_core.replacing import replacing

PROXY = "configurable-http-proxy"

PROXY_PID = "proxy.pid"
"""The file with the process of the hub's proxy, which outlives a hub that is killed."""

INNER_PORTS: tuple[str, ...] = ("hub_port", "proxy_port", "edge_port")
"""What listens on loopback beside the proxy, by the names of the settings."""

CONFIGURATION = """\
# Written by `edge hub run` at each start.
import json
import pathlib

import edge_hub

settings = json.loads(pathlib.Path(__file__).with_name("settings.json").read_text())
folder = pathlib.Path(__file__).parent

c = get_config()
c.JupyterHub.bind_url = f"http://127.0.0.1:{settings['port']}"
c.JupyterHub.hub_ip = "127.0.0.1"
c.JupyterHub.hub_port = settings["hub_port"]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{settings['proxy_port']}"
c.ConfigurableHTTPProxy.command = [settings["proxy"]]
c.ConfigurableHTTPProxy.pid_file = str(folder / "proxy.pid")
c.JupyterHub.db_url = f"sqlite:///{folder / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(folder / "cookie_secret")

c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = settings["user_password"]
c.SharedPasswordAuthenticator.admin_password = settings["admin_password"]
c.Authenticator.allowed_users = set(settings["users"])
c.Authenticator.admin_users = {settings["admin"]}

# All servers run as who has started this.
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = str(folder / "home" / "{username}")
c.Spawner.cmd = settings["singleuser"]

c.JupyterHub.load_groups = {
    "default": {
        "users": [settings["admin"], *settings["users"]],
        "properties": {"edge_organization": "default", "edge_roles": ["developer"]},
    },
    "default-admins": {
        "users": [settings["admin"]],
        "properties": {"edge_organization": "default", "edge_roles": ["admin"]},
    },
}

edge_hub.configure(
    c,
    data=folder.parent / "edge",
    port=settings["edge_port"],
    applications=folder.parent / "applications.toml",
    external_apps=True,
)
"""

APPLICATIONS = """\
# What applications run on this machine: a folder and a command for each version that is published in Edge.
# It is read again at each launch. EDGE_APP_PORT tells an application where to listen, and {port} stands for that here.
#
# [[application]]
# app_id = "viz"
# version = "1.0.0"
# folder = "/home/ada/viz"
# command = ["/home/ada/viz/.venv/bin/python", "app.py"]
"""


class Prepared(NamedTuple):
    """A hub that can be started.

    Attributes:
        command: what starts it.
        url: where people find it.
        settings: the file that has the passwords.
        applications: the file that says what applications run.
    """

    command: list[str]
    url: str
    settings: Path
    applications: Path


def prepare(
    data: Path, *, port: int = 8000, admin: str = "admin", users: Sequence[str] = (), proxy: Path | None = None
) -> Prepared:
    """Write what a hub needs into a folder; passwords, data and the table of applications that are there stay.

    Args:
        data: the folder, which is made if it is missing.
        port: where the hub's proxy listens, on 127.0.0.1.
        admin: name of the user who is an admin of the hub.
        users: names of the others.
        proxy: the program configurable-http-proxy; by default it is looked for.

    Raises:
        ConfigurationError: something that is needed is not installed, or the port is taken.
    """
    if os.name != "posix":
        raise ConfigurationError("JupyterHub does not run on this system; use Linux or macOS")
    for package in ("jupyterhub", "edge_server", "edge_applications", "jupyter_server"):
        if importlib.util.find_spec(package) is None:
            raise ConfigurationError(
                f"{package} is not installed; in a clone of Edge, run: python -m pip install -r requirements-hub.txt"
            )
    program = _proxy(data, proxy)
    folder = data / "hub"
    _require_free(port, folder / PROXY_PID)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "settings.json"
    kept = _kept(path)
    settings = {
        **_passwords(path, kept),
        "port": port,
        **_ports(kept),
        "proxy": program,
        "admin": admin,
        "users": list(users),
        # Jupyter wants to be told that it runs as root, as in a container.
        "singleuser": [sys.executable, "-m", "jupyterhub.singleuser", *(["--allow-root"] if os.geteuid() == 0 else [])],
    }
    with replacing(path, mode=0o600) as file:
        file.write(json.dumps(settings, indent=2).encode() + b"\n")
    configuration = folder / "jupyterhub_config.py"
    with replacing(configuration, mode=0o600) as file:
        file.write(CONFIGURATION.encode())
    applications = data / "applications.toml"
    if not applications.exists():
        with replacing(applications, mode=0o600) as file:
            file.write(APPLICATIONS.encode())
    command = [sys.executable, "-m", "jupyterhub", "--config", str(configuration)]
    return Prepared(command, f"http://127.0.0.1:{port}", path, applications)


def _proxy(data: Path, proxy: Path | None) -> str:
    """The program of the hub's proxy, which is no Python."""
    if proxy is not None:
        if not os.access(proxy, os.X_OK):
            raise ConfigurationError(f"{proxy} is no program; name {PROXY} by --proxy")
        return str(proxy.absolute())
    own = data / "node_modules" / ".bin" / PROXY
    program = str(own.absolute()) if os.access(own, os.X_OK) else shutil.which(PROXY)
    if program is None:
        raise ConfigurationError(
            f"{PROXY} is not installed, which JupyterHub needs; with Node.js, run: "
            f"npm install --prefix {data} {PROXY}@5"
        )
    return program


def _kept(path: Path) -> dict[str, Any] | None:
    """The settings of an earlier start; None if this is the first."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        kept = None
    if not isinstance(kept, dict):
        raise _damaged(path)
    return kept


def _damaged(path: Path) -> ConfigurationError:
    return ConfigurationError(f"{path} is damaged; remove it for new passwords")


def _passwords(path: Path, kept: dict[str, Any] | None) -> dict[str, str]:
    """The passwords of an earlier start, or new ones."""
    if kept is None:
        return {"user_password": secrets.token_hex(8), "admin_password": secrets.token_hex(16)}
    try:
        return {name: kept[name] for name in ("user_password", "admin_password")}
    except KeyError:
        raise _damaged(path) from None


def _ports(kept: dict[str, Any] | None) -> dict[str, int]:
    """The inner ports of an earlier start where they are free, by which apps that outlived it find the hub again."""
    ports = dict(zip(INNER_PORTS, _free_ports(len(INNER_PORTS)), strict=True))
    for name in INNER_PORTS:
        port = (kept or {}).get(name)
        if isinstance(port, int) and _is_free(port):
            ports[name] = port
    return ports


def _is_free(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except (OSError, OverflowError):
        return False


def _require_free(port: int, proxy_pid: Path) -> None:
    try:
        with socket.create_server(("127.0.0.1", port)):
            pass
    except OSError as error:
        try:
            process = int(proxy_pid.read_text())
            os.kill(process, 0)
        except (OSError, ValueError):
            pass
        else:
            raise ConfigurationError(
                f"the hub's proxy that an earlier start has left still listens at 127.0.0.1:{port}; end it by: kill "
                f"{process}"
            ) from None
        raise ConfigurationError(
            f"127.0.0.1:{port} cannot be listened at ({error.strerror}); choose another --port"
        ) from None


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens at just now."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports
