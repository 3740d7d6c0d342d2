"""`edge versions`."""

from __future__ import annotations

import importlib.metadata

import click

from edge_cli import output
from edge_core.errors import BadResponse, ConfigurationError, Forbidden, Unauthenticated
from edge_core.plugin import OpenSession

plugin_api = 1

API = "v1"
"""The version of the API that this command speaks."""


@click.command()
@output.json_option
@click.pass_obj
def versions(open_session: OpenSession, as_json: bool) -> None:
    """Show the versions of this command, of the library, and of the server, if there is a session."""
    shown: dict[str, object] = {name: importlib.metadata.version(name) for name in ("edge-cli", "edge-core")}
    try:
        session = open_session()
    except ConfigurationError:
        shown["server"] = None
    else:
        with session as edge:
            answer = edge.http.core.get("/v1/meta")
            if not isinstance(answer, dict) or answer.get("api") != API:
                raise BadResponse(
                    f"{edge.config.service_url} does not speak version {API} of the API, as this command does; "
                    "upgrade the older of both"
                )
            shown |= {"server": answer.get("version"), "api": answer["api"]}
            try:
                shown["user"] = edge.whoami().user_name
            except (Forbidden, Unauthenticated):
                output.note("Could not retrieve authorization details; log in again.")
    if as_json:
        output.json(shown)
        return
    output.fields({name: version or "no session" for name, version in shown.items()})
