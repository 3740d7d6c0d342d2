"""Machines that are network namespaces, on a switch of their own."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence

PREFIX = "10.213.77"
"""Where they are; no route leads there but from this machine."""

_OWN = f"{PREFIX}.254"
"""This machine's own address among them."""


class Machine:
    """A network namespace.

    Attributes:
        address: its IP address.
    """

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address

    def command(self, *words: str) -> list[str]:
        """What runs a program there."""
        return ["ip", "netns", "exec", self.name, *words]


@contextlib.contextmanager
def machines(*names: str) -> Iterator[list[Machine]]:
    """Machines that reach each other, and that this one reaches; they are gone afterwards."""
    tag = f"edge{os.getpid()}"
    switch = f"{tag}-all"  # interfaces have names of at most 15 characters
    with contextlib.ExitStack() as stack:
        _ip("link", "add", switch, "type", "bridge")
        stack.callback(_ip, "link", "delete", switch)
        _ip("address", "add", f"{_OWN}/24", "dev", switch)
        _ip("link", "set", switch, "up")
        reachable = []
        for n, name in enumerate(names):
            machine = Machine(f"{tag}-{name}", f"{PREFIX}.{n + 1}")
            _ip("netns", "add", machine.name)
            stack.callback(_ip, "netns", "delete", machine.name)
            plug = f"{tag}-{n}"
            _ip("link", "add", plug, "type", "veth", "peer", "name", "eth0", "netns", machine.name)
            _ip("link", "set", plug, "master", switch, "up")
            within = ("-netns", machine.name)
            _ip(*within, "link", "set", "lo", "up")
            _ip(*within, "address", "add", f"{machine.address}/24", "dev", "eth0")
            _ip(*within, "link", "set", "eth0", "up")
            reachable.append(machine)
        yield reachable


def _ip(*words: str) -> None:
    _run(["ip", *words])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()}")
