"""nginx in front of a server: with TLS, and with a limit on each connection."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers import Missing, free_port, running, wait_for

LIMIT = 60_000_000
"""Bytes a second of a connection that is limited."""

_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Connection "";
    proxy_request_buffering off;
    proxy_max_temp_file_size 0;
    proxy_buffers 16 64k;
    server {{
        listen 127.0.0.1:{limited};
        location / {{ proxy_pass {url}; limit_rate {limit}; }}
    }}
    server {{
        listen 127.0.0.1:{tls} ssl;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        location / {{ proxy_pass {url}; }}
    }}
}}
"""


class Proxies(NamedTuple):
    """A running nginx.

    Attributes:
        name: with its version.
        limited: service URL by which each connection is limited.
        tls: service URL by TLS.
        certificate: of the CA that a client must know for it.
    """

    name: str
    limited: str
    tls: str
    certificate: Path


@contextlib.contextmanager
def proxies(url: str) -> Iterator[Proxies]:
    """Nginx in front of the server at `url`.

    Raises:
        Missing: nginx or openssl is not installed.
    """
    nginx, openssl = shutil.which("nginx") or shutil.which("/usr/sbin/nginx"), shutil.which("openssl")
    if nginx is None or openssl is None:
        raise Missing("nginx or openssl is missing (on Debian: apt-get install nginx-light openssl)")
    with tempfile.TemporaryDirectory() as folder:
        certificate = Path(folder, "certificate.pem")
        command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-days", "7", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        command += ["-keyout", f"{folder}/key.pem", "-out", str(certificate)]
        subprocess.run(command, check=True, capture_output=True)
        limited, tls = free_port(), free_port()
        configuration = _CONFIGURATION.format(folder=folder, url=url, limited=limited, tls=tls, limit=LIMIT)
        Path(folder, "nginx.conf").write_text(configuration)
        with running([nginx, "-p", folder, "-c", f"{folder}/nginx.conf"], folder) as process:
            wait_for(tls, process)
            version = subprocess.run([nginx, "-v"], check=True, capture_output=True, text=True).stderr
            yield Proxies(
                version.strip().rpartition("/")[2] and f"nginx {version.strip().rpartition('/')[2]}",
                f"http://127.0.0.1:{limited}",
                f"https://127.0.0.1:{tls}",
                certificate,
            )
