"""`edge whoami`."""

from __future__ import annotations

import click

from edge_cli import output
from edge_core.plugin import OpenSession

plugin_api = 1


@click.command()
@output.json_option
@click.pass_obj
def whoami(open_session: OpenSession, as_json: bool) -> None:
    """Show the user of this token, and their organizations."""
    with open_session() as edge:
        me = edge.whoami()
        current = edge.organization
    if as_json:
        output.json(me)
        return
    full_name = " ".join(filter(None, [me.first_name, me.last_name]))
    output.line(me.user_name + (f" ({full_name})" if full_name else "") + (", server admin" if me.server_admin else ""))
    for organization in me.organizations:
        name, roles = organization.organization_name, ", ".join(organization.roles)
        output.line(f"{'*' if name == current else ' '} {name}: {organization.title} [{roles or 'member'}]")
