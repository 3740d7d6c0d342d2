"""An external application: whoever visits it logs in at the hub, and sees their files in Edge.

It listens at ``APP_URL``. ``HUB_URL`` is the address of the hub with ``/hub`` at its end, ``CLIENT_ID`` and
``CLIENT_SECRET`` are what `register_oauth_client` has given for the redirect URI ``APP_URL/oauth``, and
``EDGE_API_SERVICE_URL`` and ``EDGE_API_ORG`` say where Edge is.
"""

from __future__ import annotations

import base64
import hashlib
import html
import os
import secrets
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import requests

from edge_core.errors import EdgeError
from edge_core.session import EdgeSession

HUB, APP = os.environ["HUB_URL"], os.environ["APP_URL"]
CLIENT = {"client_id": os.environ["CLIENT_ID"], "redirect_uri": f"{APP}/oauth"}

visits: dict[str, dict[str, str]] = {}
"""By the cookie of a browser: the login that it has begun, then the token that this has brought."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get("visit")
        name = cookie.value if cookie else ""
        if path == "/oauth":
            self.finish_login(visits.pop(name, {}), query)
        elif path == "/" and "token" in visits.get(name, {}):
            self.show_files(visits[name]["token"])
        elif path == "/":
            self.begin_login()
        else:
            self.answer(404, "there is nothing here")

    def begin_login(self) -> None:
        visit = {"state": secrets.token_urlsafe(), "verifier": secrets.token_urlsafe(48)}
        # The verifier, which only this program has, is asked for when the code is exchanged (RFC 7636).
        challenge = base64.urlsafe_b64encode(hashlib.sha256(visit["verifier"].encode()).digest()).rstrip(b"=").decode()
        query = {"response_type": "code", "state": visit["state"], "code_challenge": challenge}
        address = f"{HUB}/api/oauth2/authorize?{urlencode({**CLIENT, **query, 'code_challenge_method': 'S256'})}"
        self.send_to(address, visit)

    def finish_login(self, visit: dict[str, str], query: dict[str, list[str]]) -> None:
        # The state belongs to this browser, so that nobody logs it in as somebody else.
        state, expected = query.get("state", [""])[0], visit.get("state", "")
        if not expected or not secrets.compare_digest(state.encode(), expected.encode()) or "code" not in query:
            self.answer(403, "the login was not finished; begin again")
            return
        form = {"grant_type": "authorization_code", "code": query["code"][0], "code_verifier": visit["verifier"]}
        secret = {"client_secret": os.environ["CLIENT_SECRET"]}
        answer = requests.post(f"{HUB}/api/oauth2/token", data={**CLIENT, **form, **secret}, timeout=60)
        if not answer.ok:
            self.answer(403, "the hub does not take the login; begin again")
            return
        self.send_to("/", {"token": answer.json()["access_token"]})

    def send_to(self, address: str, visit: dict[str, str]) -> None:
        # A cookie of its own for each step: one that somebody else knows from before the login is none after it.
        name, secure = secrets.token_urlsafe(), "; Secure" if APP.startswith("https:") else ""
        visits[name] = visit
        cookie = f"visit={name}; HttpOnly; SameSite=Lax; Path=/{secure}"
        self.answer(302, "", {"Location": address, "Set-Cookie": cookie})

    def show_files(self, token: str) -> None:
        who = requests.get(f"{HUB}/api/user", headers={"Authorization": f"Bearer {token}"}, timeout=60)
        if not who.ok:
            self.begin_login()
            return
        try:
            # Edge refuses who does not see the application: somebody who is in another organization, for instance.
            with EdgeSession(token) as edge:
                files = edge.files.list()
        except EdgeError as error:
            self.answer(403, str(error))
            return
        items = "".join(f"<li>{html.escape(name)}</li>" for name in files)
        self.answer(200, f"<h1>Hello, {html.escape(who.json()['name'])}</h1><ul>{items}</ul>", escaped=True)

    def answer(self, status: int, text: str, headers: dict[str, str] | None = None, *, escaped: bool = False) -> None:
        content = (text if escaped else html.escape(text)).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "text/html; charset=utf-8", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: the addresses of logins have their codes."""


if __name__ == "__main__":
    parts = urlsplit(APP)
    ThreadingHTTPServer((parts.hostname or "127.0.0.1", parts.port or 80), Handler).serve_forever()
