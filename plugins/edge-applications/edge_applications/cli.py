"""`edge app`: applications of the organization, from their folders on."""

from __future__ import annotations

import click

from edge_applications import launching
from edge_applications.application import Application, AppStatusEnum
from edge_applications.develop import commands, publishing
from edge_applications.launching import here
from edge_cli import output
from edge_core.plugin import OpenSession

plugin_api = 1

_STATUS = {AppStatusEnum.InReview: "In Review", AppStatusEnum.Approved: "Approved"}


@click.group()
def app() -> None:
    """Make applications, run them, publish them, approve them, and launch them.

    APP_ID can be left out in an application's folder, where app_config.yaml names it.
    """


@app.command("list")
@click.option("--builtin", is_flag=True, help="With the built-in ones.")
@output.json_option
@click.pass_obj
def list_applications(open_session: OpenSession, builtin: bool, as_json: bool) -> None:
    """List the applications you see, with status and visible versions."""
    with open_session() as edge:
        applications = edge.applications.list_applications(include_builtin=builtin)
    output.records(
        applications,
        lambda row: (
            row.app_id,
            f"{_status_of(row):9}",
            ", ".join(row.visible_versions or ()),
        ),
        as_json=as_json,
    )
    if not applications and not as_json:
        output.note("You see no applications; add one with: edge app add APP_ID")


@app.command()
@click.argument("app_id", required=False)
@click.option("--hide-new", is_flag=True, help="New versions do not become visible by themselves.")
@click.option("--idle-minutes", type=click.IntRange(min=1), help="Minutes before an idle app is stopped.")
@output.json_option
@click.pass_obj
def add(open_session: OpenSession, app_id: str | None, hide_new: bool, idle_minutes: int | None, as_json: bool) -> None:
    """Add an application. It is In Review until an admin approves it."""
    application = Application(app_id or here(), visible_auto_add=not hide_new, idle_minutes=idle_minutes)
    with open_session() as edge:
        added = edge.applications.add_application(application)
    if as_json:
        output.json(added)
    else:
        output.line(f"Added {added.app_id}, In Review; an admin approves it with: edge app approve {added.app_id}")


@app.command()
@click.argument("app_id", required=False)
@output.json_option
@click.pass_obj
def approve(open_session: OpenSession, app_id: str | None, as_json: bool) -> None:
    """Let all members see an application; for admins of the organization."""
    with open_session() as edge:
        approved = edge.applications.approve_application(app_id or here())
    if as_json:
        output.json(approved)
    else:
        output.line(f"Approved {approved.app_id}.")


@app.command()
@click.argument("app_id", required=False)
@click.option("--version", "version", metavar="VERSION", help="Only this version.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output.json_option
@click.pass_obj
def remove(open_session: OpenSession, app_id: str | None, version: str | None, yes: bool, as_json: bool) -> None:
    """Remove an application with all its versions, or one version. Images stay in their registries.

    With --yes, APP_ID can only be left out together with --version.
    """
    if app_id is None:
        if version is None and yes:
            raise click.UsageError("APP_ID is missing; name the application that is removed without a question")
        app_id = here()
    target = app_id if version is None else f"{app_id} {version}"
    if not yes:
        output.confirm(f"Remove {target}?")
    with open_session() as edge:
        if version is None:
            edge.applications.remove_application(app_id)
        else:
            edge.applications.remove_app_version(app_id, version)
    output.done(f"Removed {target}.", {"app_id": app_id, "version": version, "removed": True}, as_json=as_json)


def _status_of(application: Application) -> str:
    if application.built_in:
        return "Built in"
    # A newer server may send a status that is not in the enum.
    return _STATUS.get(application.status, str(application.status)) if application.status else ""


for command in (*commands.COMMANDS, *publishing.COMMANDS, *launching.COMMANDS):
    app.add_command(command)

env = commands.env

reset = commands.reset
