"""Writes who may do what, on one page: `python -m edge_server.run.permission_table [--check] [--plugins] PATH`."""

from __future__ import annotations

from edge_server.run import kept_page
from edge_server.web.permissions import PEOPLE, Rule, rules_of

_HEAD = """# Permissions

Who may do what: every operation of the server, with the rule that stands on it. The page is written by
`python -m edge_server.run.permission_table docs/permissions.md`, and a test sees that it is current.

Each role of an organization includes the ones before it: member, developer, admin. An organization that the caller is
not in answers 404, to a server admin as well.

"""


def rules() -> dict[str, Rule]:
    """The rule of each of the server's own operations, by its id."""
    return rules_of(kept_page.application())


def text(*, plugins: bool = False) -> str:
    """The page.

    Args:
        plugins: whether to show what the installed plugins add as well.
    """
    built = kept_page.application(plugins=plugins)
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
        operations = [operation for operation, declared in table.items() if declared is rule]
        lines += [
            f"\n## {PEOPLE[rule][0].upper()}{PEOPLE[rule][1:]}\n\n",
            "| operation | method | address |\n| --- | --- | --- |\n",
            *(
                f"| `{operation}` | {addresses[operation][0]} | `{addresses[operation][1]}` |\n"
                for operation in operations
            ),
        ]
    return _HEAD + "".join(lines)


main = kept_page.command("edge_server.run.permission_table", "Write the rules in force to PATH.", text)


if __name__ == "__main__":
    main()
