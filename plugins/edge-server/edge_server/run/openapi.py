"""Writes the API's description: `python -m edge_server.run.openapi [--check] [--plugins] PATH`."""

from __future__ import annotations

import json
from typing import Any

import click

from edge_server.run import kept_page
from edge_server.web import url_prefix as prefixes
from edge_server.web.description import description_of


def document(*, plugins: bool = False, url_prefix: str = "") -> dict[str, Any]:
    """The description of the API as OpenAPI, from the routes and records themselves.

    Args:
        plugins: whether to describe what the installed plugins add as well.
        url_prefix: the path that the addresses begin with.
    """
    return description_of(kept_page.application(plugins=plugins, url_prefix=url_prefix))


def text(*, plugins: bool = False, url_prefix: str = "") -> str:
    """The document as it is kept: sorted, so that a change shows as what it is."""
    return (
        json.dumps(document(plugins=plugins, url_prefix=url_prefix), indent=2, sort_keys=True, ensure_ascii=False)
        + "\n"
    )


def _prefix(_context: click.Context, _option: click.Parameter, value: str) -> str:
    try:
        return prefixes.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_options = [click.Option(["--url-prefix"], default="", callback=_prefix, help="Path that all addresses begin with.")]

main = kept_page.command("edge_server.run.openapi", "Write the API's description to PATH.", text, _options)


if __name__ == "__main__":
    main()
