"""`edge whoami`."""

from __future__ import annotations

import click

from edge_cli import output
from edge_core.config import token_variables
from edge_core.plugin import OpenSession
from edge_core.whoami import CurrentToken, end_hint

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
    if me.token is not None:
        _show(me.token, click.get_current_context().find_root().params.get("profile"))


def _show(token: CurrentToken, profile: str | None) -> None:
    """What the token is limited to, and when it ends; with what to do if that is near."""
    if token.scopes is not None:
        output.line(f"token limited to {', '.join(token.scopes)}")
    if token.expires_at is not None:
        output.line(f"token expires {token.expires_at:%Y-%m-%d %H:%M}Z")
    hint = end_hint(token, profile, next(iter(token_variables()), None))
    if hint is not None:
        output.note(hint)
