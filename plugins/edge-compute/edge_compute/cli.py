"""`edge compute`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from edge_compute.app_placeholder import AppPlaceholder
from edge_compute.app_profile import AppProfile

plugin_api = 1

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def compute() -> None:
    """See and arrange the machines that applications can run on."""


@compute.command()
@_json
@click.pass_obj
def instances(open_session: Any, as_json: bool) -> None:
    """List the kinds of machines there are."""
    with open_session() as edge:
        found = edge.compute.list_instance_types()
    rows = [
        (one["instance_name"], f"{one['cpu']:g}", one["gpu"], f"{one['memory']:g}", one["gpu_name"] or "")
        for one in found
    ]
    _show(found, as_json, ("NAME", "CPU", "GPU", "GB", "GRAPHICS PROCESSOR"), rows)


@compute.command()
@_json
@click.pass_obj
def backend(open_session: Any, as_json: bool) -> None:
    """Tell what gives machines on this server, and whether it starts any."""
    with open_session() as edge:
        found = edge.compute.get_backend()
    click.echo(json.dumps(found, indent=2) if as_json else f"{found['name']}: {found['note']}")


@compute.group()
def profiles() -> None:
    """App profiles: the machines applications can be given."""


@profiles.command("list")
@_json
@click.pass_obj
def list_profiles(open_session: Any, as_json: bool) -> None:
    """List the app profiles, the built-in ones last."""
    with open_session() as edge:
        found = edge.compute.list_app_profiles()
    rows = [
        (
            one.profile_id,
            one.instance_name,
            f"{one.cpu:g}",
            one.gpu,
            f"{one.memory:g}",
            getattr(one.status, "value", one.status),
            "disabled" if one.disable else "",
        )
        for one in found
    ]
    columns = ("PROFILE", "INSTANCE", "CPU", "GPU", "GB", "STATUS", "")
    _show([one.to_dict() for one in found], as_json, columns, rows)


@profiles.command("create")
@click.argument("profile_id")
@click.option("--instance", required=True, metavar="NAME", help="Instance type, such as t3.small.")
@click.option("--name", default="", help="Shown to people; by default the id.")
@click.option("--cpu", type=float, default=0.0, help="Processors; by default all of the machine's.")
@click.option("--gpu", type=int, default=0, help="Graphics processors; by default none.")
@click.option("--memory", type=float, default=0.0, help="GB; by default all of the machine's.")
@_json
@click.pass_obj
def create_profile(
    open_session: Any,
    profile_id: str,
    instance: str,
    name: str,
    cpu: float,
    gpu: int,
    memory: float,
    as_json: bool,
) -> None:
    """Make an app profile; for admins of the organization."""
    data = AppProfile(name=name, instance_name=instance, cpu=cpu, gpu=gpu, memory=memory)
    with open_session() as edge:
        made = edge.compute.create_app_profile(profile_id, data)
        said = edge.compute.get_backend()
    if as_json:
        click.echo(json.dumps(made.to_dict(), indent=2))
        return
    click.echo(f"Created {made.profile_id}: {made.cpu:g} CPU, {made.gpu} GPU, {made.memory:g} GB.")
    _note(said)


@profiles.command("remove")
@click.argument("profile_id")
@_json
@click.pass_obj
def remove_profile(open_session: Any, profile_id: str, as_json: bool) -> None:
    """Remove an app profile that no placeholder uses; for admins of the organization."""
    with open_session() as edge:
        edge.compute.remove_app_profile(profile_id)
    _removed("profile_id", profile_id, as_json)


@compute.group()
def placeholders() -> None:
    """Machines kept running, so that applications start at once; for admins of the organization."""


@placeholders.command("list")
@_json
@click.pass_obj
def list_placeholders(open_session: Any, as_json: bool) -> None:
    """List the placeholders."""
    with open_session() as edge:
        found = edge.compute.list_placeholders()
    rows = [(one.name, one.profile_id, one.quantity, "disabled" if one.disable else "") for one in found]
    _show([one.to_dict() for one in found], as_json, ("NAME", "PROFILE", "QUANTITY", ""), rows)


@placeholders.command("create")
@click.argument("name")
@click.option("--profile", "profile_id", required=True, metavar="PROFILE_ID", help="Whose machines.")
@click.option("--quantity", type=int, default=1, show_default=True, help="How many.")
@_json
@click.pass_obj
def create_placeholder(open_session: Any, name: str, profile_id: str, quantity: int, as_json: bool) -> None:
    """Have machines kept running."""
    with open_session() as edge:
        made = edge.compute.create_placeholder(AppPlaceholder(name=name, profile_id=profile_id, quantity=quantity))
        said = edge.compute.get_backend()
    if as_json:
        click.echo(json.dumps(made.to_dict(), indent=2))
        return
    click.echo(f"Created {made.name}: {made.quantity} of {made.profile_id}.")
    _note(said)


@placeholders.command("remove")
@click.argument("name")
@_json
@click.pass_obj
def remove_placeholder(open_session: Any, name: str, as_json: bool) -> None:
    """Remove a placeholder."""
    with open_session() as edge:
        edge.compute.remove_placeholder(name)
    _removed("placeholder", name, as_json)


def _note(backend: dict[str, Any]) -> None:
    if not backend["starts_machines"]:
        click.echo(f"Note: {backend['note']}.", err=True)


def _removed(what: str, name: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({what: name, "removed": True}))
    else:
        click.echo(f"Removed {name}.", err=True)


def _show(records: Sequence[Any], as_json: bool, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print records as JSON, or their rows in columns."""
    if as_json:
        click.echo(json.dumps(records, indent=2))
        return
    lines = [columns, *([str(one) for one in row] for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(columns))]
    for line in lines:
        click.echo("  ".join(f"{one:{width}}" for one, width in zip(line, widths, strict=True)).rstrip())
