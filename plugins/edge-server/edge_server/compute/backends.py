"""Compute backends: the interface to what gives machines, and those that come with the server, which start none."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from edge_compute.wire import ComputeBackend as BackendRecord
from edge_server.compute.instance_types import Catalogue


@dataclasses.dataclass(frozen=True)
class Requirements:
    """What a profile requires of a machine.

    Attributes:
        instance_name: the instance type.
        cpu: processors.
        gpu: graphics processors.
        memory: GB.
    """

    instance_name: str
    cpu: float
    gpu: int
    memory: float


class CannotServe(Exception):
    """The backend will never serve that.

    Args:
        field: what is wrong, by its name in the record.
        reason: one sentence: what is wrong and what to do.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")


class ComputeBackend(Protocol):
    """What gives machines."""

    name: str
    starts_machines: bool
    note: str
    """What it does, in one sentence for users."""

    def check(self, requirements: Requirements) -> None:
        """See whether they can be met at all, at once and without doing anything.

        Raises:
            CannotServe: they never can.
        """
        ...

    def make_ready(self, requirements: Requirements) -> bool:
        """Do what has to be done before apps can run on it; called again until it is True."""
        ...


class CatalogueBackend:
    """The default: ready means that the catalogue has such a machine. Nothing is ever started.

    Args:
        catalogue: the instance types there are.
    """

    name = "catalogue"
    starts_machines = False
    note = "ready means that the catalogue has such a machine; this server starts no machines"

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def check(self, requirements: Requirements) -> None:
        """See whether the catalogue has such a machine.

        Raises:
            CannotServe: it has none.
            BadOperatorFile: the catalogue cannot be used.
        """
        name = requirements.instance_name
        machine = self._catalogue.read().get(name)
        if machine is None:
            raise CannotServe(
                "instance_name", f"there is no instance type {name!r}; list the instance types to see their names"
            )
        for field in ("cpu", "gpu", "memory"):
            has, required = getattr(machine, field), getattr(requirements, field)
            if required > has:
                raise CannotServe(field, f"a {name} has {has:g}, and {required:g} is more; ask for less")

    def make_ready(self, requirements: Requirements) -> bool:
        """Look again; there is nothing to be done.

        Raises:
            CannotServe: the catalogue does not have the machine any more.
            BadOperatorFile: the catalogue cannot be used.
        """
        self.check(requirements)
        return True


class HubBackend(CatalogueBackend):
    """That of a server at a JupyterHub, whose spawner has the machines; an app there gets its profile at the most."""

    name = "jupyterhub"
    note = (
        "apps run at the JupyterHub with the app profile as their limits; what runs them is the hub's own, which keeps "
        "machines running for placeholders if its operator lets it"
    )


def backend_record(backend: ComputeBackend) -> BackendRecord:
    """What a backend says of itself."""
    return BackendRecord(name=backend.name, starts_machines=backend.starts_machines, note=backend.note)
