"""`edge whoami`."""

from __future__ import annotations

import json

import click

from edge_core.plugin import OpenSession

plugin_api = 1


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def whoami(open_session: OpenSession, as_json: bool) -> None:
    """Show whose token this is, and the user's organizations."""
    with open_session() as edge:
        me = edge.whoami()
        organization = edge.organization
    if as_json:
        click.echo(json.dumps(me.to_dict(), indent=2))
        return
    full_name = " ".join(filter(None, [me.first_name, me.last_name]))
    click.echo(me.user_name + (f" ({full_name})" if full_name else "") + (", server admin" if me.server_admin else ""))
    for one in me.organizations:
        here = "*" if one.organization_name == organization else " "
        click.echo(f"{here} {one.organization_name}: {one.title} [{', '.join(one.roles) or 'member'}]")
