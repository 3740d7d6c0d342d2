"""`python -m benchmarks hosts`: the drill, and its table."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.hosts import programs
from benchmarks.hosts.clients import Known
from benchmarks.hosts.network import machines
from benchmarks.hosts.programs import Host, Program
from benchmarks.peers import say
from edge.api import EdgeSession
from edge_core.config import RETRIES
from edge_server.testing.local_server import EdgeServer

PROCESSES = 4
"""That the clients are spread over."""


class Site(NamedTuple):
    """All that runs.

    Attributes:
        hosts: of the server.
        engines: PostgreSQL, and SeaweedFS unless the content is in a folder that the hosts share.
        proxy: nginx.
        accounts: makes users and tokens.
    """

    hosts: list[Host]
    engines: dict[str, Program]
    proxy: Program
    accounts: EdgeServer

    @property
    def url(self) -> str:
        return f"http://{self.proxy.address}"


@contextlib.contextmanager
def site(folder: Path, *, has_bucket: bool) -> Iterator[Site]:
    """A running site of two hosts."""
    with machines("proxy", "engines", "a", "b") as (front, machine, *apart), contextlib.ExitStack() as stack:
        database, address = programs.postgresql(machine, folder)
        store, keys = programs.seaweedfs(machine, folder)
        engines = {"PostgreSQL": database, **({"the store": store} if has_bucket else {})}
        for engine in engines.values():
            stack.callback(engine.close)
            engine.start()
        storage = programs.bucket(store, keys) if has_bucket else {"directory": str(folder / "content")}
        settings = programs.settings(address, storage, folder, front)
        hosts = [Host(machine, folder, settings) for machine in apart]
        proxy = programs.nginx(front, folder, hosts)
        for program in (*hosts, proxy):
            stack.callback(program.close)
            program.start()
        accounts = EdgeServer(folder / "accounts", database_url=address)
        stack.callback(accounts.close)
        yield Site(hosts, engines, proxy, accounts)


class Drill:
    """Clients at work on a site of which parts die.

    Args:
        site: the site.
        clients: how many.
        seconds: how long they work.
        every: seconds from when what was killed is back to the next kill.
        retries: how often a client sends a request again.
    """

    def __init__(self, site: Site, clients: int, seconds: float, every: float, retries: int) -> None:
        self._site = site
        self._seconds = seconds
        self._every = every
        self._retries = retries
        self._organization = site.accounts.create_organization()
        self._tokens = []
        for _ in range(clients):
            user = site.accounts.create_user(organization=self._organization)
            self._tokens.append(site.accounts.create_token(user))
        self.kills: Counter[str] = Counter()
        self.retries = 0
        self.known: list[Known] = []

    def run(self) -> None:
        """Let them work, and kill meanwhile."""
        size = -(-len(self._tokens) // PROCESSES)
        running = []
        for first in range(0, len(self._tokens), size):
            command = [sys.executable, "-m", "benchmarks.hosts.clients", self._site.url, self._organization]
            command += [str(self._seconds), str(first), str(self._retries)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert process.stdin is not None
            process.stdin.write("\n".join(self._tokens[first : first + size]))
            process.stdin.close()
            running.append(process)
        self._kill()
        for process in running:
            assert process.stdout is not None
            outcome = json.loads(process.stdout.read())
            process.wait()
            self.retries += outcome["retries"]
            self.known += [Known(**known) for known in outcome["known"]]

    def _kill(self) -> None:
        begun = time.monotonic()
        engines = list(zip(self._site.engines.items(), (0.4, 0.7), strict=False))
        for host in itertools.cycle(self._site.hosts):
            time.sleep(self._every)
            passed = (time.monotonic() - begun) / self._seconds
            if passed >= 1:
                return
            name, victim = ("a host", host) if not engines or passed < engines[0][1] else engines.pop(0)[0]
            victim.kill()
            victim.start()
            self.kills[name] += 1
            say(f"{name} killed {self.kills[name]} times, {passed:.0%} of the time has passed")

    def faults(self) -> list[str]:
        """What is not as it was acknowledged."""
        faults = [wrong for known in self.known for wrong in known.wrong]
        for token, known in zip(self._tokens, self.known, strict=True):
            with EdgeSession(token, self._site.url, self._organization) as edge:
                faults += _lost(edge, known)
        command = [
            sys.executable,
            "-m",
            "edge_server",
            "fsck",
            "--deep",
            "--data",
            str(self._site.hosts[0].data_folder),
        ]
        for host in self._site.hosts:
            host.kill()
        checked = subprocess.run(command, capture_output=True, text=True)
        if checked.returncode:
            faults.append(f"fsck finds {(checked.stdout + checked.stderr).strip()[-500:]}")
        return faults


def _lost(edge: EdgeSession, known: Known) -> Iterator[str]:
    unsure = set(known.unsure)
    _, _, names = next(edge.files.walk(known.folder))
    for name in (set(names) ^ set(known.files)) - unsure:
        yield f"{known.folder}/{name} is {'there' if name in names else 'lost'}"
    for name, digest in known.files.items():
        if name in names and hashlib.sha256(edge.files.read_bytes(f"{known.folder}/{name}")).hexdigest() != digest:
            yield f"{known.folder}/{name} has other content"
    secrets = set(edge.secrets.list_user_secrets())
    for name in (secrets ^ set(known.secrets)) - unsure:
        yield f"the secret {name} of {known.folder} is {'there' if name in secrets else 'lost'}"
    for name, value in known.secrets.items():
        if name in secrets and edge.secrets.read_user_secret(name) != {"value": value}:
            yield f"the secret {name} of {known.folder} has another value"


def main(arguments: Sequence[str] = ()) -> int:
    """Print what was done, killed, seen and lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks hosts", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="10 by default")
    parser.add_argument("--clients", type=int, default=20, help="20 by default")
    parser.add_argument("--every", type=float, default=3.0, help="seconds between a start and the next kill; default 3")
    parser.add_argument("--retries", type=int, default=RETRIES, help=f"of a request by a client; {RETRIES} by default")
    parser.add_argument("--folder", action="store_true", help="content in a folder that the hosts share, and no bucket")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="where the logs of all programs go in the end")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="edge-hosts-") as folder, contextlib.ExitStack() as stack:
        running = stack.enter_context(site(Path(folder), has_bucket=not options.folder))
        drill = Drill(running, options.clients, options.minutes * 60, options.every, options.retries)
        try:
            drill.run()
            faults = drill.faults()
        finally:
            if options.logs:
                options.logs.mkdir(parents=True, exist_ok=True)
                for written in Path(folder).glob("*.log"):
                    shutil.copy(written, options.logs)
    done: Counter[str] = Counter()
    for known in drill.known:
        done.update(known.done)
    seconds = sorted(itertools.chain.from_iterable(known.seconds for known in drill.known))
    errors = [f"{name}: {error}" for known in drill.known for name, error in known.errors]
    place = "a folder" if options.folder else "a bucket"
    print(f"{options.clients} clients of {options.retries} retries, {options.minutes:g} minutes, content in {place}\n")
    print("| what | how often |")
    print("|---|---|")
    for name, count in (*sorted(done.items()), ("all operations", done.total())):
        print(f"| {name.replace('_', ' ')} | {count:,} |")
    for name, count in drill.kills.items():
        print(f"| {name} killed and started | {count} |")
    print(f"| sent again by clients | {drill.retries:,} |")
    print(f"| errors that users saw | {len(errors)} |")
    print(
        f"| files, secrets there in the end | {sum(len(each.files) for each in drill.known):,}, "
        f"{sum(len(each.secrets) for each in drill.known):,} |"
    )
    print(f"| lost or wrong | {len(faults)} |")
    median, tail, (longest, name) = (seconds[int((len(seconds) - 1) * share)] for share in (0.5, 0.99, 1))
    print(f"\nAn operation takes {median[0]:.3f} s (median), {tail[0]:.2f} s (99 %), at most {longest:.1f} s ({name}).")
    for line in (*errors, *faults):
        print(line)
    return 1 if errors or faults else 0
