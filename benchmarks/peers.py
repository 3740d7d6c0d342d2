"""The servers that ours is measured against, each of one version and installed into a folder of its own.

What they do that ours does not do as it is started by default is off, so that it is not held against
them: the lines that both write for each request, and Azurite's telemetry.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import itertools
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from email.utils import formatdate
from pathlib import Path

from benchmarks import load
from benchmarks.load import Answered
from benchmarks.measuring import cpu_seconds

JUPYTERHUB = "6.1.1"
AZURITE = "3.37.0"

FOLDER = Path.home() / ".cache" / "edge-benchmarks"
"""Where they are installed, and found the next time."""

STARTING = 60.0
"""Seconds that a server may take to listen."""

NODE = 18
"""The oldest major version of Node.js that Azurite is run with."""


class Missing(Exception):
    """A peer that cannot be measured here; says what to do."""


# --- JupyterHub -----------------------------------------------------------------------------------

_HUB_USER = "bench"

# The hub is asked directly; nobody needs the proxy that it would start.
_HUB_CONFIGURATION = """
from jupyterhub.proxy import Proxy

class NoProxy(Proxy):
    should_start = False
    async def add_route(self, routespec, target, data): pass
    async def delete_route(self, routespec): pass
    async def get_all_routes(self): return {}

c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.hub_port = PORT
c.JupyterHub.log_level = "WARN"
c.Authenticator.allowed_users = {"USER"}
"""


class JupyterHub:
    """A running hub.

    Attributes:
        pid: of its process.
        name: with its version.
    """

    def __init__(self, pid: int, name: str, port: int, token: str) -> None:
        self.pid = pid
        self.name = name
        self._port = port
        self._whoami = load.get("/hub/api/user", f"Authorization: token {token}")

    def cpu(self) -> float:
        return cpu_seconds(self.pid)

    def run(self, operation: str, clients: int, seconds: float) -> Answered:
        """Do an operation, of which it has but ``whoami``, for some seconds."""
        assert operation == "whoami"
        return load.send(self._port, itertools.repeat(self._whoami), 200, clients=clients, seconds=seconds)


@contextlib.contextmanager
def jupyterhub() -> Iterator[JupyterHub]:
    """A hub with one user, on SQLite.

    Raises:
        Missing: it cannot be installed.
    """
    python = installed(f"jupyterhub=={JUPYTERHUB}")
    code = (
        "import platform, sqlalchemy as sa, tornado; print(platform.python_version(), tornado.version, sa.__version__)"
    )
    versions = subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True).stdout.split()
    name = "JupyterHub {} (Python {}, tornado {}, SQLAlchemy {})".format(JUPYTERHUB, *versions)
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        Path(folder, "jupyterhub_config.py").write_text(
            _HUB_CONFIGURATION.replace("PORT", str(port)).replace("USER", _HUB_USER)
        )
        command = [str(python), "-I", "-m", "jupyterhub"]
        token = subprocess.run(
            [*command, "token", _HUB_USER], cwd=folder, stdout=subprocess.PIPE, text=True, check=True
        )
        with running(command, folder) as process:
            wait_for(port, process)
            yield JupyterHub(process.pid, name, port, token.stdout.split()[-1])


# --- Azurite --------------------------------------------------------------------------------------

_ACCOUNT = "devstoreaccount1"
# Azurite's own, which its documentation tells everybody.
_KEY = base64.b64decode("Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==")
_VERSION = "2021-12-02"


class Azurite:
    """A running Azurite, with a container in which `FILES` blobs are.

    Attributes:
        pid: of its process.
        name: with its version.
    """

    def __init__(self, pid: int, name: str, port: int, files: int, content: bytes) -> None:
        self.pid = pid
        self.name = name
        self._port = port
        self._content = content
        self._files = [f"/fifty/{n:02}" for n in range(files)]
        for container in ("fifty", "new"):
            _expect(load.send(port, iter([_signed("PUT", f"/{container}", {"restype": "container"})]), 201))
        _expect(load.send(port, iter([self._put(path) for path in self._files]), 201))
        self._names = itertools.count()

    def cpu(self) -> float:
        return cpu_seconds(self.pid)

    def run(self, operation: str, clients: int, seconds: float) -> Answered:
        """Do an operation for some seconds, each request signed by the client."""
        listing = {"comp": "list", "maxresults": str(len(self._files)), "restype": "container"}
        status, requests = {
            "list": (200, itertools.repeat(_signed("GET", "/fifty", listing))),
            "stat": (200, itertools.cycle([_signed("HEAD", path) for path in self._files])),
            "get": (200, itertools.cycle([_signed("GET", path) for path in self._files])),
            "put new": (201, (self._put(f"/new/{n:07}") for n in self._names)),
            "put over": (201, itertools.cycle([self._put(path) for path in self._files])),
        }[operation]
        return load.send(self._port, requests, status, clients=clients, seconds=seconds)

    def _put(self, path: str) -> bytes:
        return _signed("PUT", path, content=self._content)


def _signed(method: str, path: str, query: dict[str, str] | None = None, *, content: bytes = b"") -> bytes:
    """The bytes of a request that is signed with the account's key ("Shared Key" in Azure's documentation)."""
    query = query or {}
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": _VERSION}
    if content:
        headers["x-ms-blob-type"] = "BlockBlob"
    signed = [
        method,
        *["", "", str(len(content) or ""), "", "", "", "", "", "", "", ""],
        *[f"{name}:{value}" for name, value in sorted(headers.items())],
        f"/{_ACCOUNT}/{_ACCOUNT}{path}",
        *[f"{name}:{value}" for name, value in sorted(query.items())],
    ]
    signature = base64.b64encode(hmac.digest(_KEY, "\n".join(signed).encode(), "sha256")).decode()
    lines = [*map(": ".join, headers.items()), f"Authorization: SharedKey {_ACCOUNT}:{signature}"]
    address = f"/{_ACCOUNT}{path}" + "?" * bool(query) + "&".join(map("=".join, query.items()))
    return load.put(address, content, *lines) if method == "PUT" else load.get(address, *lines, method=method)


def _expect(answered: Answered) -> None:
    if answered.failures:
        raise RuntimeError(f"{answered.failures} requests failed that prepare Azurite")


def _install_azurite() -> tuple[Path, str]:
    """Azurite's program, and the version of Node.js."""
    node, npm = shutil.which("node"), shutil.which("npm")
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip() if node else ""
    if not node or not npm or int(version[1:].partition(".")[0]) < NODE:
        raise Missing(f"Azurite needs Node.js {NODE} or newer with npm (on Debian: apt-get install nodejs npm)")
    folder = FOLDER / f"azurite-{AZURITE}"
    main = folder / "node_modules/azurite/dist/src/blob/main.js"
    installed = folder / "installed"
    if not installed.exists():
        say(f"installing Azurite {AZURITE} from the npm registry into {folder}")
        folder.mkdir(parents=True, exist_ok=True)
        options = ["--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(folder)]
        command = [npm, "install", *options, f"azurite@{AZURITE}"]
        if subprocess.run(command, stdout=sys.stderr).returncode:
            raise Missing(f"Azurite {AZURITE} could not be installed from npm, as npm said above; try again")
        installed.touch()
    return main, version


@contextlib.contextmanager
def azurite(files: int, content: bytes) -> Iterator[Azurite]:
    """An Azurite of the blob service with as many files in a container.

    Raises:
        Missing: it cannot be installed.
    """
    main, node = _install_azurite()
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = ["node", str(main), "--blobPort", str(port), "--location", folder, "--silent", "--disableTelemetry"]
        with running(command, folder) as process:
            wait_for(port, process)
            yield Azurite(process.pid, f"Azurite {AZURITE} (Node.js {node})", port, files, content)


# --- all ------------------------------------------------------------------------------------------


def installed(*requirements: str) -> Path:
    """Return the interpreter of an environment of its own that has packages of PyPI.

    Raises:
        Missing: they cannot be installed.
    """
    name = "-".join(requirement.replace("==", "-") for requirement in requirements)
    folder = FOLDER / f"{name}-python{'{}.{}'.format(*sys.version_info)}"
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        say(f"installing {' and '.join(requirements)} from PyPI into {folder}")
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        command = [str(python), "-I", "-m", "pip", "install", "--quiet", *requirements]
        if subprocess.run(command, stdout=sys.stderr).returncode:
            raise Missing(
                f"{' and '.join(requirements)} could not be installed from PyPI, as pip said above; try again"
            )
        done.touch()
    return python


def say(what: str) -> None:
    """Print a line for whoever waits, apart from the figures."""
    print(what, file=sys.stderr, flush=True)


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(command: Sequence[str], folder: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process during the block; what it writes is shown if the block fails."""
    with tempfile.TemporaryFile("w+b") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            yield process
        except BaseException:
            log.seek(0)
            say(log.read().decode(errors="replace"))
            raise
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a process listens.

    Raises:
        RuntimeError: it does not.
    """
    until = time.monotonic() + STARTING
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.1)
    raise RuntimeError(f"a server does not listen after {STARTING:.0f} s, or has ended with {process.poll()}")
