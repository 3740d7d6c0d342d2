"""Writes the API's description: `python -m edge_server.run.openapi [--check] [--plugins] PATH`."""

from __future__ import annotations

import json
from typing import Any

from edge_server.run import kept_page
from edge_server.web.description import description_of


def document(*, plugins: bool = False) -> dict[str, Any]:
    """The description of the API as OpenAPI, from the routes and records themselves.

    Args:
        plugins: whether to describe what the installed plugins add as well.
    """
    return description_of(kept_page.application(plugins=plugins))


def text(*, plugins: bool = False) -> str:
    """The document as it is kept: sorted, so that a change shows as what it is."""
    return json.dumps(document(plugins=plugins), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


main = kept_page.command("edge_server.run.openapi", "Write the API's description to PATH.", text)


if __name__ == "__main__":
    main()
