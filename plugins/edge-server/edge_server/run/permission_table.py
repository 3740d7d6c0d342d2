"""Writes who may do what, on one page: `python -m edge_server.run.permission_table [--check] [--plugins] PATH`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import flask

from edge_server.keys.signing import Signer
from edge_server.run import app
from edge_server.web.permissions import PEOPLE, Rule, rules_of

_HEAD = """# Permissions

Who may do what: every operation of the server, with the rule that stands on it. The page is written by
`python -m edge_server.run.permission_table docs/permissions.md`, and a test sees that it is current.

Each role of an organization includes the ones before it: member, developer, admin. An organization that the caller is
not in answers 404, to a server admin as well.

"""


def application(*, plugins: bool = False) -> flask.Flask:
    """An application that serves nobody, to be asked for its rules.

    Args:
        plugins: whether what the installed plugins add is part of it.
    """
    with tempfile.TemporaryDirectory() as folder:
        engines = app.engines_at(Path(folder), Signer(b""))
        return app.build(engines, app.load(engines, plugins=plugins))


def rules() -> dict[str, Rule]:
    """The rule of each of the server's own operations, by its id."""
    return rules_of(application())


def text(*, plugins: bool = False) -> str:
    """The page.

    Args:
        plugins: whether to show what the installed plugins add as well.
    """
    built = application(plugins=plugins)
    table = rules_of(built)
    addresses = {
        built.view_functions[route.endpoint].operation_id: (  # type: ignore[union-attr]
            next(method for method in route.methods or () if method not in ("HEAD", "OPTIONS")),
            route.rule,
        )
        for route in built.url_map.iter_rules()
    }
    lines = [f"{len(table)} operations.\n"]
    for rule in Rule:
        operations = [operation for operation, stated in table.items() if stated is rule]
        lines += [
            f"\n## {PEOPLE[rule][0].upper()}{PEOPLE[rule][1:]}\n\n",
            "| operation | method | address |\n| --- | --- | --- |\n",
            *(
                f"| `{operation}` | {addresses[operation][0]} | `{addresses[operation][1]}` |\n"
                for operation in operations
            ),
        ]
    return _HEAD + "".join(lines)


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail if PATH is not current.")
@click.option("--plugins", is_flag=True, help="Show what the installed plugins add as well.")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
def main(check: bool, plugins: bool, path: Path) -> None:
    """Write the rules in force to PATH."""
    current = text(plugins=plugins)
    if not check:
        path.write_text(current, encoding="utf-8")
    elif not path.exists() or path.read_text(encoding="utf-8") != current:
        raise click.ClickException(f"{path} is not current; run python -m edge_server.run.permission_table {path}")


if __name__ == "__main__":
    main()
