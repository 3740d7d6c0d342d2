"""The sections of one large file."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.measuring import Row
from benchmarks.transfers import memory
from benchmarks.transfers.code import (
    ADDRESS,
    BOTO3_DOWN,
    BOTO3_UP,
    DOWN,
    READ,
    REQUESTS_DOWN,
    REQUESTS_READ,
    REQUESTS_UP,
    SEND,
    UP,
)
from benchmarks.transfers.objects import BUCKET
from benchmarks.transfers.place import CURL, OURS, REQUESTS, Place, Result, Site
from benchmarks.transfers.programs import (
    CPU,
    MIB,
    SERVER,
    WALL,
    Client,
    Cost,
    measure,
    of,
    program_run,
    python_run,
    table,
)
from benchmarks.transfers.proxies import LIMIT, proxies
from benchmarks.transfers.sink import sink


def _address(site: Site, environment: dict[str, str]) -> str:
    """Return where anybody gets the large file for some minutes."""
    command = [str(site.python), "-I", "-c", ADDRESS]
    variables = {**site.server.environment, **environment}
    return subprocess.run(command, env=variables, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _curl_down(
    place: Place, target: Path | None, environment: dict[str, str] | None = None, options: Sequence[str] = ()
) -> Cost:
    address = _address(place.ours, environment or {})
    command = ["curl", "-sSf", "--noproxy", "*", *options]
    pid = place.ours.server.pid
    if target is None:
        return program_run([*command, "-o", os.devnull, address], server=pid)
    handle = os.open(target, os.O_WRONLY | os.O_CREAT)  # as 1<>target of a shell, which keeps what there is
    try:
        return program_run([*command, address], stdout=handle, server=pid)
    finally:
        os.close(handle)


def _requests_down(place: Place, target: Path) -> Cost:
    address = _address(place.ours, {})
    return python_run(REQUESTS_DOWN, address, target, server=place.ours.server.pid)


def _site_down(place: Place, site: Site, target: Path, environment: dict[str, str] | None = None) -> Cost:
    cost = site.run(DOWN, target, environment=environment, before=place.warm)
    if target.stat().st_size != place.sizes.large:
        raise RuntimeError(f"{target} is not what was uploaded")
    return cost


def _downs(place: Place) -> list[Client]:
    folder = place.folder
    for name in (OURS, CURL, REQUESTS):
        shutil.copyfile(place.source, folder / name)
    clients = [
        Client(CURL, partial(_curl_down, place, folder / CURL)),
        Client(REQUESTS, partial(_requests_down, place, folder / REQUESTS)),
        *(Client(site.name, partial(_site_down, place, site, folder / site.name)) for site in place.sites),
    ]
    if (store := place.objects) is not None:
        run = partial(python_run, python=store.python, environment=store.environment, server=store.pid)
        clients.append(Client(store.boto3, partial(run, BOTO3_DOWN, folder / "boto3", before=place.warm)))
        if store.rclone is not None:
            command = ["copyto", f"bench:{BUCKET}/large.bin", str(folder / "rclone"), "--ignore-times"]
            clients.append(Client(store.rclone_name, partial(store.run_rclone, command, place.warm)))
    return clients


def _ups(place: Place) -> list[Client]:
    clients = [Client(site.name, partial(site.run, UP, place.source, before=place.warm)) for site in place.sites]
    if (store := place.objects) is not None:
        run = partial(python_run, python=store.python, environment=store.environment, server=store.pid)
        clients.append(Client(store.boto3, partial(run, BOTO3_UP, place.source, before=place.warm)))
        if store.rclone is not None:
            command = ["copyto", str(place.source), f"bench:{BUCKET}/up.bin", "--ignore-times"]
            clients.append(Client(store.rclone_name, partial(store.run_rclone, command, place.warm)))
    return clients


def file(place: Place) -> Result:
    title = f"{place.sizes.large / MIB:,.0f} MiB"
    downs = measure(f"{title} down", _downs(place), place.sizes.rounds)
    hashing = [_hash_pass(place.sizes.large) for _ in range(place.sizes.rounds)]
    ups = measure(f"{title} up", _ups(place), place.sizes.rounds)
    lines = [*table(f"{title} down", downs, base=CURL), *table(f"{title} up", ups, base=OURS)]
    aims = [1.15 * curl.cpu + seconds for curl, seconds in zip(downs[CURL], hashing, strict=True)]
    rows = [
        Row("", "SHA-256 of as many bytes, CPU", None, " s", hashing),
        Row(
            "",
            f"{title} down, CPU, of 1.15 times curl's and a SHA-256",
            *(1.0, "x", [run.cpu / aim for run, aim in zip(downs[OURS], aims, strict=True)]),
        ),
    ]
    if (store := place.objects) is not None:
        rows.append(Row("B11", f"{title} down, wall, of boto3's", 0.5, "x", of(downs, OURS, store.boto3, WALL)))
    if (before := place.older) is not None:
        what = f"{title} up, of {before.name}"
        rows.append(Row("", f"{what}, client CPU", 0.7, "x", of(ups, OURS, before.name, CPU)))
        rows.append(Row("", f"{what}, server CPU", 0.6, "x", of(ups, OURS, before.name, SERVER)))
        rows.append(Row("", f"{what}, wall", None, "x", of(ups, OURS, before.name, WALL)))
    return Result(lines, rows)


def _hash_pass(size: int) -> float:
    block, digest = os.urandom(MIB), hashlib.sha256()
    began = time.thread_time()
    for _ in range(size // MIB):
        digest.update(block)
    return time.thread_time() - began


def reading(place: Place) -> Result:
    title = f"{place.sizes.large / MIB:,.0f} MiB read and thrown away"
    pid = place.ours.server.pid
    clients = [
        Client(CURL, partial(_curl_down, place, None)),
        Client(REQUESTS, lambda: python_run(REQUESTS_READ, _address(place.ours, {}), server=pid)),
        Client(OURS, partial(place.ours.run, READ, "checked")),
        Client(f"{OURS}, unchecked", partial(place.ours.run, READ, "unchecked")),
    ]
    costs = measure(title, clients, place.sizes.rounds)
    unchecked = f"{OURS}, unchecked"
    rows = [
        Row("B9", f"{title}, unchecked, wall, of curl's", 1.05, "x", of(costs, unchecked, CURL, WALL)),
        Row("B9", f"{title}, unchecked, CPU, of curl's", 1.0, "x", of(costs, unchecked, CURL, CPU)),
        Row("B14", f"{title}, checked, wall, of unchecked", 1.25, "x", of(costs, OURS, unchecked, WALL)),
    ]
    return Result(table(title, costs, base=CURL), rows)


def through_proxies(place: Place) -> Result:
    lines: list[str] = []
    rows: list[Row] = []
    with proxies(place.ours.url) as running:
        ways: list[tuple[str, str, float, dict[str, str], list[str]]] = [
            (
                *("B10", f"down over TLS by {running.name}", 1.15),
                {"EDGE_API_SERVICE_URL": running.tls, "REQUESTS_CA_BUNDLE": str(running.certificate)},
                ["--cacert", str(running.certificate)],
            ),
            (
                *("", f"down through {running.name} at {LIMIT / 1e6:.0f} MB/s a connection", 0.2),
                *({"EDGE_API_SERVICE_URL": running.limited}, []),
            ),
        ]
        for name, what, bar, environment, options in ways:
            title = f"{place.sizes.large / MIB:,.0f} MiB {what}"
            for client in (CURL, OURS):
                shutil.copyfile(place.source, place.folder / client)
            clients = [
                Client(CURL, partial(_curl_down, place, place.folder / CURL, environment, options)),
                Client(OURS, partial(_site_down, place, place.ours, place.folder / OURS, environment)),
            ]
            costs = measure(title, clients, place.sizes.rounds)
            lines += table(title, costs, base=CURL)
            rows.append(Row(name, f"{title}, wall, of curl's", bar, "x", of(costs, OURS, CURL, WALL)))
    return Result(lines, rows)


def to_sink(place: Place) -> Result:
    title = f"{place.sizes.large / MIB:,.0f} MiB up to a server that throws it away"
    with sink() as (pid, url):
        environment = {"EDGE_API_SERVICE_URL": url, "EDGE_API_TOKEN": "edg_x", "EDGE_API_ORG": "default"}
        send = partial(python_run, SEND, place.source, environment=environment, server=pid)
        curl = ["curl", "-sSf", "--noproxy", "*", "-T", str(place.source), f"{url}/any"]
        unchecked = f"{OURS}, unchecked"
        clients = [
            Client(CURL, partial(program_run, curl, server=pid)),
            Client(REQUESTS, partial(python_run, REQUESTS_UP, place.source, f"{url}/any", server=pid)),
            Client(OURS, partial(send, "checked")),
            Client(unchecked, partial(send, "unchecked")),
        ]
        costs = measure(title, clients, place.sizes.rounds)
    rows = [
        Row("B12", f"{title}, unchecked, wall, of curl -T", 1.3, "x", of(costs, unchecked, CURL, WALL)),
        Row("", f"{title}, wall, of curl -T", None, "x", of(costs, OURS, CURL, WALL)),
    ]
    return Result(table(title, costs, base=CURL), rows)


def memory_used(place: Place) -> Result:
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        measured = memory.measure(place.sizes.large, Path(folder))
    if not measured.intact:
        raise RuntimeError("what came back is not what was sent")
    what = f"{place.sizes.large / MIB:,.0f} MiB up and down, peak memory over that of an idle process"
    bar = memory.BAR_MIB
    return Result(
        [],
        [
            Row("B13", f"{what}, client", bar, " MiB", [measured.client_mib]),
            Row("B13", f"{what}, server", bar, " MiB", [measured.server_mib]),
        ],
    )
