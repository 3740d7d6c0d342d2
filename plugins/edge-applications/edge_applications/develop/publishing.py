"""`edge app build`, `publish` and `versions`."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_applications import app_config
from edge_applications.app_config import AppConfig
from edge_applications.app_version import AppKindEnum, AppVersion
from edge_applications.application import Application, AppStatusEnum
from edge_applications.develop import image, known_apps
from edge_applications.develop.options import application_argument, verbose_option
from edge_applications.names import is_app_id, is_image, is_version, is_web_address
from edge_cli import output
from edge_core.errors import AlreadyExists, BadEntry, Forbidden, NotFound
from edge_core.plugin import OpenSession

if TYPE_CHECKING:
    from edge_core.session import EdgeSession

_KINDS = click.Choice(["native", "kubernetes", "external"])

_MAY_PUBLISH = frozenset({"developer", "admin"})

_engine_option = click.option(
    "--engine", type=click.Choice(image.ENGINES), help="What builds and pushes; by default docker, else podman."
)


@click.command()
@application_argument
@_engine_option
@click.option(
    "--image", "reference", metavar="IMAGE", help="Whole reference of the image; by default app_config.yaml's."
)
@click.option("--force", is_flag=True, help="Build all of it anew, without what earlier builds left.")
@verbose_option
@output.json_option
def build(
    app_id: str | None, engine: str | None, reference: str | None, force: bool, verbose: bool, as_json: bool
) -> None:
    """Build the image of the version in app_config.yaml, by docker or podman.

    It is described by Containerfile in the application's folder, which is yours to change.
    """
    folder, config = known_apps.locate(app_id)
    built = _checked_image(reference or _native_image(config))
    warnings = image.build(folder, config, built, image.find_engine(engine), force=force, verbose=verbose)
    for warning in warnings:
        output.note(f"Warning: {warning}")
    if as_json:
        output.json({"app_id": config.app_id, "version": config.version, "image": built, "warnings": warnings})
    else:
        output.line(f"Built {built}.")


@click.command()
@application_argument
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True),
    help="Where app_config.yaml is; by default here, or where the application is known to be.",
)
@click.option("--kind", type=_KINDS, help="What runs it; by default what app_config.yaml says, else native.")
@click.option(
    "--image",
    "--link",
    "link",
    metavar="LINK",
    help="Whole reference of an image that is in its registry already, or the address of a Kubernetes or external app.",
)
@click.option("--no-push", is_flag=True, help="The image of app_config.yaml is in its registry already.")
@_engine_option
@click.option("--profile", metavar="PROFILE_ID", help="App profile to recommend, such as edge.medium.")
@click.option("--icon", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A square PNG or JPEG file.")
@click.option("--skip-existing", is_flag=True, help="Leave a version that is registered already as it is.")
@verbose_option
@output.json_option
@click.pass_obj
def publish(
    open_session: OpenSession,
    app_id: str | None,
    folder: Path | None,
    kind: str | None,
    link: str | None,
    no_push: bool,
    engine: str | None,
    profile: str | None,
    icon: Path | None,
    skip_existing: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Push the image of the version in app_config.yaml, and register the version.

    The image is what `edge app build` has built: REPOSITORY/ORGANISATION/APP_ID:APP_VERSION. With --image, or a link in
    app_config.yaml, it is in its registry already, and nothing is pushed. EDGE_REGISTRY_USERNAME and
    EDGE_REGISTRY_PASSWORD log in at the registry; without them the logins of docker or podman are used.

    Everything else is taken from app_config.yaml: app_id, app_version, framework, and where they are there title,
    description, icon, kind and recommended_profile. A Kubernetes or external app has its address in link or --link. An
    application that is not there yet is added, In Review.
    """
    home, config = _configuration(app_id, folder)
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
    _check(version)
    pushes = version.kind is AppKindEnum.Native and not (link or config.link or no_push)
    with open_session() as edge:
        # What can fail is looked at before anything is pushed, and nothing is registered before all of it is there.
        _check_role(edge)
        kept = _registered(edge, version)
        if kept is not None and not skip_existing:
            raise AlreadyExists(
                f"{version.app_id} {version.version} is registered already with {kept.link}; add it under another "
                "version, or leave it with --skip-existing"
            )
        if kept is None and pushes:
            image.push(home, version.link or "", image.find_engine(engine), verbose=verbose)
        added = kept or _add(edge, version)
        status = edge.applications.get_application(config.app_id).status or AppStatusEnum.InReview
    skipped = kept is not None
    different = [name for name, value in added.to_dict().items() if skipped and value != version.to_dict()[name]]
    pushed = pushes and not skipped
    if as_json:
        name = status.value if isinstance(status, AppStatusEnum) else status  # a newer server's is text
        output.json({**added.to_dict(), "status": name, "skipped": skipped, "different": different, "pushed": pushed})
        return
    if skipped:
        output.line(f"Skipped {added.app_id} {added.version}, which is registered already with {added.link}.")
        if different:
            output.line(f"It differs from what is here in {', '.join(different)}; publish that as another version.")
    else:
        done = "it was pushed" if pushed else "nothing was built or pushed"
        output.line(f"Registered {added.app_id} {added.version} with {added.link}; {done}.")
    if status is AppStatusEnum.InReview:
        output.line(f"It is In Review; an admin approves it with: edge app approve {added.app_id}")


@click.command()
@application_argument
@output.json_option
@click.pass_obj
def versions(open_session: OpenSession, app_id: str | None, as_json: bool) -> None:
    """List the versions of an application; a star marks those that all members see.

    In the application's folder, versions that are built there and not published are listed too.
    """
    here = Path()
    built: dict[str, str] = {}
    if (here / app_config.FILE_NAME).exists() and app_id in (None, app_config.read_app_id(here)):
        app_id = app_config.read_app_id(here)
        built = image.built(here)
    elif app_id is None:
        raise click.UsageError("APP_ID is missing; give it, or run this in an application's folder")
    with open_session() as edge:
        try:
            published = edge.applications.list_app_versions(app_id)
            visible = edge.applications.get_application(app_id).visible_versions or []
        except NotFound:
            if not built:
                raise
            published, visible = [], []
    waiting = {version: link for version, link in built.items() if version not in {row.version for row in published}}
    if as_json:
        rows = [{**row.to_dict(), "visible": row.version in visible, "published": True} for row in published]
        more = [{"app_id": app_id, "version": name, "link": link, "visible": False} for name, link in waiting.items()]
        output.json([*rows, *({**row, "published": False} for row in more)])
        return
    if not published and not waiting:
        output.note(f"{app_id} has no versions; register one with: edge app publish")
    lines = [(f"{'*' if row.version in visible else ' '} {row.version}", row.link) for row in published]
    output.table([*lines, *((f"  {version}", f"{link} (built, not published)") for version, link in waiting.items())])


COMMANDS = (build, publish, versions)


def _configuration(app_id: str | None, folder: Path | None) -> tuple[Path, AppConfig]:
    if folder is None and not Path(app_config.FILE_NAME).exists() and app_id in known_apps.read():
        return known_apps.locate(app_id)
    folder = folder or Path()
    config = app_config.read(folder, app_id)
    if app_id is not None and app_id != config.app_id:
        raise BadEntry(f"app_id: app_config.yaml is of {config.app_id}; run this in the folder of {app_id}")
    return (folder if folder.is_dir() else folder.parent), config


def _native_image(config: AppConfig) -> str:
    return config.link or config.image()


def _link(config: AppConfig, kind: AppKindEnum) -> str:
    """What app_config.yaml says is run: the image of a native application, the address of another."""
    if config.link is not None:
        return config.link
    if kind is AppKindEnum.Native:
        return config.image()
    raise BadEntry(f"link: app_config.yaml does not have it; add the address of the {kind.value} app, or give --link")


def _check(version: AppVersion) -> None:
    """Refuse what the server would refuse after the image is pushed and the application added."""
    if not is_app_id(version.app_id):
        raise BadEntry(
            f"app_id: {version.app_id!r} cannot be an id; use 1 to 100 letters, digits, dots, underscores and hyphens, "
            "and no spaces"
        )
    if not is_version(version.version):
        raise BadEntry(f"app_version: {version.version!r} cannot be a version; write it as in 1.0.0")
    if version.kind is AppKindEnum.Native:
        _checked_image(version.link or "")
    elif not is_web_address(version.link or ""):
        raise BadEntry(f"link: it is not the address of a web page ({version.link!r}); correct it")


def _checked_image(reference: str) -> str:
    if not is_image(reference):
        raise BadEntry(
            f"image: {reference!r} is not a whole reference; write registry, path in lower case and tag, as in "
            "quay.io/lab/viewer:1.0.0"
        )
    return reference


def _check_role(edge: EdgeSession) -> None:
    memberships = edge.whoami().organizations or []
    roles = [role for row in memberships if row.organization_name == edge.organization for role in row.roles or ()]
    if not _MAY_PUBLISH & set(roles):
        raise Forbidden(
            f"publishing needs the role developer or admin in {edge.organization}, which this user has not; ask an "
            "admin for it"
        )


def _registered(edge: EdgeSession, version: AppVersion) -> AppVersion | None:
    try:
        return edge.applications.get_app_version(version.app_id, version.version)
    except NotFound:
        return None


def _add(edge: EdgeSession, version: AppVersion) -> AppVersion:
    """Add a version, and its application if that does not exist.

    The server looks at the version first, so no application is added for one that cannot be.
    """
    try:
        return edge.applications.add_app_version(version)
    except NotFound:
        register(edge, version.app_id)
        return edge.applications.add_app_version(version)


def register(edge: EdgeSession, app_id: str) -> Application:
    """The application, which is added if it does not exist."""
    try:
        return edge.applications.get_application(app_id)
    except NotFound:
        try:
            return edge.applications.add_application(Application(app_id, True))
        except AlreadyExists:  # added by someone else this moment
            return edge.applications.get_application(app_id)


def _encoded(icon: Path | None) -> str:
    if icon is None:
        return ""
    try:
        return base64.b64encode(icon.read_bytes()).decode()
    except OSError as error:
        raise BadEntry(f"icon: {icon} cannot be read ({error.strerror}); correct the path") from None
