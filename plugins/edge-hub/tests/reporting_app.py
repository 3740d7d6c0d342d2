"""An application that a hub starts: it writes into a file what `EdgeSession()` gives it."""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge_core.session import EdgeSession


def report() -> dict[str, Any]:
    """What the user of this server sees and can do."""
    with EdgeSession(retries=20) as edge:
        me = edge.whoami()
        edge.files.upload(f"{me.user_name}.bin", os.urandom(10 << 20))
        edge.secrets.create_user_secret("word", {"of": me.user_name})
        token = edge.tokens.create(note="of an application", expires_in=3600)
        with EdgeSession(token.token, edge.config.service_url, edge.organization, retries=20) as narrow:
            return {
                "user": me.user_name,
                "organization": edge.organization,
                "service": edge.config.service_url,
                "size": len(edge.files.open(f"{me.user_name}.bin", open_with="file").read()),
                "search": [result.path for result in edge.search(me.user_name)],
                "secret": edge.secrets.read_user_secret("word"),
                "token is": narrow.whoami().user_name,
            }


class Handler(BaseHTTPRequestHandler):
    """Answers the hub, which looks whether the server has started."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def main() -> None:
    address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    server = HTTPServer((address.hostname or "", address.port or 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        answer = report()
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    path = Path(os.environ["REPORTS"]) / os.environ["JUPYTERHUB_USER"]
    path.with_suffix(".tmp").write_text(json.dumps(answer))
    path.with_suffix(".tmp").rename(path)
    threading.Event().wait()


if __name__ == "__main__":
    main()
