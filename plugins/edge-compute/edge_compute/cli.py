"""`edge compute`."""

from __future__ import annotations

from typing import Any

import click

from edge_cli import output
from edge_compute.app_placeholder import AppPlaceholder
from edge_compute.app_profile import AppProfile
from edge_core.plugin import OpenSession

plugin_api = 1


@click.group()
def compute() -> None:
    """Show and manage the machines that applications can run on."""


@compute.command()
@output.json_option
@click.pass_obj
def instances(open_session: OpenSession, as_json: bool) -> None:
    """List the instance types."""
    with open_session() as edge:
        types = edge.compute.list_instance_types()
    output.records(
        types,
        lambda row: (row["instance_name"], f"{row['cpu']:g}", row["gpu"], f"{row['memory']:g}", row["gpu_name"]),
        as_json=as_json,
        columns=("NAME", "CPU", "GPU", "GB", "GRAPHICS PROCESSOR"),
    )


@compute.command()
@output.json_option
@click.pass_obj
def backend(open_session: OpenSession, as_json: bool) -> None:
    """Describe the server's compute backend, and whether it starts machines."""
    with open_session() as edge:
        description = edge.compute.get_backend()
    if as_json:
        output.json(description)
    else:
        output.line(f"{description['name']}: {description['note']}")


@compute.group()
def profiles() -> None:
    """App profiles: the machines applications can be given."""


@profiles.command("list")
@output.json_option
@click.pass_obj
def list_profiles(open_session: OpenSession, as_json: bool) -> None:
    """List the app profiles, the built-in ones last."""
    with open_session() as edge:
        profiles = edge.compute.list_app_profiles()
    output.records(
        profiles,
        lambda profile: (
            profile.profile_id,
            profile.instance_name,
            f"{profile.cpu:g}",
            profile.gpu,
            f"{profile.memory:g}",
            getattr(profile.status, "value", profile.status),
            "disabled" if profile.disable else "",
        ),
        as_json=as_json,
        columns=("PROFILE", "INSTANCE", "CPU", "GPU", "GB", "STATUS", ""),
    )


@profiles.command("create")
@click.argument("profile_id")
@click.option("--instance", required=True, metavar="NAME", help="Instance type, such as t3.small.")
@click.option("--name", default="", help="Shown to people; by default the id.")
@click.option("--cpu", type=float, default=0.0, help="Processors; by default all of the machine's.")
@click.option("--gpu", type=int, default=0, help="Graphics processors; by default none.")
@click.option("--memory", type=float, default=0.0, help="GB; by default all of the machine's.")
@output.json_option
@click.pass_obj
def create_profile(
    open_session: OpenSession,
    profile_id: str,
    instance: str,
    name: str,
    cpu: float,
    gpu: int,
    memory: float,
    as_json: bool,
) -> None:
    """Create an app profile; for admins of the organization."""
    settings = AppProfile(name=name, instance_name=instance, cpu=cpu, gpu=gpu, memory=memory)
    with open_session() as edge:
        profile = edge.compute.create_app_profile(profile_id, settings)
        backend = edge.compute.get_backend()
    if as_json:
        output.json(profile)
        return
    output.line(f"Created {profile.profile_id}: {profile.cpu:g} CPU, {profile.gpu} GPU, {profile.memory:g} GB.")
    _note(backend)


@profiles.command("remove")
@click.argument("profile_id")
@output.json_option
@click.pass_obj
def remove_profile(open_session: OpenSession, profile_id: str, as_json: bool) -> None:
    """Remove an app profile that no placeholder uses; for admins of the organization."""
    with open_session() as edge:
        edge.compute.remove_app_profile(profile_id)
    output.done(f"Removed {profile_id}.", {"profile_id": profile_id, "removed": True}, as_json=as_json)


@compute.group()
def placeholders() -> None:
    """Machines kept running, so that applications start at once; for admins of the organization."""


@placeholders.command("list")
@output.json_option
@click.pass_obj
def list_placeholders(open_session: OpenSession, as_json: bool) -> None:
    """List the placeholders, with how many machines of each are ready; `-` where nothing keeps them."""
    with open_session() as edge:
        placeholders = edge.compute.list_placeholders()
        states = [] if as_json else edge.compute.list_placeholder_states()
    ready = {state["uid"]: state["ready"] for state in states if state["ready"] is not None}
    output.records(
        placeholders,
        lambda row: (
            row.name,
            row.profile_id,
            row.quantity,
            ready.get(row.uid, "-"),
            "disabled" if row.disable else "",
        ),
        as_json=as_json,
        columns=("NAME", "PROFILE", "QUANTITY", "READY", ""),
    )


@placeholders.command("create")
@click.argument("name")
@click.option(
    "--profile", "profile_id", required=True, metavar="PROFILE_ID", help="App profile whose machines are kept running."
)
@click.option("--quantity", type=int, default=1, show_default=True, help="How many.")
@output.json_option
@click.pass_obj
def create_placeholder(open_session: OpenSession, name: str, profile_id: str, quantity: int, as_json: bool) -> None:
    """Keep machines running."""
    with open_session() as edge:
        placeholder = edge.compute.create_placeholder(
            AppPlaceholder(name=name, profile_id=profile_id, quantity=quantity)
        )
        backend = edge.compute.get_backend()
    if as_json:
        output.json(placeholder)
        return
    output.line(f"Created {placeholder.name}: {placeholder.quantity} of {placeholder.profile_id}.")
    _note(backend)


@placeholders.command("remove")
@click.argument("name")
@output.json_option
@click.pass_obj
def remove_placeholder(open_session: OpenSession, name: str, as_json: bool) -> None:
    """Remove a placeholder."""
    with open_session() as edge:
        edge.compute.remove_placeholder(name)
    output.done(f"Removed {name}.", {"placeholder": name, "removed": True}, as_json=as_json)


def _note(backend: dict[str, Any]) -> None:
    if not backend["starts_machines"]:
        output.note(f"Note: {backend['note']}.")
