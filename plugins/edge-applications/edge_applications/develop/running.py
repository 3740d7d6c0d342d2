"""An application in its environment, behind the app proxy, as the user of the session."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from edge_applications.app_config import AppConfig
from edge_applications.app_version import AppFrameworkEnum
from edge_applications.develop.environment import OWN_FOLDER, Environment
from edge_core.errors import BadEntry, ConfigurationError, MissingPackage

if TYPE_CHECKING:
    from edge_core.session import EdgeSession
    from edge_hub.app_proxy.process import Launch
    from edge_hub.app_proxy.proxy import AppProxy

HOST = "127.0.0.1"

PORT = 9000
"""Where `edge app run` serves, and where an application listens in its image."""

PORT_VARIABLE = "EDGE_APP_PORT"
"""Tells an application where to listen."""

CHECK_PATIENCE = 60.0
"""Seconds that `edge app check` waits for an answer, by default."""

_PORT = "{port}"

_COMMANDS = {
    AppFrameworkEnum.Panel: [
        *("python", "-m", "panel", "serve", "app.py", "--address", HOST, "--port", _PORT),
        # The proxy refuses pages of other sites; only it reaches the application.
        *("--allow-websocket-origin", "*"),
    ],
    AppFrameworkEnum.Streamlit: [
        *("python", "-m", "streamlit", "run", "app.py", "--server.address", HOST, "--server.port", _PORT),
        *("--server.headless", "true", "--browser.gatherUsageStats", "false"),
        *("--client.toolbarMode", "viewer"),
        # The proxy refuses pages of other sites; only it reaches the application.
        *("--server.enableCORS", "false", "--server.enableXsrfProtection", "false"),
    ],
}

_USUAL = ["python", "app.py"]


def command_of(framework: AppFrameworkEnum, *, port: int, command: tuple[str, ...] | None = None) -> list[str]:
    """What starts an application.

    Args:
        framework: its framework, whose usual command is taken if it has none of its own.
        port: port where it shall listen.
        command: its own command, in which `{port}` stands for the port.
    """
    return [part.replace(_PORT, str(port)) for part in command or _COMMANDS.get(framework, _USUAL)]


def application_port(port: int) -> int:
    """Where an application listens behind a proxy at this port: at 9000 as in its image, or where it is free."""
    if port != PORT:
        return PORT
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def launch(
    folder: Path, config: AppConfig, environment: Environment, edge: EdgeSession, port: int, show: Callable[[str], None]
) -> Launch:
    """How an application is started in its environment.

    Args:
        folder: its folder.
        config: its configuration.
        environment: its environment.
        edge: the session that it opens: its settings are handed on.
        port: where it shall listen.
        show: called with each line that it writes.

    Raises:
        BadEntry: nothing says what starts it.
    """
    process = _import_process()
    if config.command is None and not (folder / "app.py").is_file():
        raise BadEntry(
            f"command: app_config.yaml does not have it, and {folder} has no app.py; add what starts the application, "
            "as in command: [python, server.py]"
        )
    settings = edge.config
    variables = {
        **environment.variables(),
        "EDGE_API_TOKEN": settings.api_token,
        "EDGE_API_SERVICE_URL": settings.service_url,
        "EDGE_API_ORG": settings.organization,
        "PYTHONUNBUFFERED": "1",
        PORT_VARIABLE: str(port),
    }
    first, *rest = command_of(config.framework, port=port, command=config.command)
    # Of the environment, wherever that is on our own PATH.
    own = environment.folder / "bin" / first
    start: Launch = process.Launch([str(own) if own.exists() else first, *rest], folder, variables, (HOST, port), show)
    return start


def run(
    folder: Path,
    config: AppConfig,
    environment: Environment,
    edge: EdgeSession,
    *,
    port: int,
    app_port: int | None,
    show: Callable[[str], None],
    ready: Callable[[str], None],
) -> None:
    """Run an application until it ends or a signal comes.

    Args:
        folder: its folder.
        config: its configuration.
        environment: its environment.
        edge: the session of who visits it.
        port: where visitors reach it; 0 for any.
        app_port: where it listens; by default see `application_port`.
        show: called with each line that it writes, which its log has too.
        ready: called with its address once it answers.

    Raises:
        AppFailed: it could not be started, or has ended by itself.
        ConfigurationError: a port is in use.
    """
    process = _import_process()

    async def until_signal(address: str) -> None:
        ready(address)
        await asyncio.Event().wait()

    with _log(folder).open("w", encoding="utf-8") as log:
        start = launch(folder, config, environment, edge, app_port or application_port(port), _both(log.write, show))
        process.run_until_signal(process.serve(start, _proxy(start, edge), (HOST, port), until_signal))


def check(
    folder: Path, config: AppConfig, environment: Environment, edge: EdgeSession, *, patience: float
) -> tuple[int, float]:
    """Start an application, visit its first page, and stop it.

    Args:
        folder: its folder.
        config: its configuration.
        environment: its environment.
        edge: the session of who visits it.
        patience: seconds until it has failed to answer.

    Returns:
        The status of the answer, and the seconds until it came.

    Raises:
        AppFailed: it could not be started, has ended by itself, or does not answer.
    """
    process = _import_process()
    answers: list[tuple[int, float]] = []
    started = time.monotonic()

    async def visit(address: str) -> None:
        import aiohttp

        try:
            async with (
                aiohttp.ClientSession() as client,
                client.get(address, headers={"Accept": "text/html"}) as answer,
            ):
                await answer.read()
                answers.append((answer.status, time.monotonic() - started))
        except aiohttp.ClientError as error:
            raise process.AppFailed(f"the application breaks off its answer ({type(error).__name__})") from None

    with _log(folder).open("w", encoding="utf-8") as log:
        start = launch(folder, config, environment, edge, application_port(PORT), _both(log.write, lambda _line: None))
        serving = process.serve(start, _proxy(start, edge), (HOST, 0), visit, patience=patience)
        process.run_until_signal(serving)
    if not answers:
        raise KeyboardInterrupt
    return answers[0]


def log_file(folder: Path) -> Path:
    """The log of the last run of an application."""
    return folder / OWN_FOLDER / "run.log"


def _log(folder: Path) -> Path:
    file = log_file(folder)
    try:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    except OSError:
        raise ConfigurationError(f"{file} cannot be written; make {folder} writable, or copy it") from None
    return file


def _both(write: Callable[[str], object], show: Callable[[str], None]) -> Callable[[str], None]:
    def keep(line: str) -> None:
        write(f"{line}\n")
        show(line)

    return keep


def _proxy(start: Launch, edge: EdgeSession) -> AppProxy:
    from edge_hub.app_proxy.proxy import AppProxy, always
    from edge_hub.app_proxy.visitors import session_user

    return AppProxy(start.address, always(session_user(edge)))


def _import_process() -> ModuleType:
    try:
        from edge_hub.app_proxy import process
    except ImportError:
        raise MissingPackage(
            "running an application needs its proxy; install the distribution edge-hub (README, Install)"
        ) from None
    return process
