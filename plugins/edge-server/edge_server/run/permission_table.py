"""Writes who may do what, on one page: `python -m edge_server.run.permission_table [--check] [--plugins] PATH`."""

from __future__ import annotations

from edge_server.identity import token_scopes
from edge_server.run import kept_page
from edge_server.web.permissions import (
    EVERYWHERE,
    FOR_EVERY_TOKEN,
    PEOPLE,
    READING,
    Rule,
    namespaces_of,
    reading_of,
    rules_of,
)

_HEAD = """# Permissions

Who may do what: every operation of the server, with the rule that stands on it. The page is written by
`python -m edge_server.run.permission_table docs/permissions.md`, and a test sees that it is current.

Each role of an organization includes the ones before it: member, developer, admin. An organization that the caller is
not in answers 404, to a server admin as well.

A token can be limited by scopes, and then does less than its user may. The last column has the scope of each operation:
a token limited to `files` does what says `files` or `files:read`, one limited to `files:read` only the latter, one
limited to `read` all that says `:read`, and one limited to `org:NAME` what is in that organization. Every token may do
what has none. {everywhere} is open to a token of an organization as well, and keeps to tokens that may do nothing that
it may not. What a token lacks is refused with 403 and the code `insufficient_scope`, before anything is looked up.

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
    table, namespaces, reading = rules_of(built), namespaces_of(built), reading_of(built)
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
            "| operation | method | address | scope |\n| --- | --- | --- | --- |\n",
            *(
                f"| `{operation}` | {addresses[operation][0]} | `{addresses[operation][1]}` "
                f"| {_scope(operation, namespaces, operation in reading or addresses[operation][0] in READING)} |\n"
                for operation in operations
            ),
        ]
    everywhere = ", ".join(f"`{name}`" for name in sorted(EVERYWHERE))
    return _HEAD.format(everywhere=everywhere) + "".join(lines)


def _scope(operation: str, namespaces: dict[str, str], reads: bool) -> str:
    if operation not in namespaces or operation in FOR_EVERY_TOKEN:
        return "-"
    return f"`{namespaces[operation]}{token_scopes.READING if reads else ''}`"


main = kept_page.command("edge_server.run.permission_table", "Write the rules in force to PATH.", text)


if __name__ == "__main__":
    main()
