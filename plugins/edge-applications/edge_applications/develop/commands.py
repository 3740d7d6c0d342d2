"""`edge app init`, `run`, `check`, `shell`, `register`, `unregister` and `upgrade`; `edge env` and `edge reset`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_applications import app_config
from edge_applications.app_config import AppConfig
from edge_applications.application import AppStatusEnum
from edge_applications.develop import environment, known_apps, publishing, running, templates, upgrade
from edge_applications.develop.environment import Environment
from edge_applications.develop.options import application_argument, verbose_option
from edge_applications.names import is_app_id
from edge_cli import output
from edge_core.config import config_path
from edge_core.errors import BadEntry, ConfigurationError, EdgeError
from edge_core.plugin import OpenSession

if TYPE_CHECKING:
    from edge_core.session import EdgeSession

_COMMAND = "edge_applications.command"


@click.command()
@application_argument
@click.option("--target", type=click.Path(path_type=Path), help="The folder to make; by default APP_ID, here.")
@click.option("--org-id", metavar="NAME", help="Organization; by default the session's.")
@click.option("--framework", type=click.Choice(list(templates.FRAMEWORKS)), help="Which template to take.")
@click.option("--python", metavar="VERSION", help="Version of Python, such as 3.11; by default that of this command.")
@click.option("--no-env", is_flag=True, help="Build no environment; edge env build does it later.")
@verbose_option
@click.pass_obj
def init(
    open_session: OpenSession,
    app_id: str | None,
    target: Path | None,
    org_id: str | None,
    framework: str | None,
    python: str | None,
    no_env: bool,
    verbose: bool,
) -> None:
    """Make an application from a template, with its environment, and add it to the organization.

    In the folder of an application that is there already, its files are left as they are, and the rest is done again.
    What is not given is asked for. Without a session the application is made, and not added.
    """
    folder = target or (Path() if _is_here(app_id) else None)
    if folder is not None and (folder / app_config.FILE_NAME).exists():
        config = _existing(folder, app_id)
    else:
        app_id = app_id or output.prompt("Id of the application")
        _check_id(app_id)
        folder = target or Path(app_id)
        framework = framework or _choose_framework()
        organization = org_id or _organization(open_session) or output.prompt("Organization")
        version = python or f"{sys.version_info.major}.{sys.version_info.minor}"
        _check_python(version)
        templates.create(folder, app_id=app_id, framework=framework, organization=organization, python_version=version)
        output.note(f"Made {folder} from the template {framework}.")
        config = app_config.read(folder)
    if not no_env:
        _build(folder.resolve(), config, verbose)
    known_apps.add(config.app_id, folder)
    added = _add(open_session, config.app_id, org_id)
    output.line(f"{config.app_id} is in {folder}{added}; run it with: edge app run {config.app_id}")


@click.command()
@application_argument
@click.option("--port", type=click.IntRange(0, 65535), default=running.PORT, show_default=True, help="Where to serve.")
@click.option(
    "--app-port",
    type=click.IntRange(1, 65535),
    help="Where the application listens; by default where it is free, or 9000 with another --port.",
)
@verbose_option
@click.pass_obj
def run(open_session: OpenSession, app_id: str | None, port: int, app_port: int | None, verbose: bool) -> None:
    """Run an application at http://127.0.0.1:9000/, as you, until Ctrl-C.

    It runs in its environment, which is built if it is not there, behind the proxy that tells it who visits: you,
    whoever comes. So let nobody else reach the port; other users of this machine do. The application learns from
    EDGE_APP_PORT where to listen. If it always listens at 9000, take --port 8888.
    """
    folder, config = known_apps.locate(app_id)
    built = _environment(folder, config, verbose)
    with open_session() as edge:
        output.note(f"Starting {config.app_id}; its log is {running.log_file(folder)}")
        _with_last_lines(
            lambda: running.run(
                folder,
                config,
                built,
                edge,
                port=port,
                app_port=app_port,
                show=output.note,
                ready=lambda address: output.line(f"{config.app_id} runs at {address}/ (Ctrl-C stops it)"),
            ),
            running.log_file(folder),
            show_lines=False,
        )
    output.note(f"Stopped {config.app_id}.")


@click.command()
@application_argument
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=running.CHECK_PATIENCE,
    show_default=True,
    help="Seconds that it may take to answer.",
)
@verbose_option
@output.json_option
@click.pass_obj
def check(open_session: OpenSession, app_id: str | None, timeout: float, verbose: bool, as_json: bool) -> None:
    """Start an application, look whether its first page is answered, and stop it."""
    folder, config = known_apps.locate(app_id)
    built = _environment(folder, config, verbose)
    log = running.log_file(folder)
    answers: list[tuple[int, float]] = []
    with open_session() as edge:
        _with_last_lines(
            lambda: answers.append(running.check(folder, config, built, edge, patience=timeout)), log, show_lines=True
        )
    status, seconds = answers[0]
    if status >= 400:
        raise EdgeError(f"{config.app_id} answers its first page with status {status}; its log is {log}")
    if as_json:
        output.json(
            {"app_id": config.app_id, "version": config.version, "status": status, "seconds": round(seconds, 3)}
        )
    else:
        output.line(
            f"{config.app_id} {config.version} answers its first page with status {status} after {seconds:.1f} s."
        )


class _WithCommand(click.Command):
    """A command that takes another one after `--`, in `context.meta`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            end = args.index("--")
            ctx.meta[_COMMAND] = args[end + 1 :]
            args = args[:end]
        return super().parse_args(ctx, args)


@click.command(cls=_WithCommand, options_metavar="[OPTIONS]")
@application_argument
@verbose_option
@click.pass_context
def shell(context: click.Context, app_id: str | None, verbose: bool) -> None:
    """Open a shell in an application's environment.

    Or run a command there, and return its exit code: edge app shell -- python -m pytest

    The working folder is the application's.
    """
    folder, config = known_apps.locate(app_id)
    built = _environment(folder, config, verbose)
    variables = built.variables()
    program = context.meta.get(_COMMAND) or [os.environ.get("SHELL") or "/bin/sh"]
    try:
        done = subprocess.run(program, cwd=folder, env=variables, check=False)  # noqa: S603 - an argument list
    except OSError as error:
        raise ConfigurationError(f"{program[0]} cannot be started ({error.strerror}); correct the command") from None
    context.exit(done.returncode if done.returncode >= 0 else 128 - done.returncode)


@click.command()
@application_argument
def register(app_id: str | None) -> None:
    """Remember where an application's folder is; run it there, or in the folder above with APP_ID."""
    folder = Path() if app_id is None or _is_here(app_id) else Path(app_id)
    config = app_config.read(folder, app_id)
    if app_id not in (None, config.app_id):
        raise BadEntry(f"app_id: {folder} is of {config.app_id}; register that")
    known_apps.add(config.app_id, folder)
    output.note(f"{config.app_id} is known to be in {folder.resolve()}.")


@click.command()
@application_argument
def unregister(app_id: str | None) -> None:
    """Forget where an application's folder is. The folder and the published application stay."""
    if app_id is None and not (Path() / app_config.FILE_NAME).exists():
        raise click.UsageError("APP_ID is missing; give it, or run this in an application's folder")
    app_id = app_id or app_config.read_app_id(Path())
    if not known_apps.remove(app_id):
        raise BadEntry(f"{app_id} is not known here; {known_apps.path()} has those that are")
    output.note(f"{app_id} is not known any more.")


@click.command("upgrade")
@application_argument
def upgrade_configuration(app_id: str | None) -> None:
    """Bring an app_config.yaml of an older form to today's; the old file is kept beside it."""
    folder = Path() if app_id is None or _is_here(app_id) else known_apps.locate(app_id)[0]
    upgraded = upgrade.upgrade(folder, app_id)
    kept = upgrade.write(folder, upgraded)
    if kept is None:
        output.note("app_config.yaml is of today's form already.")
        return
    for change in upgraded.changes:
        output.note(change)
    output.note(f"Upgraded app_config.yaml; the old file is {kept}")


COMMANDS = (init, run, check, shell, register, unregister, upgrade_configuration)


@click.group()
def env() -> None:
    """The environments of applications."""


@env.command("build")
@application_argument
@verbose_option
def build_environment(app_id: str | None, verbose: bool) -> None:
    """Build the environment of an application anew, from app_deps and env_deps of app_config.yaml.

    It is in .edge/env of the application's folder, and is made by uv if that is there. Packages of EDM are translated
    to those of PyPI.
    """
    folder, config = known_apps.locate(app_id)
    built = _build(folder, config, verbose)
    output.line(f"Built {built.folder}.")


@click.group()
def reset() -> None:
    """Begin anew with what this command keeps in its files; the old ones are kept beside them."""


@reset.command("cli_config")
def reset_login() -> None:
    """Remove the profile file, which holds the logins."""
    _put_aside(Path(config_path()), "there are no logins")


@reset.command("known_apps")
def reset_known_apps() -> None:
    """Remove the file with the folders of applications."""
    _put_aside(known_apps.path(), "no applications are known")


def _put_aside(file: Path, otherwise: str) -> None:
    number = 0
    while (kept := file.with_name(f"{file.name}.old{number or ''}")).exists():
        number += 1
    try:
        # By its name alone, so that who may read it stays as it is.
        file.rename(kept)
    except FileNotFoundError:
        output.note(f"{file} is not there: {otherwise}.")
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be renamed ({error.strerror}); make its folder writable") from None
    else:
        output.note(f"Removed {file}; it is kept as {kept}")


def _is_here(app_id: str | None) -> bool:
    if not Path(app_config.FILE_NAME).exists():
        return False
    return app_id is None or app_config.read_entries(Path()).get("app_id") in (None, app_id)


def _existing(folder: Path, app_id: str | None) -> AppConfig:
    config = app_config.read(folder, app_id)
    if app_id not in (None, config.app_id):
        raise BadEntry(f"app_id: {folder} is of {config.app_id}; choose another folder with --target")
    _check_id(config.app_id)
    return config


def _check_id(app_id: str) -> None:
    if not is_app_id(app_id):
        raise BadEntry(
            f"app_id: {app_id!r} cannot be an id; use 1 to 100 letters, digits, dots, underscores and hyphens, and no "
            "spaces"
        )


def _check_python(version: str) -> None:
    numbers = version.split(".")
    if len(numbers) != 2 or not all(map(str.isdecimal, numbers)):
        raise BadEntry(f"python: {version!r} has not two numbers; write it as in --python 3.11")
    if tuple(map(int, numbers)) < environment.OLDEST_PYTHON:
        raise BadEntry(f"python: {version} is older than Edge runs with; take 3.11 or newer")


def _choose_framework() -> str:
    if not sys.stdin.isatty():
        raise click.UsageError(f"--framework is missing; use one of {', '.join(templates.FRAMEWORKS)}")
    return output.prompt("Framework", choices=list(templates.FRAMEWORKS))


def _organization(open_session: OpenSession) -> str | None:
    try:
        with open_session() as edge:
            return edge.organization
    except ConfigurationError:
        return None


def _add(open_session: OpenSession, app_id: str, organization: str | None) -> str:
    """Add the application to the organization if there is a session, and say so."""
    try:
        session = open_session()
    except ConfigurationError:
        return ", and in no organization, as there is no session"
    with session as edge:
        if organization not in (None, edge.organization):
            return f", and not in {organization}, as the session is in {edge.organization}"
        return f" and in {edge.organization} ({_status(edge, app_id)})"


def _status(edge: EdgeSession, app_id: str) -> str:
    return "Approved" if publishing.register(edge, app_id).status is AppStatusEnum.Approved else "In Review"


def _build(folder: Path, config: AppConfig, verbose: bool) -> Environment:
    built, warnings = environment.build(folder, config, verbose=verbose)
    for warning in warnings:
        output.note(f"Warning: {warning}")
    return built


def _environment(folder: Path, config: AppConfig, verbose: bool) -> Environment:
    """The environment of an application, which is built if it is not there or app_config.yaml has changed since."""
    return environment.existing(folder, config) or _build(folder, config, verbose)


def _with_last_lines(call: Callable[[], None], log: Path, *, show_lines: bool) -> None:
    """Call something that runs an application; if that fails, show what it wrote last and where the rest is."""
    try:
        call()
    except EdgeError as error:
        lines = getattr(error, "last_lines", None)
        if lines is None:
            raise
        if show_lines:
            output.text("\n".join(lines), err=True)
        error.add_note(f"its log is {log}")
        raise
