"""The commands for apps that run: `edge app launch`, `running`, `stop`, `share` and `unshare`."""

from __future__ import annotations

from pathlib import Path

import click

from edge_applications import app_config
from edge_applications.names import server_name
from edge_applications.running_app import DEFAULT_TIMEOUT, RunningApp, RunningAppStatusEnum
from edge_cli import output
from edge_core.errors import NotFound
from edge_core.plugin import OpenSession


@click.command()
@click.argument("app_id", required=False)
@click.option("--version", "version", metavar="VERSION", help="Its version; by default the newest that members see.")
@click.option("--profile", "app_profile", metavar="PROFILE_ID", help="The app profile it runs with.")
@click.option("--wait", is_flag=True, help="Wait until it can be visited.")
@click.option(
    "--timeout", type=click.FloatRange(min=0), default=DEFAULT_TIMEOUT, show_default=True, help="Seconds to wait."
)
@output.json_option
@click.pass_obj
def launch(
    open_session: OpenSession,
    app_id: str | None,
    version: str | None,
    app_profile: str | None,
    wait: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Have an application run for you, and show where it is visited."""
    with open_session() as edge:
        app = edge.applications.launch(app_id or here(), version, app_profile)
        if wait:
            try:
                app.wait(timeout)
            except NotFound:
                for line in app.last_lines or ():
                    output.note(f"  {line}")
                raise
    if as_json:
        output.json(app)
    else:
        output.line(f"{app.app_id} {app.version} {_doing(app)} at {app.url}")


@click.command("running")
@click.option("--all-users", is_flag=True, help="Those of all users; for admins of the organization.")
@output.json_option
@click.pass_obj
def list_running(open_session: OpenSession, all_users: bool, as_json: bool) -> None:
    """List your apps that run, with status and address, and those that others share with you."""
    with open_session() as edge:
        apps = edge.applications.list_running(all_users)
    several = all_users or len({app.user_name for app in apps}) > 1 or any(app.shared_with is None for app in apps)
    output.records(
        apps,
        lambda app: (
            *([app.user_name] if several else []),
            app.app_id,
            app.version,
            app.profile_id or "-",
            f"{_status(app):8}",
            _shared(app),
            app.url,
        ),
        as_json=as_json,
    )
    if not apps and not as_json:
        output.note("No app runs; launch one with: edge app launch APP_ID")


@click.command()
@click.argument("app_id", required=False)
@click.option("--user", "user_name", metavar="USER_NAME", help="Whose app it is, for admins; by default yours.")
@output.json_option
@click.pass_obj
def stop(open_session: OpenSession, app_id: str | None, user_name: str | None, as_json: bool) -> None:
    """Stop an app that runs."""
    app_id = app_id or here()
    with open_session() as edge:
        edge.applications.stop_running(server_name(edge.organization, app_id), user_name)
    output.done(f"Stopped {app_id}.", {"app_id": app_id, "user_name": user_name, "stopped": True}, as_json=as_json)


@click.command()
@click.argument("app_id", required=False)
@click.option(
    "--with", "users", multiple=True, metavar="USER_NAME", help="A member; can be repeated. By default all members."
)
@output.json_option
@click.pass_obj
def share(open_session: OpenSession, app_id: str | None, users: tuple[str, ...], as_json: bool) -> None:
    """Let members of the organization visit an app of yours that runs."""
    app_id = app_id or here()
    with open_session() as edge:
        app = edge.applications.share_running(server_name(edge.organization, app_id), users or None)
    if as_json:
        output.json(app)
    else:
        output.line(f"{app.app_id} is shared with {_shared(app)} at {app.url}")


@click.command()
@click.argument("app_id", required=False)
@click.option(
    "--from", "users", multiple=True, metavar="USER_NAME", help="A member; can be repeated. By default everybody."
)
@output.json_option
@click.pass_obj
def unshare(open_session: OpenSession, app_id: str | None, users: tuple[str, ...], as_json: bool) -> None:
    """Let others visit an app of yours no more."""
    app_id = app_id or here()
    with open_session() as edge:
        app = edge.applications.unshare_running(server_name(edge.organization, app_id), users or None)
    if as_json:
        output.json(app)
    elif _shared(app) == "-":
        output.line(f"{app.app_id} is visited by nobody but you.")
    else:
        output.line(f"{app.app_id} is still shared with {_shared(app)}.")


def here() -> str:
    """The application whose folder this is."""
    if not Path(app_config.FILE_NAME).exists():
        raise click.UsageError("APP_ID is missing; give it, or run this in an application's folder")
    return app_config.read_app_id(Path())


def _status(app: RunningApp) -> str:
    # A newer server may send a status that is not in the enum.
    return app.status.value if isinstance(app.status, RunningAppStatusEnum) else str(app.status)


def _shared(app: RunningApp) -> str:
    """Who may visit it beside its owner, in a column."""
    if app.shared_with is None:
        return "-"
    names = [*(["all members"] if app.shared_with.organization else []), *app.shared_with.users]
    return ", ".join(names) or "-"


def _doing(app: RunningApp) -> str:
    return {"running": "runs", "starting": "is starting", "stopping": "is stopping"}.get(_status(app), _status(app))


COMMANDS = (launch, list_running, stop, share, unshare)
