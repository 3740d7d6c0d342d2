"""The unit files by which systemd runs the server, and listens for it.

It is of `Type=notify`: gunicorn says that the server is ready, and `gunicorn_worker.Arbiter` that it stops.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

STATE = Path("/var/lib")
"""Where systemd makes folders for services, https://www.freedesktop.org/software/systemd/man/systemd.exec.html."""

HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
"""What a service does not see at all unless something of it is there."""

GRACE = 30
"""Seconds that requests which are being answered have when the server is stopped."""

STOP_SECONDS = GRACE + 30
"""Seconds after which systemd kills a server that was to stop: what is in the background ends after the requests."""

_UNIT = """\
[Unit]
Description=Edge server
Wants=network-online.target
After=network-online.target postgresql.service
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={command}
User={user}
Group={user}
Restart=on-failure
RestartSec=5s
# The first start of a new version may migrate the database, which takes as long as it takes.
TimeoutStartSec=infinity
# Requests that are being answered have {grace} seconds. Only the parent is asked to stop, and asks its workers.
TimeoutStopSec={stop_seconds}s
KillMode=mixed
LimitNOFILE=65536
UMask=0077
{folder}
# Named after the unit, as systemd removes it when the unit stops.
RuntimeDirectory=%N

ProtectSystem=strict
ProtectHome={protect_home}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallFilter=prlimit64 setrlimit
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


_SOCKET_UNIT = """\
[Unit]
Description=Address of the Edge server

[Socket]
# Who comes while the server starts anew waits, and is not refused.
ListenStream={address}
Backlog=2048

[Install]
WantedBy=sockets.target
"""


def is_state(data: Path) -> bool:
    """Whether systemd makes that data folder when it starts the server."""
    return data != STATE and STATE in data.parents


def unit(data: Path, config: Path | None, user: str, options: tuple[str, ...]) -> str:
    """A unit file for the server of this installation.

    Args:
        data: its data folder.
        config: the file of its settings; None for that of the data folder.
        user: whom it runs as.
        options: further ones of `edge server run`.
    """
    command = [sys.executable, "-m", "edge_server", "run", "--data", str(data)]
    if config is not None:
        command += ["--config", str(config)]
    places = [Path(sys.executable), data, *([] if config is None else [config])]
    at_home = any(home in place.parents for home in HOMES for place in places)
    # systemd gives `%` and `$` meanings of its own, and reads quotes as a shell does.
    line = " ".join(shlex.quote(word) for word in (*command, *options)).replace("%", "%%").replace("$", "$$")
    return _UNIT.format(
        command=line,
        user=user,
        grace=GRACE,
        stop_seconds=STOP_SECONDS,
        folder=f"StateDirectory={data.relative_to(STATE)}\nStateDirectoryMode=0700"
        if is_state(data)
        else f"ReadWritePaths={data}",
        protect_home="read-only" if at_home else "yes",
    )


def socket_unit(address: str) -> str:
    """A socket unit that belongs to the unit file of the same name.

    Args:
        address: address and port, such as "127.0.0.1:8790".
    """
    return _SOCKET_UNIT.format(address=address)
