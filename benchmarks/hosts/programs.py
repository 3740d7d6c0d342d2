"""The programs of a site of several hosts, each of which can be killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from benchmarks.hosts.network import Machine
from benchmarks.peers import Missing
from edge_server.data.s3_bucket import Bucket
from edge_server.data.store import StoreFailure
from tests.object_stores import answers

STARTING = 120.0
"""Seconds that a program may take until it answers."""

PORT = 8790
BUCKET = "edge"


class Program:
    """A program that listens at a machine.

    Args:
        machine: where it runs.
        command: what it is.
        port: where it answers when it has started.
        output: file for what it says.
    """

    def __init__(self, machine: Machine, command: Sequence[str], port: int, output: Path) -> None:
        self._machine = machine
        self._command = machine.command(*command)
        self._port = port
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"{self._machine.address}:{self._port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output, start_new_session=True)
        deadline = time.monotonic() + STARTING
        while not self.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self._command[4]} does not start: {self._output.read_text(errors='replace')}")
            time.sleep(0.05)

    def is_ready(self) -> bool:
        return answers(self._machine.address, self._port)

    def kill(self) -> None:
        """End it and what it has started, in the middle of whatever they do."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()


class Host(Program):
    """A host of the server.

    Args:
        machine: where it runs.
        folder: for its data folder.
        settings: text of its `server.toml`.
    """

    def __init__(self, machine: Machine, folder: Path, settings: str) -> None:
        self.data_folder = folder / machine.name
        self.data_folder.mkdir(mode=0o700)
        settings_file = self.data_folder / "server.toml"
        settings_file.write_text(settings)
        settings_file.chmod(0o600)
        command = [sys.executable, "-m", "edge_server", "run", "--data", str(self.data_folder)]
        command += ["--host", machine.address, "--port", str(PORT)]
        super().__init__(machine, command, PORT, self.data_folder.with_suffix(".log"))

    def is_ready(self) -> bool:
        # Without the environment's proxies, which do not lead there.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            opener.open(f"http://{self.address}/healthz", timeout=5).close()
        except (urllib.error.URLError, OSError):
            return False
        return True


def bucket(store: Program, keys: tuple[str, str]) -> dict[str, str]:
    """The settings of a bucket, which is made."""
    empty = Bucket(BUCKET, f"http://{store.address}", None, *keys)
    deadline = time.monotonic() + STARTING
    while True:
        try:
            empty.call("create_bucket")
            break
        except StoreFailure:  # it listens before it can write
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    access = {"access_key": keys[0], "secret_key": keys[1]}
    return {"kind": "s3", "endpoint": f"http://{store.address}", "bucket": BUCKET, **access}


def settings(database: str, storage: dict[str, str], shared: Path, proxy: Machine) -> str:
    """The text of the `server.toml` of each host."""
    sections: dict[str, dict[str, object]] = {
        "database": {"url": database},
        "storage": dict(storage),
        "keys": {"directory": str(shared / "keys")},
        "network": {"trusted_proxies": [proxy.address]},
    }
    return "".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in section.items())
        for name, section in sections.items()
    )


def postgresql(machine: Machine, folder: Path) -> tuple[Program, str]:
    """PostgreSQL with an empty database, and its address.

    Raises:
        Missing: its programs are not installed.
    """
    servers = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not servers:
        raise Missing("PostgreSQL's programs are missing (on Debian: apt-get install postgresql)")
    programs = servers[-1].parent
    cluster = folder / "postgresql"
    cluster.mkdir(mode=0o700)
    folder.chmod(0o755)
    shutil.chown(cluster, "postgres", "postgres")
    as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]  # it does not run as root
    initdb = [*as_user, str(programs / "initdb"), "-D", str(cluster), "-U", "edge", "-E", "UTF8", "--auth=trust"]
    subprocess.run(initdb, check=True, capture_output=True, cwd="/")
    with (cluster / "pg_hba.conf").open("a") as rules:
        rules.write("host all all samenet trust\n")
    options = ["-D", str(cluster), "-h", machine.address, "-k", ""]
    program = Program(machine, [*as_user, str(programs / "postgres"), *options], 5432, folder / "postgresql.log")
    return program, f"postgresql+psycopg://edge@{machine.address}:5432/postgres"


def seaweedfs(machine: Machine, folder: Path) -> tuple[Program, tuple[str, str]]:
    """An object store, and the two parts of its access key."""
    keys = f"key{secrets.token_hex(6)}", secrets.token_hex(20)
    volumes = folder / "volumes"
    volumes.mkdir()
    credentials = [{"accessKey": keys[0], "secretKey": keys[1]}]
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    identities = {"identities": [{"name": "edge", "credentials": credentials, "actions": actions}]}
    (folder / "s3.json").write_text(json.dumps(identities))
    weed = str(Path(sys.executable).with_name("weed"))
    options = [f"-dir={volumes}", f"-ip={machine.address}", "-filer", "-s3", f"-s3.config={folder}/s3.json"]
    options += ["-s3.port=8333", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
    options += ["-master.volumeSizeLimitMB=1024", "-volume.max=100"]
    options += [f"-{server}.localSocket={folder}/{server}.sock" for server in ("filer", "s3")]
    return Program(machine, [weed, "server", *options], 8333, folder / "weed.log"), keys


_NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream edge {{
        server {hosts[0]} max_fails=1 fail_timeout=2s;
        server {hosts[1]} max_fails=1 fail_timeout=2s;
        keepalive 32;
        keepalive_timeout 60s;
    }}
    server {{
        listen {address}:80;
        client_max_body_size 0;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Connection "";
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_connect_timeout 2s;
        location / {{ proxy_pass http://edge; }}
        location ~ /v1/(content|parts) {{
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_pass http://edge;
        }}
    }}
}}
"""


def nginx(machine: Machine, folder: Path, hosts: Sequence[Host]) -> Program:
    """A proxy in front of the hosts, set up as the guide says.

    Raises:
        Missing: it is not installed.
    """
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        raise Missing("nginx is missing (on Debian: apt-get install nginx-light)")
    own = folder / "nginx"
    own.mkdir()
    addresses = [host.address for host in hosts]
    (own / "nginx.conf").write_text(_NGINX.format(folder=own, hosts=addresses, address=machine.address))
    return Program(machine, [program, "-p", str(own), "-c", str(own / "nginx.conf")], 80, folder / "nginx.log")
