"""The clients that `benchmarks.filesystems` measures, and what each does, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.filesystems.hub import REPOSITORY
from benchmarks.peers import installed
from benchmarks.transfers.objects import BUCKET, KEY, SECRET

FSSPEC = "2026.9.0"
"""The version of fsspec and of s3fs, which go together."""

SMART_OPEN = "9.0.2"
HUB = "2.4.0"
REQUESTS = "2.34.2"
PYARROW = "26.0.1"

OURS = "edge"
UNCHECKED = "edge unchecked"
NONE = "http none"
PLAIN = "requests"
S3FS = "s3fs"

TASKS = {
    "names": "zip, names",
    "member": "zip, names and a member of 100 kB",
    "column": "parquet, a column of 50",
    "all": "all in reads of 1 MiB",
    "random": "random reads of 4 KiB",
    "first": "open, first 64 KiB",
    "open": "open",
}
"""What is measured, by the names that it has in the code."""

_TASKS = """
import json, random, sys, time, urllib.request, zipfile

MIB = 1 << 20
RANDOM = 4096
given = json.loads(sys.argv[1])

def check(is_right):
    if not is_right:
        raise RuntimeError("what was read is not what was written")

def names():
    with opened("a.zip") as file, zipfile.ZipFile(file) as archive:
        check(len(archive.namelist()) == given["members"])

def member():
    with opened("a.zip") as file, zipfile.ZipFile(file) as archive:
        check(len(archive.namelist()) == given["members"])
        check(len(archive.read("wanted.bin")) == given["member"])

def column():
    with opened("a.parquet") as file:
        check(pyarrow.parquet.read_table(file, columns=["c7"]).num_rows == given["rows"])

def all():
    with opened("a.bin") as file:
        check(sum(len(block) for block in iter(lambda: file.read(MIB), b"")) == given["size"])

def at_random():
    chosen = random.Random(1)
    with opened("a.bin") as file:
        for _ in range(given["random"]):
            file.seek(chosen.randrange(given["size"] - RANDOM))
            check(len(file.read(RANDOM)) == RANDOM)

def first():
    with opened("a.bin") as file:
        check(len(file.read(64 << 10)) == 64 << 10)

def open_only():
    opened("a.bin").close()

def counted():
    if given["totals"] is None:
        return [0, 0]
    with urllib.request.urlopen(given["totals"]) as answer:
        return json.load(answer)

tasks = {"names": names, "member": member, "column": column, "all": all, "random": at_random, "first": first,
         "open": open_only}
"""

_RUN = """
measured = {}
for task in given["tasks"]:
    before = counted()
    began = time.perf_counter()
    tasks[task]()
    seconds = time.perf_counter() - began
    measured[task] = [seconds, *(now - then for now, then in zip(counted(), before))]
print(json.dumps(measured))
"""

_WARM = """
import io, pyarrow.parquet
table = io.BytesIO()
pyarrow.parquet.write_table(pyarrow.table({"n": [1]}), table)
pyarrow.parquet.read_table(table)  # which imports more, as pandas where that is installed
with opened("small.bin") as file:
    check(file.read() == b"small")
"""

_EDGE = """
import fsspec
fs = fsspec.filesystem("edge")
def opened(name):
    return fs.open(name)
"""

_OPENED = {
    OURS: _EDGE,
    UNCHECKED: f"""{_EDGE}
from edge_vfs.content import Check
Check.see = lambda *_: None
""",
    "http": """
import fsspec
fs = fsspec.filesystem("http")
def opened(name):
    return fs.open(given["addresses"][name])
""",
    NONE: """
import fsspec
fs = fsspec.filesystem("http")
def opened(name):
    return fs.open(given["addresses"][name], cache_type="none")
""",
    "smart_open": """
import smart_open
def opened(name):
    return smart_open.open(given["addresses"][name], "rb")
""",
    S3FS: f"""
import s3fs
fs = s3fs.S3FileSystem(key="{KEY}", secret="{SECRET}", endpoint_url=given["objects"])
def opened(name):
    return fs.open("{BUCKET}/" + name)
""",
    "huggingface_hub": f"""
import huggingface_hub
fs = huggingface_hub.HfFileSystem(endpoint=given["hub"], token=False)
def opened(name):
    return fs.open("datasets/{REPOSITORY}/" + name)
""",
    PLAIN: """
import io, requests
session = requests.Session()
session.trust_env = False
class Answer(io.RawIOBase):
    def __init__(self, address):
        self.blocks = session.get(address, stream=True).iter_content(MIB)
    def read(self, size=-1):
        return next(self.blocks, b"")
def opened(name):
    return Answer(given["addresses"][name])
""",
}

CLIENTS = tuple(_OPENED)


class Measured(NamedTuple):
    """What a task has taken.

    Attributes:
        seconds: of wall time.
        requests: number of requests; 0 if they are not counted.
        sent: bytes of their answers.
    """

    seconds: float
    requests: int
    sent: int


class Servers(NamedTuple):
    """Where the clients find the files.

    Attributes:
        edge: the variables of our client.
        addresses: signed addresses on our server, by the names of the files.
        objects: address of SeaweedFS; None without it.
        hub: address of the stand-in of the hub.
        totals: address of the counts; None where nothing is counted.
    """

    edge: Mapping[str, str]
    addresses: Mapping[str, str]
    objects: str | None
    hub: str
    totals: str | None = None


class Work(NamedTuple):
    """How much the tasks read.

    Attributes:
        members: of the zip.
        member: bytes of the member that is read.
        rows: of the parquet file.
        size: bytes of the plain file.
        random: number of reads at random places.
    """

    members: int
    member: int
    rows: int
    size: int
    random: int


def peers_python() -> Path:
    """Return the interpreter that has the other clients.

    Raises:
        Missing: they cannot be installed.
    """
    versions = {
        "s3fs": FSSPEC,
        "smart-open": SMART_OPEN,
        "huggingface_hub": HUB,
        "pyarrow": PYARROW,
        "requests": REQUESTS,
    }
    return installed(*(f"{name}=={version}" for name, version in versions.items()))


def versions() -> str:
    """Return the names of the clients beside ours, with their versions."""
    return (
        f"fsspec {FSSPEC}, s3fs {FSSPEC}, smart_open {SMART_OPEN}, huggingface_hub {HUB}, requests {REQUESTS}, "
        f"pyarrow {PYARROW}"
    )


def tasks_of(client: str) -> list[str]:
    """Return what a client does."""
    return ["all"] if client in (UNCHECKED, PLAIN) else list(TASKS)


def run(client: str, python: Path, servers: Servers, work: Work) -> dict[str, Measured]:
    """Let a client do its tasks in a new process.

    Args:
        client: its name.
        python: the interpreter that has the clients beside ours.
        servers: where the files are.
        work: how much it reads.

    Raises:
        RuntimeError: it failed.
    """
    arguments = {
        **work._asdict(),
        "addresses": servers.addresses,
        "objects": servers.objects,
        "hub": servers.hub,
        "totals": servers.totals,
        "tasks": tasks_of(client),
    }
    environment = {**os.environ, **servers.edge, "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1"}
    interpreter = sys.executable if client in (OURS, UNCHECKED) else str(python)
    command = [interpreter, "-I", "-c", _TASKS + _OPENED[client] + _WARM + _RUN, json.dumps(arguments)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"{client} failed; its error is above")
    return {task: Measured(*figures) for task, figures in json.loads(done.stdout).items()}
