"""`edge login`."""

from __future__ import annotations

import sys
from typing import TextIO

import click

from edge_cli import output

plugin_api = 1


@click.command()
@click.argument("service_url")
@click.option("--invitation", metavar="CODE", help="Accept an invitation; - reads the code from standard input.")
@click.option("--token-file", type=click.File(), help="File to read a token from; - is standard input.")
@click.option("--organization", metavar="NAME", help="Short name; needed if you are in several.")
@click.pass_context
def login(
    ctx: click.Context,
    service_url: str,
    invitation: str | None,
    token_file: TextIO | None,
    organization: str | None,
) -> None:
    """Write a profile for SERVICE_URL, so that the session and this command find its token.

    With an invitation the token is a new one, if you had none. Otherwise paste one at the prompt, or
    give it on standard input: a token is never an argument, where others could see it. The code of an
    invitation may be one, since it is void once it has been used.

    The profile is [default], or the one that `edge --profile NAME login ...` names.
    """
    from edge_tokens import login as steps
    from edge_tokens.profile import save_profile

    token = token_file.read().strip() if token_file is not None else None
    if invitation is not None:
        code = sys.stdin.readline().strip() if invitation == "-" else invitation
        accepted = steps.accept_invitation(service_url, code, token)
        token = accepted.token or token
        organization = organization or accepted.organization_name
    elif token is None:
        token = _pasted()
    if not token:
        raise click.UsageError("there is no token; paste one, or give --token-file or --invitation")
    me = steps.whoami(service_url, token)
    name = ctx.find_root().params.get("profile") or "default"
    chosen = steps.choose_organization(me, organization)
    path = save_profile(name, api_token=token, service_url=service_url, organization=chosen)
    output.line(f"Logged in to {chosen} as {me.user_name}; the profile [{name}] is in {path}")


def _pasted() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    return output.prompt("API token", hidden=True).strip()
