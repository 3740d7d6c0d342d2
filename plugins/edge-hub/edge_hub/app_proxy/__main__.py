"""Run an application behind the proxy: `python -m edge_hub.app_proxy [OPTIONS] COMMAND...`; what images start."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_core.errors import ConfigurationError, EdgeError, MissingPackage
from edge_core.session import EdgeSession
from edge_hub.app_proxy import activity, hub_environment
from edge_hub.app_proxy.people import People
from edge_hub.app_proxy.process import AppFailed, Launch, run_until_signal, serve
from edge_hub.app_proxy.proxy import AppProxy, always
from edge_hub.app_proxy.reports import Reports
from edge_hub.app_proxy.visitors import session_user

IDENTITY_VARIABLE = "EDGE_APP_IDENTITY"

PORT_VARIABLE = "EDGE_APP_PORT"
"""Tells the application where to listen."""

HUB_PATIENCE = 20.0
"""Seconds for which the hub is told that an application is starting. After that, visitors see that; the hub would stop
what does not answer within its `http_timeout`, by default 30."""

_PORT = "{port}"
_EVERYWHERE = ("0.0.0.0", 8888)  # noqa: S104 - in an image, whose port is published


def main() -> int:
    """Run until a signal comes or the application ends; the exit code is 1 if it ends by itself."""
    parser = argparse.ArgumentParser(prog="python -m edge_hub.app_proxy", description=__doc__)
    parser.add_argument("--listen", type=_address, help="by default 0.0.0.0:8888, or where a hub says")
    parser.add_argument(
        "--app",
        type=_address,
        default=("127.0.0.1", 9000),
        help="where the application listens; by default 127.0.0.1:9000; port 0: at a free one",
    )
    parser.add_argument("--folder", type=Path, default=Path(), help="the application's working folder")
    parser.add_argument("command", nargs="+", help="what starts the application; {port} in it is where it listens")
    arguments = parser.parse_args()
    host, port = arguments.app
    application = (host, port or _free_port(host))
    try:
        run_until_signal(_prepare(application, arguments.listen, arguments.folder, arguments.command))
    except AppFailed as failure:
        _warn(f"Error: {failure}")
        # The last thing it does, as Edge has the hub end this process then.
        asyncio.run(Reports(os.environ, _warn).end(failure))
        return 1
    except EdgeError as error:
        _warn(f"Error: {error}")
        return 1
    return 0


def _prepare(
    application: tuple[str, int], listen: tuple[str, int] | None, folder: Path, command: Sequence[str]
) -> Coroutine[Any, Any, None]:
    """What runs an application with a proxy that knows its visitors, by what the environment says of them.

    Raises:
        ConfigurationError: it says nothing: whoever reaches the port would be taken for the user.
    """
    variables = {**os.environ, PORT_VARIABLE: str(application[1])}
    identity = variables.get(IDENTITY_VARIABLE)
    if identity == "session":
        with EdgeSession() as edge:
            proxy = AppProxy(application, always(session_user(edge)))
        launch = _launch(command, folder, variables, application)
        return serve(launch, proxy, listen or _EVERYWHERE, _for_ever)
    if identity == "hub":
        return _at_hub(application, listen, folder, command, variables)
    raise ConfigurationError(
        f"nothing says who visits this application; set {IDENTITY_VARIABLE}=session where nobody but the user of "
        "the session reaches its port, as with: docker run --publish 127.0.0.1:9000:8888"
    )


async def _at_hub(
    application: tuple[str, int],
    listen: tuple[str, int] | None,
    folder: Path,
    command: Sequence[str],
    variables: Mapping[str, str],
) -> None:
    """Run an application that a JupyterHub has started."""
    try:
        from edge_hub.app_proxy.hub_visitors import HubVisitors
    except ImportError:
        raise MissingPackage(
            f"{IDENTITY_VARIABLE}=hub needs jupyterhub where the proxy runs; install edge-hub[app] there"
        ) from None
    listen = listen or hub_environment.listening_address(variables)
    visitors = HubVisitors(variables, People(variables).describe)
    proxy = AppProxy(
        application,
        visitors,
        hosts=None,
        prefix=visitors.prefix,
        scheme=visitors.scheme,
        patience=HUB_PATIENCE,
    )

    async def report(_address: str) -> None:
        await activity.report(variables, lambda: proxy.last_activity, _warn)

    launch = _launch(command, folder, hub_environment.for_application(variables), application)
    reports = Reports(variables, _warn)
    async with visitors:
        starting = asyncio.create_task(reports.start(proxy.wait_until_ready, HUB_PATIENCE))
        try:
            await serve(launch, proxy, listen, report)
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)


def _launch(command: Sequence[str], folder: Path, variables: Mapping[str, str], application: tuple[str, int]) -> Launch:
    words = [word.replace(_PORT, str(application[1])) for word in command]
    return Launch(words, folder.absolute(), variables, application, lambda line: print(line, flush=True))  # noqa: T201


def _warn(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as free:
        free.bind((host, 0))
        return int(free.getsockname()[1])


async def _for_ever(_address: str) -> None:
    await asyncio.Event().wait()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


if __name__ == "__main__":
    sys.exit(main())
