"""What the commands of an application's folder share."""

from __future__ import annotations

import click

application_argument = click.argument("app_id", required=False)
"""The application; without it, that of the working folder."""

verbose_option = click.option(
    "--verbose/--no-verbose", default=False, help="Show what the programs write that are called."
)
"""Long steps show what they do; with it, all of it."""
