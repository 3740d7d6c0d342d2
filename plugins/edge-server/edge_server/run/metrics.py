"""What the server counts of itself, for Prometheus: https://prometheus.io/docs/practices/naming/.

No label has what a request has sent, nor whose it was: the template of an address, never the address, so that the
numbers can be shown to whoever runs the machine, and their count does not grow with users.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_server.base.background import Task
from edge_server.base.problems import CannotStart
from edge_server.files import totals
from edge_server.files.storage import SECTION, StorageSettings
from edge_server.run.readiness import PATIENCE, Check, Outcome
from edge_server.web.counting import Reading
from edge_server.web.engines import Engines

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus_client finds the numbers of all processes, when it is imported."""

MEMORY = Path("/dev/shm")  # noqa: S108
"""Where Linux has files in memory. On a disk that is full, a process that counts would end by SIGBUS."""

ANSWERED = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds: the upper bounds of the groups that requests are counted in."""

WAITED = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0)
"""Seconds: those of waits for the database."""

UNKNOWN = "unknown"
"""The method, route or code of what has none of the server's own."""


def require_installed() -> None:
    """See that what counts is installed.

    Raises:
        CannotStart: prometheus_client is not.
    """
    if importlib.util.find_spec("prometheus_client") is None:
        raise CannotStart(
            "prometheus-client is not installed, which [server] metrics_listen needs; "
            "run: python -m pip install prometheus-client"
        )


@contextlib.contextmanager
def shared_folder(data: Path) -> Iterator[Path]:
    """A folder for the numbers of all processes of a server, gone after the block.

    Args:
        data: the server's data folder, which this process has locked.

    Raises:
        CannotStart: prometheus_client is not installed.
    """
    require_installed()
    parents = [Path(path) for path in (os.environ.get("RUNTIME_DIRECTORY"), MEMORY, tempfile.gettempdir()) if path]
    parent = next(path for path in parents if os.access(path, os.W_OK | os.X_OK))
    prefix = f"edge-metrics-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}-"
    for left in parent.glob(f"{prefix}*"):  # by a server of this data folder that was killed
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    os.environ[FOLDER_VARIABLE] = str(folder)
    try:
        yield folder
    finally:
        del os.environ[FOLDER_VARIABLE]
        shutil.rmtree(folder, ignore_errors=True)


class Metrics:
    """The numbers of this server, which all of its processes add to.

    Args:
        folder: what `shared_folder` gave; the process has to be in its block.
    """

    def __init__(self, folder: Path) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._folder = folder
        own = CollectorRegistry()  # nobody reads it: what is shown comes from the folder

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=own)

        self._requests = Histogram(
            "edge_request_duration_seconds",
            "Seconds from the header of a request to the beginning of its answer, so with its body.",
            ("route", "method", "status"),
            buckets=ANSWERED,
            registry=own,
        )
        self._in_flight = Gauge(
            "edge_requests_in_flight",
            "Requests that have begun and whose answer has not been taken to its end.",
            multiprocess_mode="livesum",
            registry=own,
        )
        self._received = counter("edge_received_bytes", "Bytes of bodies of requests.", "route")
        self._sent = counter("edge_sent_bytes", "Bytes of bodies of answers.", "route")
        self._problems = counter("edge_problems", "Answers that refuse, or tell of a failure, by their code.", "code")
        self._waits = Histogram(
            "edge_database_wait_seconds",
            "Seconds that a transaction that writes has waited for its turn.",
            buckets=WAITED,
            registry=own,
        )
        self._runs = counter("edge_background_runs", "Runs of a background task.", "task", "outcome")
        self._succeeded = Gauge(
            "edge_background_last_success_timestamp_seconds",
            "When a background task last succeeded on this host, in seconds since 1970.",
            ("task",),
            multiprocess_mode="max",
            registry=own,
        )
        self._interval = Gauge(
            "edge_background_interval_seconds",
            "Seconds between the end of a background task and its next run.",
            ("task",),
            multiprocess_mode="max",
            registry=own,
        )

    # --- what is counted

    def begun(self) -> None:
        """Count a request that has begun."""
        self._in_flight.inc()

    def ended(self, reading: Reading) -> None:
        """Count a request that has ended."""
        route = reading.route or UNKNOWN
        self._in_flight.dec()
        self._requests.labels(route, reading.method or UNKNOWN, str(reading.status)).observe(reading.seconds)
        self._received.labels(route).inc(reading.bytes_in)
        self._sent.labels(route).inc(reading.bytes_out)
        if reading.problem:
            self._problems.labels(reading.problem).inc()

    def waited(self, seconds: float) -> None:
        """Count a wait for the database."""
        self._waits.observe(seconds)

    def ran(self, task: Task, succeeded: bool) -> None:
        """Count a run of a background task."""
        self._runs.labels(task.name, "success" if succeeded else "failure").inc()
        self._interval.labels(task.name).set(task.seconds)
        if succeeded:
            self._succeeded.labels(task.name).set(time.time())

    def forget(self, pid: int) -> None:
        """Let what a process was at when it ended count no more."""
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid, str(self._folder))  # type: ignore[no-untyped-call]

    # --- what is shown

    def text(self, shown: Collected) -> bytes:
        """The numbers of all processes, with others that are looked up now, in Prometheus's text format."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(self._folder))  # type: ignore[no-untyped-call]
        registry.register(shown)
        return generate_latest(registry)


class Sums:
    """What all organizations hold, looked up when it is asked for, within a bound.

    Args:
        engines: what the server runs on.
    """

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._quota = engines.configuration.section(SECTION, StorageSettings()).get("quota")
        self._latest: totals.Totals | None = None
        self._check = Check("totals", self._look)

    def latest(self) -> totals.Totals | None:
        """The sums; None where the database does not give them in time."""
        is_known = self._check.outcome(time.monotonic() + PATIENCE).is_usable
        return self._latest if is_known else None

    def _look(self) -> None:
        with self._engines.database.read() as session:
            self._latest = totals.totals(session, self._quota)


class Collected:
    """What is looked up for one answer, as prometheus_client collects it."""

    def __init__(self, outcomes: Iterable[Outcome], sums: totals.Totals | None, folder: Path) -> None:
        self._outcomes = outcomes
        self._sums = sums
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        def gauge(name: str, text: str, value: float) -> Any:
            return GaugeMetricFamily(name, text, value=value)

        version = importlib.metadata.version("edge-server")
        info = GaugeMetricFamily("edge_build_info", "The version that runs; always 1.", labels=["version"])
        info.add_metric([version], 1)
        yield info
        usable = GaugeMetricFamily("edge_engine_up", "Whether an engine can be used: 1, or 0.", labels=["engine"])
        took = GaugeMetricFamily("edge_engine_check_seconds", "Seconds that a look at it took.", labels=["engine"])
        for outcome in self._outcomes:
            usable.add_metric([outcome.name], float(outcome.is_usable))
            took.add_metric([outcome.name], outcome.seconds)
        yield usable
        yield took
        with contextlib.suppress(OSError):
            disk = shutil.disk_usage(self._folder)
            yield gauge("edge_disk_size_bytes", "Bytes of the disk of the data folder.", disk.total)
            yield gauge("edge_disk_free_bytes", "Bytes that are free on it.", disk.free)
        if self._sums is None:
            return
        sums = self._sums
        yield gauge("edge_stored_bytes", "Bytes of the newest versions of all files.", sums.used)
        yield gauge("edge_deleted_bytes", "Bytes of deleted content that is still there.", sums.deleted)
        yield gauge("edge_quota_bytes", "Bytes that all quotas together allow.", sums.quota)
        yield gauge("edge_quota_used_bytes", "Bytes of them that are used or reserved.", sums.quota_used)
        yield gauge("edge_nearly_full_organizations", "Organizations with 90 % of their quota.", sums.nearly_full)
        yield gauge("edge_open_uploads", "Open uploads.", sums.uploads)
        yield gauge("edge_open_upload_bytes", "Bytes that open uploads reserve.", sums.upload_bytes)
