"""Running the server: on gunicorn where it runs, else on waitress."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_server.base.problems import CannotStart
from edge_server.run import systemd
from edge_server.web import transfers
from edge_server.web.engines import engines_of

if TYPE_CHECKING:
    import flask

    from edge_server.run.monitoring import Monitoring

LONGEST_ADDRESS = 128 << 10
"""Bytes of a request line. A path of full length and depth, escaped, has 77,000."""

MOST_CONNECTIONS = 10_000
"""Connections of a process; beyond, the oldest that are idle are closed."""

OWN_FILES = 256
"""File descriptors that are kept for what is no connection: the database, content that is written, logs."""

MOST_FILES = 2 * MOST_CONNECTIONS + OWN_FILES

_FIRST_INHERITED = 3
"""The file descriptor of the first socket that systemd hands over (SD_LISTEN_FDS_START)."""


def listen(host: str, port: int, options: tuple[str, str] = ("--host", "--port")) -> socket.socket:
    """A socket bound to `host` and `port`; 0 is any free one.

    Args:
        host: a name or an address of this machine.
        port: its number.
        options: what the operator sets the two by, for the sentence of an error.

    Raises:
        CannotStart: the port is taken or not allowed, or the host is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        sentence = f"{host} is no address to listen at ({error.strerror}); choose another {options[0]}"
        raise CannotStart(sentence) from None
    try:
        if os.name == "posix":
            # A port is free again as soon as its server has stopped. On Windows it means something else.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise CannotStart(
            f"cannot listen at {host}:{port} ({error.strerror}); choose another {options[1]}, or 0 for a free one"
        ) from None
    return listener


def inherited(environment: MutableMapping[str, str] = os.environ) -> socket.socket | None:
    """The socket at which systemd listens for this process, by sd_listen_fds(3); None if there is none.

    Raises:
        CannotStart: there are several, or none that HTTP over TCP comes by.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return None
    # Not for the processes that are started from here, nor for gunicorn, which would take it a second time.
    count = int(environment.pop("LISTEN_FDS", "0"))
    for name in ("LISTEN_PID", "LISTEN_FDNAMES"):
        environment.pop(name, None)
    if count == 0:
        return None
    listener = socket.socket(fileno=_FIRST_INHERITED)
    is_tcp = listener.family in (socket.AF_INET, socket.AF_INET6) and listener.type == socket.SOCK_STREAM
    if count > 1 or not is_tcp or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.detach()
        raise CannotStart(
            "systemd hands over what the server cannot listen at; have a single ListenStream in the socket unit, with "
            "an address and a port"
        )
    return listener


def url_of(listener: socket.socket) -> str:
    """The service URL of what listens there, as this machine reaches it."""
    host, port = listener.getsockname()[:2]
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.is_unspecified:
        address = ipaddress.ip_address("::1" if address.version == 6 else "127.0.0.1")
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine can reach what listens there."""
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def require_able(workers: int) -> None:
    """See that the server can run in so many processes on this system.

    Raises:
        CannotStart: it cannot.
    """
    if workers > 1 and os.name != "posix":
        raise CannotStart(f"the server runs in one process on this system, not in {workers}; leave out workers")


def serve(
    app: flask.Flask,
    listener: socket.socket,
    data: Path,
    *,
    workers: int,
    threads: int,
    uploads: int,
    access_log: Path | None,
    ready: Callable[[], None],
    monitoring: Monitoring | None = None,
    starter: int | None = None,
) -> None:
    """Serve `app` until the process is told to stop; requests that have begun are finished.

    Args:
        app: the application.
        listener: where it listens; closed in the end.
        data: the data folder.
        workers: processes.
        threads: threads of each process, whatever clients do.
        uploads: bodies that each process waits for at once; there is a thread more for each.
        access_log: file for one line per request.
        ready: called once requests will be answered.
        monitoring: answers those who watch the server.
        starter: the process that has started this one, with which it ends however that ends; None to go on without.
    """
    engines_of(app).threads.count = threads
    if os.name == "posix":
        transfers.install(app, transfers.Transfers(uploads))
        _serve_with_gunicorn(app, listener, data, workers, threads, access_log, ready, monitoring, starter)
    else:
        serve_with_waitress(app, listener, threads, ready, monitoring)


def serve_with_waitress(
    app: flask.Flask,
    listener: socket.socket,
    threads: int,
    ready: Callable[[], None],
    monitoring: Monitoring | None = None,
) -> None:
    """Serve with waitress, which is one process."""
    import waitress  # type: ignore[import-untyped]

    server = waitress.create_server(
        app,
        sockets=[listener],
        threads=threads,
        max_request_body_size=1 << 50,  # the app has its own limits
        max_request_header_size=2 * LONGEST_ADDRESS,
        clear_untrusted_proxy_headers=False,  # the app knows which proxies to trust
        connection_limit=500,  # select() on Windows knows 512
        channel_timeout=30,
        ident=None,
    )
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _interrupt)
    _start(app, monitoring)
    ready()
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    server.close()
    _stop(app)


def _start(app: flask.Flask, monitoring: Monitoring | None) -> None:
    """Begin what goes on beside answering, in the process that answers."""
    engines_of(app).background.start()
    if monitoring is not None:
        monitoring.start()


def _stop(app: flask.Flask) -> None:
    engines_of(app).background.stop()
    engines_of(app).database.close()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _serve_with_gunicorn(
    app: flask.Flask,
    listener: socket.socket,
    data: Path,
    workers: int,
    threads: int,
    access_log: Path | None,
    ready: Callable[[], None],
    monitoring: Monitoring | None,
    starter: int | None,
) -> None:
    # gunicorn asks for the folder in which it is started, and enters it, and root's is closed to the server's user.
    os.chdir(data)
    import gunicorn.http.message  # type: ignore[import-untyped]
    from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

    from edge_server.run.gunicorn_worker import Arbiter, Log, Worker

    # gunicorn cuts its setting for this down to its own constant, which is too short for a path.
    gunicorn.http.message.MAX_REQUEST_LINE = LONGEST_ADDRESS

    settings: dict[str, Any] = {
        "bind": f"fd://{listener.detach()}",
        "worker_class": Worker,
        "workers": workers,
        "threads": threads,
        "worker_connections": _connections(),
        "preload_app": True,
        # The heartbeat is for workers that handle one request at a time; here it could only kill
        # one whose disk is slow.
        "timeout": 0,
        "graceful_timeout": systemd.GRACE,
        "keepalive": 75,  # any but 0: the poller has its own
        # Which proxies to trust the application knows. gunicorn takes nothing from any, neither a path nor a scheme, so
        # that it need not look for the address of each request among those of proxies.
        "forwarded_allow_ips": "*",
        "forwarder_headers": "",
        "secure_scheme_headers": {},
        "limit_request_line": LONGEST_ADDRESS,
        "loglevel": "warning",
        "logger_class": Log,
        "worker_tmp_dir": str(data),
        "control_socket_disable": True,
        "proc_name": "edge-server",
        "when_ready": lambda _: ready(),
        # In each worker, since threads do not survive the fork that makes one.
        "post_worker_init": lambda _: _start(app, monitoring),
        "worker_exit": lambda _, __: _stop(app),
    }
    if monitoring is not None:
        settings["child_exit"] = lambda _, worker: monitoring.forget(worker.pid)
    if access_log is not None:
        settings["accesslog"] = str(access_log)
        # The path without its query, which may hold a signature.
        settings["access_log_format"] = '%(h)s %(t)s "%(m)s %(U)s" %(s)s %(B)s %(M)sms %({x-request-id}o)s'

    class Application(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            for name, value in settings.items():
                if name in self.cfg.settings:  # older versions have no control socket to disable
                    self.cfg.set(name, value)

        def load(self) -> flask.Flask:
            return app

    parent = os.getpid()
    arbiter = Arbiter(Application())
    arbiter.starter = starter
    try:
        arbiter.run()
    except SystemExit as stop:
        if os.getpid() != parent:
            # A worker that has finished arrives here too, and what is open belongs to its parent.
            sys.stderr.flush()
            os._exit(int(stop.code or 0))
        if stop.code:
            raise


def _connections() -> int:
    """Connections that a process may have at once; raises its limit of open files as far as that goes."""
    import resource

    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY or most > MOST_FILES:
        most = max(limit, MOST_FILES)
    # macOS allows less than it says.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Who reads a file has two open. What the server itself has open is well below the rest.
    return max(64, min(MOST_CONNECTIONS, (limit - OWN_FILES) // 2))
