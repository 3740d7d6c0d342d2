"""`edge app`: applications of the organization. It builds no images and pushes none."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_applications import app_config
from edge_applications.app_version import AppKindEnum, AppVersion
from edge_applications.application import Application, AppStatusEnum
from edge_cli import output
from edge_core.errors import AlreadyExists, BadEntry, NotFound
from edge_core.plugin import OpenSession

if TYPE_CHECKING:
    from edge_core.session import EdgeSession

plugin_api = 1

_KINDS = click.Choice(["native", "kubernetes", "external"])

_STATUS = {AppStatusEnum.InReview: "In Review", AppStatusEnum.Approved: "Approved"}


@click.group()
def app() -> None:
    """Publish applications, and approve them.

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
    application = Application(app_id or _here(), visible_auto_add=not hide_new, idle_minutes=idle_minutes)
    with open_session() as edge:
        added = edge.applications.add_application(application)
    if as_json:
        output.json(added)
    else:
        output.line(f"Added {added.app_id}, In Review; an admin approves it with: edge app approve {added.app_id}")


@app.command()
@click.argument("app_id", required=False)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True),
    default=Path("."),
    help="Where app_config.yaml is; by default here.",
)
@click.option("--kind", type=_KINDS, help="What runs it; by default what app_config.yaml says, else native.")
@click.option(
    "--image",
    "--link",
    "link",
    metavar="LINK",
    help="Whole image reference of a native app, or the address of a Kubernetes or external one.",
)
@click.option("--profile", metavar="PROFILE_ID", help="App profile to recommend, such as edge.medium.")
@click.option("--icon", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A square PNG or JPEG file.")
@click.option("--skip-existing", is_flag=True, help="Leave a version that is registered already as it is.")
@output.json_option
@click.pass_obj
def publish(
    open_session: OpenSession,
    app_id: str | None,
    folder: Path,
    kind: str | None,
    link: str | None,
    profile: str | None,
    icon: Path | None,
    skip_existing: bool,
    as_json: bool,
) -> None:
    """Register a version whose image is in a registry already.

    This builds no image and pushes none: do that before, with your own tools. Everything is taken
    from app_config.yaml: app_id, app_version, framework, repository and organisation, and where they
    are there title, description, icon, kind and recommended_profile. The image is
    REPOSITORY/ORGANISATION/APP_ID:APP_VERSION, unless link or --image says otherwise; both are those of
    the registry. A Kubernetes or external app has its address in link or --link. An application that is
    not there yet is added, In Review.
    """
    config = app_config.read(folder, app_id)
    if app_id is not None and app_id != config.app_id:
        raise BadEntry(f"app_id: app_config.yaml is of {config.app_id}; run this in the folder of {app_id}")
    version = AppVersion(
        app_id=config.app_id,
        version=config.version,
        title=config.title,
        description=config.description,
        icon=_encoded(icon or config.icon),
        kind=AppKindEnum(kind) if kind else config.kind or AppKindEnum.Native,
        recommended_profile=profile or config.recommended_profile,
        framework=config.framework,
    )
    version.link = link or _link(config, version.kind)
    with open_session() as edge:
        status = _status(edge, config.app_id)
        try:
            added, skipped = edge.applications.add_app_version(version), False
        except AlreadyExists:
            if not skip_existing:
                raise
            added, skipped = edge.applications.get_app_version(version.app_id, version.version), True
    different = [name for name, value in added.to_dict().items() if skipped and value != version.to_dict()[name]]
    if as_json:
        name = status.value if isinstance(status, AppStatusEnum) else status  # a newer server's is text
        output.json({**added.to_dict(), "status": name, "skipped": skipped, "different": different})
        return
    if skipped:
        output.line(f"Skipped {added.app_id} {added.version}, which is registered already with {added.link}.")
        if different:
            output.line(f"It differs from what is here in {', '.join(different)}; publish that as another version.")
    else:
        output.line(f"Registered {added.app_id} {added.version} with {added.link}; nothing was built or pushed.")
    if status is AppStatusEnum.InReview:
        output.line(f"It is In Review; an admin approves it with: edge app approve {added.app_id}")


@app.command()
@click.argument("app_id", required=False)
@output.json_option
@click.pass_obj
def versions(open_session: OpenSession, app_id: str | None, as_json: bool) -> None:
    """List the versions of an application; a star marks those that all members see."""
    app_id = app_id or _here()
    with open_session() as edge:
        versions = edge.applications.list_app_versions(app_id)
        visible = edge.applications.get_application(app_id).visible_versions or []
    if as_json:
        output.json([{**version.to_dict(), "visible": version.version in visible} for version in versions])
        return
    if not versions:
        output.note(f"{app_id} has no versions; register one with: edge app publish")
    output.table([(f"{'*' if row.version in visible else ' '} {row.version}", row.link) for row in versions])


@app.command()
@click.argument("app_id", required=False)
@output.json_option
@click.pass_obj
def approve(open_session: OpenSession, app_id: str | None, as_json: bool) -> None:
    """Let all members see an application; for admins of the organization."""
    with open_session() as edge:
        approved = edge.applications.approve_application(app_id or _here())
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
        app_id = _here()
    target = app_id if version is None else f"{app_id} {version}"
    if not yes:
        output.confirm(f"Remove {target}?")
    with open_session() as edge:
        if version is None:
            edge.applications.remove_application(app_id)
        else:
            edge.applications.remove_app_version(app_id, version)
    output.done(f"Removed {target}.", {"app_id": app_id, "version": version, "removed": True}, as_json=as_json)


def _here() -> str:
    """The application whose folder this is."""
    if not Path(app_config.FILE_NAME).exists():
        raise click.UsageError("APP_ID is missing; give it, or run this in an application's folder")
    return app_config.read_app_id(Path())


def _link(config: app_config.AppConfig, kind: AppKindEnum) -> str:
    """What app_config.yaml says is run: the image of a native application, the address of another."""
    if config.link is not None:
        return config.link
    if kind is AppKindEnum.Native:
        return config.image()
    raise BadEntry(f"link: app_config.yaml does not have it; add the address of the {kind.value} app, or give --link")


def _encoded(icon: Path | None) -> str:
    if icon is None:
        return ""
    try:
        return base64.b64encode(icon.read_bytes()).decode()
    except OSError as error:
        raise BadEntry(f"icon: {icon} cannot be read ({error.strerror}); correct the path") from None


def _status_of(application: Application) -> str:
    if application.built_in:
        return "Built in"
    # A newer server may send a status that is not in the enum.
    return _STATUS.get(application.status, str(application.status)) if application.status else ""


def _status(edge: EdgeSession, app_id: str) -> AppStatusEnum:
    """The status of an application, which is added if it does not exist."""
    try:
        application = edge.applications.get_application(app_id)
    except NotFound:
        try:
            application = edge.applications.add_application(Application(app_id, True))
        except AlreadyExists:  # added by someone else this moment
            application = edge.applications.get_application(app_id)
    return application.status or AppStatusEnum.InReview
