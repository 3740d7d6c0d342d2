"""`edge versions`."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import click

from edge_cli import output
from edge_core.config import Settings, checked_url
from edge_core.errors import BadResponse, ConfigurationError, Forbidden, Unauthenticated
from edge_core.plugin import OpenSession

plugin_api = 1

API = "v1"
"""The version of the API that this command speaks."""


@click.command()
@click.option("--target", metavar="SERVICE_URL", help="The server to ask; by default the session's.")
@output.json_option
@click.pass_obj
def versions(open_session: OpenSession, target: str | None, as_json: bool) -> None:
    """Show the versions of this command, of the library, and of the server, if there is one.

    A server that --target names is asked without a token.
    """
    shown: dict[str, object] = {name: importlib.metadata.version(name) for name in ("edge-cli", "edge-core")}
    if target is not None:
        service_url = checked_url(target)
        shown |= _server(_ask(service_url), service_url)
    else:
        shown |= _session(open_session)
    if as_json:
        output.json(shown)
        return
    output.fields({name: version or "no session" for name, version in shown.items()})


def _session(open_session: OpenSession) -> dict[str, object]:
    """The versions of the session's server, and the session's user."""
    try:
        session = open_session()
    except ConfigurationError:
        return {"server": None}
    with session as edge:
        shown = _server(edge.http.core.get("/v1/meta"), edge.config.service_url)
        try:
            shown["user"] = edge.whoami().user_name
        except (Forbidden, Unauthenticated):
            output.note("Could not retrieve authorization details; log in again.")
    return shown


def _ask(service_url: str) -> Any:
    """What a server says of itself to everybody: a token is for the server that has made it, and for no other."""
    from edge_core.http import HttpClient

    client = HttpClient(Settings(api_token="", service_url=service_url, organization="none"))
    try:
        with client.core.fetch_signed("GET", "v1/meta") as answer:
            return answer.json()
    finally:
        client.close()


def _server(answer: Any, service_url: str) -> dict[str, object]:
    """The versions that a server has answered.

    Raises:
        BadResponse: it speaks another version of the API, or is no Edge server.
    """
    if not isinstance(answer, dict) or answer.get("api") != API:
        raise BadResponse(
            f"{service_url} does not speak version {API} of the API, as this command does; upgrade the older of both"
        )
    return {"server": answer.get("version"), "api": answer["api"]}
