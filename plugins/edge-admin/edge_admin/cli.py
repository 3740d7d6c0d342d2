"""`edge admin`."""

from __future__ import annotations

import datetime as dt
from typing import Any

import click

from edge_admin.moments import read_moment
from edge_admin.organization import Organization, OrganizationStatusEnum
from edge_admin.user import User
from edge_cli import output
from edge_core.plugin import OpenSession
from edge_core.sizes import shown

plugin_api = 1

_where = click.option("--organization", metavar="NAME", help="Short name; by default the session's.")
_roles = click.option(
    "--role", "roles", multiple=True, type=click.Choice(["admin", "developer"]), help="May be repeated."
)


def _moment(_context: click.Context, _option: click.Parameter, text: str | None) -> dt.datetime | None:
    if text is None:
        return None
    try:
        return read_moment(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.group()
def admin() -> None:
    """Administer organizations, users, members and invitations."""


# --- organizations


@admin.group()
def organizations() -> None:
    """The organizations of the server; for server admins."""


@organizations.command(name="list")
@output.json_option
@click.pass_obj
def list_organizations(open_session: OpenSession, as_json: bool) -> None:
    """List all organizations."""
    with open_session() as edge:
        organizations = edge.admin.list_organizations()
    output.records(organizations, lambda row: [f"{row.name}: {row.title or ''} [{_status(row)}]"], as_json=as_json)


@organizations.command(name="add")
@click.argument("name")
@click.option("--title", help="Name for display.")
@click.pass_obj
def add_organization(open_session: OpenSession, name: str, title: str | None) -> None:
    """Add an organization."""
    with open_session() as edge:
        edge.admin.add_organization(Organization(name=name, title=title))


@organizations.command(name="update")
@click.argument("name")
@click.option("--title", help="Name for display.")
@click.option("--status", type=click.Choice(["active", "disable_apps"]), help="Whether apps can be launched.")
@click.option("--disable-launch/--enable-launch", default=None, help="Whether apps can be launched, beside the status.")
@click.option("--shutdown-apps/--keep-apps", default=None, help="Stop apps that run when launching is disabled.")
@click.option("--active/--inactive", default=None, help="Whether its members can reach it.")
@click.pass_obj
def update_organization(
    open_session: OpenSession,
    name: str,
    title: str | None,
    status: str | None,
    disable_launch: bool | None,
    shutdown_apps: bool | None,
    active: bool | None,
) -> None:
    """Change the named values; the others stay."""
    with open_session() as edge:
        organization = edge.admin.get_organization(name)
        if title is not None:
            organization.title = title
        if status is not None:
            organization.status = OrganizationStatusEnum(status)
        if disable_launch is not None:
            organization.disable_launch = disable_launch
        if shutdown_apps is not None:
            organization.shutdown_apps = shutdown_apps
        if active is not None:
            organization.active = active
        edge.admin.update_organization(organization)


@organizations.command(name="remove")
@click.argument("name")
@output.confirmation_option("Remove the organization with all of its data?")
@click.pass_obj
def remove_organization(open_session: OpenSession, name: str) -> None:
    """Remove an organization with all of its data."""
    with open_session() as edge:
        edge.admin.remove_organization(name)
    output.line(f"{name} is closed; its data is being removed")


@organizations.command()
@click.argument("name")
@click.option("--set", "storage", type=click.IntRange(min=0), metavar="BYTES", help="How much its files may hold.")
@click.option("--default", "reset", is_flag=True, help="Go back to the server's default.")
@output.json_option
@click.pass_obj
def quota(open_session: OpenSession, name: str, storage: int | None, reset: bool, as_json: bool) -> None:
    """Show or set how much an organization's files may hold; its own admins see it too."""
    with open_session() as edge:
        if storage is None and not reset:
            storage_quota = edge.admin.get_quota(name)
        else:
            storage_quota = edge.admin.set_quota(name, None if reset else storage)
    if as_json:
        output.json(storage_quota)
        return
    default = ", the server's default" if storage_quota.storage_bytes is None else ""
    output.line(
        f"{name} holds {shown(storage_quota.used_bytes)} and may hold {_limit(storage_quota.limit_bytes)}{default}"
    )
    output.line(f"open uploads: {shown(storage_quota.upload_bytes)}, which count as well")
    output.line(
        f"deleted content: {shown(storage_quota.deleted_bytes)}, and there may be "
        f"{_limit(storage_quota.deleted_limit_bytes)}"
    )


def _limit(size: int | None) -> str:
    return "any number of bytes" if size is None else shown(size)


# --- users


@admin.group()
def users() -> None:
    """The users of the server; for server admins."""


@users.command(name="list")
@output.json_option
@click.pass_obj
def list_users(open_session: OpenSession, as_json: bool) -> None:
    """List all users."""
    with open_session() as edge:
        users = edge.admin.list_users()
    output.records(
        users, lambda user: [user.user_name + (" [server admin]" if user.server_admin else "")], as_json=as_json
    )


@users.command(name="add")
@click.argument("user_name")
@click.option("--first-name")
@click.option("--last-name")
@click.option("--email")
@click.option("--server-admin", is_flag=True)
@click.option("--home-org", metavar="NAME")
@click.option("--license", "license_name", metavar="NAME")
@click.pass_obj
def add_user(open_session: OpenSession, /, **fields: Any) -> None:
    """Add a user, who gets a first token by accepting an invitation."""
    with open_session() as edge:
        edge.admin.add_user(User(**fields))


@users.command(name="update")
@click.argument("user_name")
@click.option("--server-admin/--no-server-admin", default=None)
@click.option("--home-org", metavar="NAME")
@click.option("--license", "license_name", metavar="NAME")
@click.pass_obj
def update_user(open_session: OpenSession, /, user_name: str, **fields: Any) -> None:
    """Change the named values; the others stay."""
    with open_session() as edge:
        user = edge.admin.get_user(user_name)
        for field, value in fields.items():
            if value is not None:
                setattr(user, field, value)
        edge.admin.update_user(user)


@users.command(name="remove")
@click.argument("user_name")
@output.confirmation_option("Remove the user with their tokens and secrets?")
@click.pass_obj
def remove_user(open_session: OpenSession, user_name: str) -> None:
    """Remove a user."""
    with open_session() as edge:
        edge.admin.remove_user(user_name)


@users.command(name="revoke-addresses")
@click.argument("user_name")
@click.pass_obj
def revoke_user_addresses(open_session: OpenSession, user_name: str) -> None:
    """End all addresses a user has signed, and their open uploads, in all organizations."""
    with open_session() as edge:
        edge.admin.revoke_user_addresses(user_name)
    output.note(f"All addresses that {user_name} had signed are ended, and their open uploads, in all organizations.")


# --- members


@admin.group()
def members() -> None:
    """The members of an organization and their roles."""


@members.command(name="list")
@_where
@output.json_option
@click.pass_obj
def list_members(open_session: OpenSession, organization: str | None, as_json: bool) -> None:
    """List the members."""
    with open_session() as edge:
        members = edge.admin.list_members(organization)
    output.records(
        members, lambda member: [f"{member.user_name} [{', '.join(member.roles) or 'member'}]"], as_json=as_json
    )


@members.command(name="add")
@click.argument("user_name")
@_roles
@_where
@click.pass_obj
def add_member(open_session: OpenSession, user_name: str, roles: tuple[str, ...], organization: str | None) -> None:
    """Make a user a member, or invite them if this is not their home."""
    with open_session() as edge:
        member = edge.admin.add_user_to_organization(user_name, roles, organization)
    if member.invited:
        output.note(f"{user_name} is invited, and a member as soon as they accept")


@members.command()
@click.argument("user_name")
@_roles
@click.option("--none", "no_roles", is_flag=True, help="Take all roles away; the user stays a member.")
@_where
@output.json_option
@click.pass_obj
def roles(
    open_session: OpenSession,
    user_name: str,
    roles: tuple[str, ...],
    no_roles: bool,
    organization: str | None,
    as_json: bool,
) -> None:
    """Show a member's roles, or give these and no others."""
    if roles and no_roles:
        raise click.UsageError("--none takes all roles away; leave it or --role out")
    with open_session() as edge:
        if roles or no_roles:
            current = edge.admin.set_roles(user_name, roles, organization)
        else:
            current = edge.admin.get_roles(user_name, organization)
    if as_json:
        output.json(current)
    else:
        output.line(f"{user_name} [{', '.join(current) or 'member'}]")


@members.command(name="remove")
@click.argument("user_name")
@_where
@click.pass_obj
def remove_member(open_session: OpenSession, user_name: str, organization: str | None) -> None:
    """Take a user out of the organization."""
    with open_session() as edge:
        edge.admin.remove_user_from_organization(user_name, organization)


@members.command(name="revoke-addresses")
@click.argument("user_name")
@_where
@click.pass_obj
def revoke_member_addresses(open_session: OpenSession, user_name: str, organization: str | None) -> None:
    """End all addresses a member has signed, and their open uploads."""
    with open_session() as edge:
        edge.admin.revoke_member_addresses(user_name, organization)
        where = organization or edge.organization
    output.note(f"All addresses that {user_name} had signed in {where} are ended, and their open uploads there.")


# --- invitations


@admin.command()
@click.argument("user_name")
@click.option("--email")
@_roles
@_where
@click.pass_obj
def invite(
    open_session: OpenSession, user_name: str, email: str | None, roles: tuple[str, ...], organization: str | None
) -> None:
    """Invite someone and print the one-time code, which is shown only now."""
    with open_session() as edge:
        output.value(edge.admin.invite_to_organization(user_name, email, roles, organization))


@admin.group()
def invitations() -> None:
    """The invitations of an organization, and your own."""


@invitations.command(name="list")
@_where
@output.json_option
@click.pass_obj
def list_invitations(open_session: OpenSession, organization: str | None, as_json: bool) -> None:
    """List the invitations, without their codes."""
    with open_session() as edge:
        invitations = edge.admin.list_invitations(organization)
    if as_json:
        output.json([{k: v for k, v in row.to_dict().items() if k != "code"} for row in invitations])
        return
    for row in invitations:
        state = f"accepted {row.accepted_at:%Y-%m-%d}" if row.accepted_at else f"until {row.expires_at:%Y-%m-%d}"
        output.line(row.id, row.user_name, f"[{', '.join(row.roles) or 'member'}]", state)


@invitations.command(name="remove")
@click.argument("invitation_id")
@_where
@click.pass_obj
def remove_invitation(open_session: OpenSession, invitation_id: str, organization: str | None) -> None:
    """Void an invitation."""
    with open_session() as edge:
        edge.admin.remove_invitation(invitation_id, organization)


@invitations.command(name="own")
@output.json_option
@click.pass_obj
def list_own_invitations(open_session: OpenSession, as_json: bool) -> None:
    """List your own open invitations."""
    with open_session() as edge:
        invitations = edge.admin.list_own_invitations()
    if as_json:
        output.json([{k: v for k, v in row.to_dict().items() if k != "code"} for row in invitations])
        return
    for row in invitations:
        roles = f"[{', '.join(row.roles) or 'member'}]"
        output.line(row.id, row.organization_name, roles, f"by {row.created_by}", f"until {row.expires_at:%Y-%m-%d}")


@invitations.command(name="accept")
@click.argument("invitation_id")
@click.pass_obj
def accept_invitation(open_session: OpenSession, invitation_id: str) -> None:
    """Become a member of the organization that you are invited to."""
    with open_session() as edge:
        invitation = edge.admin.accept_invitation(invitation_id)
    output.line(f"You are a member of {invitation.organization_name} now")


@invitations.command(name="decline")
@click.argument("invitation_id")
@click.pass_obj
def decline_invitation(open_session: OpenSession, invitation_id: str) -> None:
    """Decline an invitation of yours."""
    with open_session() as edge:
        edge.admin.decline_invitation(invitation_id)


# --- audit


@admin.command()
@_where
@click.option("--server", is_flag=True, help="Changes of users, tokens, organizations and quotas; for server admins.")
@click.option(
    "--since", callback=_moment, metavar="TIME", help="From then on, such as 2026-01-31 or 2026-01-31T08:00Z."
)
@click.option("--until", callback=_moment, metavar="TIME", help="Changes before then.")
@click.option("--user", "user_name", metavar="NAME", help="What was done by who has this name now.")
@click.option("--action", metavar="NAME", help="An operation, such as members.remove, or a group, such as members.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Most lines.")
@output.json_option
@click.pass_obj
def audit(
    open_session: OpenSession, /, organization: str | None, server: bool, limit: int, as_json: bool, **query: Any
) -> None:
    """Show who changed what, the newest change first; times are in UTC."""
    if server and organization is not None:
        raise click.UsageError("--server shows what belongs to no organization; leave it or --organization out")
    with open_session() as edge:
        if server:
            lines = edge.admin.list_server_audit_lines(max_lines=limit, **query)
        else:
            lines = edge.admin.list_audit_lines(organization, max_lines=limit, **query)
    output.records(
        lines,
        lambda line: [
            f"{line.at:%Y-%m-%d %H:%M:%S}Z",
            line.user_name,
            line.action,
            " ".join(f"{name}={value}" for name, value in line.about.items() if value),
        ],
        as_json=as_json,
    )
    if not lines and not as_json:
        output.note("No changes.")


def _status(organization: Organization) -> str:
    status = organization.status
    # A newer server may send a status that is not in the enum.
    name = status.value if isinstance(status, OrganizationStatusEnum) else str(status)
    return name + ("" if organization.active else ", inactive")
