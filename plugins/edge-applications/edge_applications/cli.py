"""`edge app`: applications of the organization. It builds no images and pushes none."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import click

from edge_applications import app_config
from edge_applications.app_version import AppKindEnum, AppVersion
from edge_applications.application import Application, AppStatusEnum
from edge_core.errors import AlreadyExists, BadEntry, NotFound

plugin_api = 1

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

_KINDS = click.Choice(["native", "kubernetes", "external"])

_STATUS = {AppStatusEnum.InReview: "In Review", AppStatusEnum.Approved: "Approved"}


@click.group()
def app() -> None:
    """Publish applications, and approve them.

    APP_ID can be left out in an application's folder, where app_config.yaml states it.
    """


@app.command("list")
@click.option("--builtin", is_flag=True, help="With the built-in ones.")
@_json
@click.pass_obj
def list_applications(open_session: Any, builtin: bool, as_json: bool) -> None:
    """List the applications you see, with status and visible versions."""
    with open_session() as edge:
        found = edge.applications.list_applications(include_builtin=builtin)
    if as_json:
        click.echo(json.dumps([one.to_dict() for one in found], indent=2))
        return
    width = max((len(one.app_id) for one in found), default=0)
    for one in found:
        status = "Built in" if one.built_in else _STATUS.get(one.status, str(one.status))
        click.echo(f"{one.app_id:{width}}  {status:9}  {', '.join(one.visible_versions)}".rstrip())


@app.command()
@click.argument("app_id", required=False)
@click.option("--hide-new", is_flag=True, help="New versions do not become visible by themselves.")
@click.option("--idle-minutes", type=click.IntRange(min=1), help="Minutes before an idle app is stopped.")
@_json
@click.pass_obj
def add(open_session: Any, app_id: str | None, hide_new: bool, idle_minutes: int | None, as_json: bool) -> None:
    """Add an application. It is In Review until an admin approves it."""
    wanted = Application(app_id or _here(), visible_auto_add=not hide_new, idle_minutes=idle_minutes)
    with open_session() as edge:
        added = edge.applications.add_application(wanted)
    if as_json:
        click.echo(json.dumps(added.to_dict(), indent=2))
    else:
        click.echo(f"Added {added.app_id}, In Review; an admin approves it with: edge app approve {added.app_id}")


@app.command()
@click.argument("app_id", required=False)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True),
    default=Path("."),
    help="Where app_config.yaml is; by default here.",
)
@click.option("--kind", type=_KINDS, help="What runs it; by default what app_config.yaml says, else native.")
@click.option("--image", metavar="LINK", help="Full image name with a tag, or the address of an external app.")
@click.option("--profile", metavar="PROFILE_ID", help="App profile to recommend, such as edge.medium.")
@click.option("--icon", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A square PNG or JPEG file.")
@_json
@click.pass_obj
def publish(
    open_session: Any,
    app_id: str | None,
    folder: Path,
    kind: str | None,
    image: str | None,
    profile: str | None,
    icon: Path | None,
    as_json: bool,
) -> None:
    """Register a version whose image is in a registry already.

    This builds no image and pushes none: do that before, with your own tools. Everything is taken
    from app_config.yaml: app_id, app_version, framework, repository (the image is
    REPOSITORY:APP_VERSION, unless link or --image says otherwise), and where they are there title,
    description, icon, kind and recommended_profile. An application that is not there yet is added,
    In Review.
    """
    config = app_config.read(folder)
    if app_id is not None and app_id != config.app_id:
        raise BadEntry(f"app_id: app_config.yaml is of {config.app_id}; run this in the folder of {app_id}")
    link = image or config.link
    if link is None:
        raise BadEntry("repository: app_config.yaml does not state it; add it, or give --image")
    version = AppVersion(
        app_id=config.app_id,
        version=config.version,
        title=config.title,
        description=config.description,
        icon=_encoded(icon or config.icon),
        kind=AppKindEnum(kind) if kind else config.kind or AppKindEnum.Native,
        link=link,
        recommended_profile=profile or config.recommended_profile,
        framework=config.framework,
    )
    with open_session() as edge:
        if config.organization not in (None, edge.organization):
            raise BadEntry(
                f"organisation: app_config.yaml is for {config.organization}, and this is {edge.organization}; "
                "use the profile of that organization"
            )
        status = _status(edge, config.app_id)
        added = edge.applications.add_app_version(version)
    if as_json:
        click.echo(json.dumps({**added.to_dict(), "status": status.value}, indent=2))
        return
    click.echo(f"Registered {added.app_id} {added.version} with {added.link}; nothing was built or pushed.")
    if status is AppStatusEnum.InReview:
        click.echo(f"It is In Review; an admin approves it with: edge app approve {added.app_id}")


@app.command()
@click.argument("app_id", required=False)
@_json
@click.pass_obj
def versions(open_session: Any, app_id: str | None, as_json: bool) -> None:
    """List the versions of an application; a star marks those that all members see."""
    app_id = app_id or _here()
    with open_session() as edge:
        found = edge.applications.list_app_versions(app_id)
        visible = edge.applications.get_application(app_id).visible_versions or []
    if as_json:
        shown = [{**one.to_dict(), "visible": one.version in visible} for one in found]
        click.echo(json.dumps(shown, indent=2))
        return
    width = max((len(one.version) for one in found), default=0)
    for one in found:
        click.echo(f"{'*' if one.version in visible else ' '} {one.version:{width}}  {one.link}".rstrip())


@app.command()
@click.argument("app_id", required=False)
@_json
@click.pass_obj
def approve(open_session: Any, app_id: str | None, as_json: bool) -> None:
    """Let all members see an application; for admins of the organization."""
    with open_session() as edge:
        approved = edge.applications.approve_application(app_id or _here())
    click.echo(json.dumps(approved.to_dict(), indent=2) if as_json else f"Approved {approved.app_id}.")


@app.command()
@click.argument("app_id")
@click.option("--version", "version", metavar="VERSION", help="Only this version.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_json
@click.pass_obj
def remove(open_session: Any, app_id: str, version: str | None, yes: bool, as_json: bool) -> None:
    """Remove an application with all its versions, or one version. Images stay in their registries."""
    what = app_id if version is None else f"{app_id} {version}"
    if not yes:
        click.confirm(f"Remove {what}?", abort=True, err=True)
    with open_session() as edge:
        if version is None:
            edge.applications.remove_application(app_id)
        else:
            edge.applications.remove_app_version(app_id, version)
    if as_json:
        click.echo(json.dumps({"app_id": app_id, "version": version, "removed": True}))
    else:
        click.echo(f"Removed {what}.", err=True)


def _here() -> str:
    """The application whose folder this is."""
    if not Path(app_config.FILE_NAME).exists():
        raise click.UsageError("APP_ID is missing; give it, or run this in an application's folder")
    return app_config.read(Path()).app_id


def _encoded(icon: Path | None) -> str:
    if icon is None:
        return ""
    try:
        return base64.b64encode(icon.read_bytes()).decode()
    except OSError as error:
        raise BadEntry(f"icon: {icon} cannot be read ({error.strerror}); correct the path") from None


def _status(edge: Any, app_id: str) -> AppStatusEnum:
    """The status of an application, which is added if it is not there."""
    try:
        found = edge.applications.get_application(app_id)
    except NotFound:
        try:
            found = edge.applications.add_application(Application(app_id, True))
        except AlreadyExists:  # added by someone else this moment
            found = edge.applications.get_application(app_id)
    status: AppStatusEnum = found.status
    return status
