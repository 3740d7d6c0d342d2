"""nginx for the tests: the program of the system, each with a folder of its own."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import trustme

from tests.object_stores import free_port, wait_for
from tests.programs import program

GUIDE = Path(__file__).parents[3] / "docs" / "deployment.md"

_MAIN = """
daemon off;
user {user} {group};
worker_processes 1;
pid {folder}/nginx.pid;
# Lines of a lower level, and those on accesses, have the query of signed addresses.
error_log {folder}/error.log crit;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body 1 2;
    proxy_temp_path {folder}/proxy 1 2;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{servers}
}}
"""

PLAIN = """
server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass {url}; }}
    location /reading {{ proxy_pass {url}; proxy_read_timeout 1s; }}
    location /away {{ return 503; }}
}}
"""
"""What whoever has read no guide writes."""


def block_of_guide(url: str, port: int, certificates: Path, logs: Path) -> str:
    """The configuration in the guide, with this machine's address, port, certificate and logs in place of the guide's.

    Each must be there as often as it is replaced, so that nothing of the guide is left out unnoticed.
    """
    block = re.findall(r"^```nginx\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[0]
    own = [
        ("server 127.0.0.1:8790;", f"server {urlsplit(url).netloc};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("listen [::]:443 ssl;", ""),
        ("/etc/ssl/edge/", f"{certificates}/"),
        ("/etc/ssl/edge/", f"{certificates}/"),
        ("/var/log/nginx/", f"{logs}/"),
        ("/var/log/nginx/", f"{logs}/"),
    ]
    for text, replacement in own:
        assert text in block
        block = block.replace(text, replacement, 1)
    return block


def issue(ca: trustme.CA, folder: Path, **options: object) -> None:
    """Write a certificate for this machine by the names that the guide has."""
    certificate = ca.issue_cert("127.0.0.1", **options)  # type: ignore[arg-type]
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    for n, pem in enumerate(certificate.cert_chain_pems):
        pem.write_to_path(folder / "fullchain.pem", append=n > 0)


@contextlib.contextmanager
def running(folder: Path, port: int, servers: str) -> Iterator[None]:
    """An nginx in an empty folder; the test is skipped only where it is not installed."""
    nginx = program("nginx", "apt-get install nginx-light")
    import grp  # which only POSIX has, as it has the system's nginx
    import pwd

    # Started by root it works as somebody else otherwise, who may not write here.
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, servers=servers, user=user, group=group))
    with open(folder / "output", "wb") as output:
        process = subprocess.Popen(
            [nginx, "-p", folder, "-c", folder / "nginx.conf"], stdout=output, stderr=output, cwd=folder
        )
    try:
        wait_for("127.0.0.1", port, process, folder / "output")
        yield
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def plain(folder: Path, url: str) -> Iterator[str]:
    """What passes on to a server with nginx's defaults; gives its address."""
    port = free_port()
    with running(folder, port, PLAIN.format(port=port, url=url)):
        yield f"http://127.0.0.1:{port}"
