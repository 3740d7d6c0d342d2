"""`edge admin`."""

from __future__ import annotations

import json
from typing import Any

import click

from edge_admin.organization import Organization, OrganizationStatusEnum
from edge_admin.user import User
from edge_core.records import Record

plugin_api = 1

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_where = click.option("--organization", metavar="NAME", help="Short name; by default the session's.")
_roles = click.option(
    "--role", "roles", multiple=True, type=click.Choice(["admin", "developer"]), help="May be repeated."
)


@click.group()
def admin() -> None:
    """Administer organizations, users, members and invitations."""


# --- organizations


@admin.group()
def organizations() -> None:
    """The organizations of the server; for server admins."""


@organizations.command(name="list")
@_json
@click.pass_obj
def list_organizations(open_session: Any, as_json: bool) -> None:
    """List all organizations."""
    with open_session() as edge:
        found = edge.admin.list_organizations()
    _show(found, as_json, lambda one: f"{one.name}: {_text(one.title)} [{_status(one)}]")


@organizations.command(name="add")
@click.argument("name")
@click.option("--title", help="Name for display.")
@click.pass_obj
def add_organization(open_session: Any, name: str, title: str | None) -> None:
    """Add an organization."""
    with open_session() as edge:
        edge.admin.add_organization(Organization(name=name, title=title))


@organizations.command(name="update")
@click.argument("name")
@click.option("--title", help="Name for display.")
@click.option("--status", type=click.Choice(["active", "disable_apps"]), help="Whether apps can be launched.")
@click.option("--disable-launch/--enable-launch", default=None, help="The same, beside the status.")
@click.option("--shutdown-apps/--keep-apps", default=None, help="Stop apps that run when launching is disabled.")
@click.option("--active/--inactive", default=None, help="Whether its members can reach it.")
@click.pass_obj
def update_organization(
    open_session: Any,
    name: str,
    title: str | None,
    status: str | None,
    disable_launch: bool | None,
    shutdown_apps: bool | None,
    active: bool | None,
) -> None:
    """Change what is given; the rest stays."""
    with open_session() as edge:
        found = edge.admin.get_organization(name)
        found.title = found.title if title is None else title
        if status is not None:
            found.status = OrganizationStatusEnum(status)
        for field, value in (("disable_launch", disable_launch), ("shutdown_apps", shutdown_apps), ("active", active)):
            if value is not None:
                setattr(found, field, value)
        edge.admin.update_organization(found)


@organizations.command(name="remove")
@click.argument("name")
@click.confirmation_option(prompt="Remove the organization with all of its data?")
@click.pass_obj
def remove_organization(open_session: Any, name: str) -> None:
    """Remove an organization with all of its data."""
    with open_session() as edge:
        edge.admin.remove_organization(name)
    click.echo(f"{name} is closed; its data is being removed")


@organizations.command()
@click.argument("name")
@click.option("--set", "storage", type=click.IntRange(min=0), metavar="BYTES", help="How much its files may hold.")
@click.option("--default", "reset", is_flag=True, help="Go back to the server's default.")
@_json
@click.pass_obj
def quota(open_session: Any, name: str, storage: int | None, reset: bool, as_json: bool) -> None:
    """Show or set how much an organization's files may hold."""
    with open_session() as edge:
        if storage is None and not reset:
            found = edge.admin.get_quota(name)
        else:
            found = edge.admin.set_quota(name, None if reset else storage)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
        return
    limit = "the server's default" if found.storage_bytes is None else f"{found.storage_bytes} bytes"
    click.echo(f"{name} holds {found.used_bytes} bytes and may hold {limit}")


# --- users


@admin.group()
def users() -> None:
    """The users of the server; for server admins."""


@users.command(name="list")
@_json
@click.pass_obj
def list_users(open_session: Any, as_json: bool) -> None:
    """List all users."""
    with open_session() as edge:
        found = edge.admin.list_users()
    _show(found, as_json, lambda one: one.user_name + (" [server admin]" if one.server_admin else ""))


@users.command(name="add")
@click.argument("user_name")
@click.option("--first-name")
@click.option("--last-name")
@click.option("--email")
@click.option("--server-admin", is_flag=True)
@click.option("--home-org", metavar="NAME")
@click.option("--license", "license_name", metavar="NAME")
@click.pass_obj
def add_user(open_session: Any, /, **fields: Any) -> None:
    """Add a user, who gets a first token by accepting an invitation."""
    with open_session() as edge:
        edge.admin.add_user(User(**fields))


@users.command(name="update")
@click.argument("user_name")
@click.option("--server-admin/--no-server-admin", default=None)
@click.option("--home-org", metavar="NAME")
@click.option("--license", "license_name", metavar="NAME")
@click.pass_obj
def update_user(open_session: Any, /, user_name: str, **fields: Any) -> None:
    """Change what is given; the rest stays."""
    with open_session() as edge:
        found = edge.admin.get_user(user_name)
        for field, value in fields.items():
            if value is not None:
                setattr(found, field, value)
        edge.admin.update_user(found)


@users.command(name="remove")
@click.argument("user_name")
@click.confirmation_option(prompt="Remove the user with their tokens and secrets?")
@click.pass_obj
def remove_user(open_session: Any, user_name: str) -> None:
    """Remove a user."""
    with open_session() as edge:
        edge.admin.remove_user(user_name)


# --- members


@admin.group()
def members() -> None:
    """The members of an organization and their roles."""


@members.command(name="list")
@_where
@_json
@click.pass_obj
def list_members(open_session: Any, organization: str | None, as_json: bool) -> None:
    """List the members."""
    with open_session() as edge:
        found = edge.admin.list_members(organization)
    _show(found, as_json, lambda one: f"{one.user_name} [{', '.join(one.roles) or 'member'}]")


@members.command(name="add")
@click.argument("user_name")
@_roles
@_where
@click.pass_obj
def add_member(open_session: Any, user_name: str, roles: tuple[str, ...], organization: str | None) -> None:
    """Make an existing user a member."""
    with open_session() as edge:
        edge.admin.add_user_to_organization(user_name, roles, organization)


@members.command(name="set-roles")
@click.argument("user_name")
@_roles
@_where
@click.pass_obj
def set_roles(open_session: Any, user_name: str, roles: tuple[str, ...], organization: str | None) -> None:
    """Give a member these roles and no others."""
    with open_session() as edge:
        edge.admin.set_roles(user_name, roles, organization)


@members.command(name="remove")
@click.argument("user_name")
@_where
@click.pass_obj
def remove_member(open_session: Any, user_name: str, organization: str | None) -> None:
    """Take a user out of the organization."""
    with open_session() as edge:
        edge.admin.remove_user_from_organization(user_name, organization)


# --- invitations


@admin.command()
@click.argument("user_name")
@click.option("--email")
@_roles
@_where
@click.pass_obj
def invite(
    open_session: Any, user_name: str, email: str | None, roles: tuple[str, ...], organization: str | None
) -> None:
    """Invite someone and print the one-time code, which is shown only now."""
    with open_session() as edge:
        click.echo(edge.admin.invite_to_organization(user_name, email, roles, organization))


@admin.group()
def invitations() -> None:
    """The invitations of an organization."""


@invitations.command(name="list")
@_where
@_json
@click.pass_obj
def list_invitations(open_session: Any, organization: str | None, as_json: bool) -> None:
    """List the invitations, without their codes."""
    with open_session() as edge:
        found = edge.admin.list_invitations(organization)
    if as_json:
        click.echo(json.dumps([{k: v for k, v in one.to_dict().items() if k != "code"} for one in found], indent=2))
        return
    for one in found:
        state = f"accepted {one.accepted_at:%Y-%m-%d}" if one.accepted_at else f"until {one.expires_at:%Y-%m-%d}"
        click.echo(f"{one.id}  {one.user_name}  [{', '.join(one.roles) or 'member'}]  {state}")


@invitations.command(name="remove")
@click.argument("invitation_id")
@_where
@click.pass_obj
def remove_invitation(open_session: Any, invitation_id: str, organization: str | None) -> None:
    """Void an invitation."""
    with open_session() as edge:
        edge.admin.remove_invitation(invitation_id, organization)


def _show(found: list[Any], as_json: bool, line: Any) -> None:
    if as_json:
        click.echo(json.dumps([one.to_dict() if isinstance(one, Record) else one for one in found], indent=2))
        return
    for one in found:
        click.echo(line(one))


def _status(organization: Organization) -> str:
    status = organization.status
    # A newer server may know others.
    said = status.value if isinstance(status, OrganizationStatusEnum) else str(status)
    return said + ("" if organization.active else ", inactive")


def _text(text: str | None) -> str:
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text or "")
