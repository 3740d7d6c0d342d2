"""`edge login`."""

from __future__ import annotations

import sys
from typing import TextIO

import click

from edge_cli import output
from edge_core.redaction import TOKEN_PREFIX
from edge_core.whoami import end_hint

plugin_api = 1


# What is too much here is most often a token, of which there is more to say than click would.
@click.command(context_settings={"allow_extra_args": True})
@click.argument("service_url", required=False)
@click.option("--invitation", metavar="CODE", help="Accept an invitation; - reads the code from standard input.")
@click.option("--token-file", type=click.File(), help="File to read a token from; - is standard input.")
@click.option("--organization", metavar="NAME", help="Short name; needed if you are in several.")
@click.option("--renew", is_flag=True, help="Give the profile's token a new value, and a new end if it can be renewed.")
@click.pass_context
def login(
    ctx: click.Context,
    service_url: str | None,
    invitation: str | None,
    token_file: TextIO | None,
    organization: str | None,
    renew: bool,
) -> None:
    """Write a profile for SERVICE_URL, so that the session and this command find its token.

    With an invitation the token is a new one, if you had none. Otherwise paste one at the prompt, or
    give it on standard input: a token is never an argument, where others could see it. The code of an
    invitation may be one, since it is void once it has been used.

    The profile is [default], or the one that `edge --profile NAME login ...` names.

    With --renew, and without SERVICE_URL, the token of the profile gets a new value, and the old one is void. That of
    a new server's first start is good for as long again then; others end when they would have.
    """
    from edge_tokens import login as steps
    from edge_tokens.profile import save_profile

    if ctx.args or (service_url is not None and service_url.startswith(TOKEN_PREFIX)):
        raise click.UsageError(
            "login takes one argument, SERVICE_URL; a token is never an argument, where others can see it: paste it at "
            "the prompt, or give --token-file FILE (- is standard input). Remove a token that was an argument: "
            "edge tokens remove"
        )
    name = ctx.find_root().params.get("profile") or "default"
    if renew:
        if service_url is not None or invitation is not None or token_file is not None or organization is not None:
            raise click.UsageError("--renew renews the token of a profile as it is; leave everything else out")
        _renew(name)
        return
    if service_url is None:
        raise click.UsageError("name the service: edge login SERVICE_URL, or renew the profile's token: --renew")
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
    chosen = steps.choose_organization(me, organization)
    path = save_profile(name, api_token=token, service_url=service_url, organization=chosen)
    output.line(f"Logged in to {chosen} as {me.user_name}; the profile [{name}] is in {path}")
    hint = end_hint(me.token, name)
    if hint is not None:
        output.note(hint)


def _renew(profile: str) -> None:
    from edge_tokens import login as steps

    renewed = steps.renew(profile)
    me, end = renewed.me, None if renewed.me.token is None else renewed.me.token.expires_at
    until = "it never expires" if end is None else f"it expires {end:%Y-%m-%d %H:%M}Z"
    if end is not None and end == renewed.before:
        until += ", as the old one did: it cannot be extended"
    output.line(f"The token of {me.user_name} has a new value in the profile [{profile}] of {renewed.path}; {until}")
    note = steps.ambient_note(renewed)
    if note is not None:
        output.note(note)


def _pasted() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    return output.prompt("API token", hidden=True).strip()
