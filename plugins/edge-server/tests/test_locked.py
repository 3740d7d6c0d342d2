"""No writing transaction grows with the data: while one lasts, nobody else can write.

All that writes is done at two sizes of an organization, each with batches of a few. What is counted are the statements
of each transaction, the rows it changes and, on SQLite, the instructions it takes, which also tell a walk over rows
that are only looked at.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa

from edge_files.wire import BATCH_TYPE
from edge_server.accounts import removal
from edge_server.accounts.removal import Removals
from edge_server.base import clock
from edge_server.base.operator_files import OperatorFile
from edge_server.billing import closing
from edge_server.billing.meter import Meter
from edge_server.billing.prices import FILE_NAME as PRICES_NAME
from edge_server.billing.prices import NONE, PricesSchema
from edge_server.data import database, slices
from edge_server.data.database import SERVER, Database
from edge_server.data.migration import own_history
from edge_server.files import clearing, housekeeping
from edge_server.files.models import Upload, Version
from edge_server.identity import directory
from edge_server.identity.models import Organization
from edge_server.keys import sealing
from edge_server.keys.signing import Signer
from edge_server.run import app
from edge_server.run.openapi import document
from edge_server.web.context import OwnContext
from edge_server.web.counting import Request
from edge_server.web.engines import Engines

from .grown import grow, organization
from .launched import AT_HUB
from .postgresql import scratch_postgresql
from .trees import housekeeping_on
from .wire import batch_of
from .work import Watch

BATCH = 40
SIZES = (200, 2000)
EACH = 100
"""One in so many of them is the number of users, tokens, secrets and whatever else there is beside files."""

READING = {"files.read_batch", "files.uploads.sign"}
"""Operations that are no GET, and write nothing."""

# B-trees are deeper by a level, and what is met on the way through one differs a little.
STEPS_MORE = 40


class Cost(NamedTuple):
    """The most that one writing transaction of something took."""

    statements: int
    rows: int
    steps: int


class Site:
    """A server's application on a database, with an organization of some size.

    Args:
        folder: an empty folder.
        opened: the database.
        size: how many files the organization has.
    """

    def __init__(self, folder: Path, opened: Database, size: int) -> None:
        self.folder = folder
        self.database = opened
        self.engines: Engines = app.engines_at(folder, Signer(b"key"), database=opened)
        self.engines.store.create()
        sealing.KeyFile(folder / sealing.FILE_NAME).create()
        self._app = app.build(self.engines)
        self.costs: dict[str, Cost] = {}
        self._watch = Watch(opened)
        self.count = size // EACH
        self.organization = organization(opened, "lab")
        self.long_ago = clock.now() - dt.timedelta(days=70)
        for name in ("moved", "deleted", "kept"):
            grow(opened, self.organization, name, size, created_at=self.long_ago, indexed=name == "deleted")
        with opened.write(SERVER) as session:
            session.execute(sa.update(Organization).values(created_at=self.long_ago))
            user = directory.find_user(session, "lab")
            assert user is not None
            user.server_admin = True
            self._token = directory.create_token(session, user)
            other = directory.create_user(session, "other", server_admin=True)
            self.other_token = directory.create_token(session, other)

    def send(self, method: str, address: str, *, token: str | None = None, **options: Any) -> Any:
        """What a request is answered with: of the organization's admin, or of another's token; "" for nobody's."""
        token = self._token if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if method == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"
        answer = self._app.test_client().open(address, method=method, headers=headers, **options)
        assert answer.status_code < 300, (method, address, answer.text)
        return answer

    def call(self, what: str, method: str, address: str, *, status: int = 200, **options: Any) -> Any:
        """Send a request, and note what its transactions took under `what`, which begins with the operation's name."""
        with self.noting(what):
            answer = self.send(method, address, **options)
        assert answer.status_code == status, answer.text
        return answer

    def add(self, what: str, address: str, body: Callable[[str], dict[str, Any]], **options: Any) -> list[Any]:
        """Add as many of something as there are to be, and one more, whose transactions are noted.

        Args:
            what: the operation.
            address: where to.
            body: called with a fresh name, gives the body of the request.
            options: those of `call`.

        Returns:
            the bodies of the answers.
        """
        before = [self.send("POST", address, json=body(f"n-{n}"), **options).json for n in range(self.count)]
        return [*before, self.call(what, "POST", address, json=body("last"), status=201, **options).json]

    def files(self, what: str, method: str, address: str, **options: Any) -> Any:
        return self.call(what, method, f"/v1/orgs/lab/files{address}", **options)

    @contextlib.contextmanager
    def noting(self, what: str) -> Iterator[None]:
        with self._watch.watching() as done:
            yield
        written = [work for work in done if work.writes or not _has_steps(self.database)]
        assert written, f"{what} wrote nothing"
        self.costs[what] = Cost(
            max(work.statements for work in written),
            max(work.rows for work in written),
            max(work.steps for work in written),
        )


def _has_steps(opened: Database) -> bool:
    return opened.engine.dialect.name == "sqlite"


@pytest.fixture(params=["sqlite", "postgresql"])
def sites(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Site]]:
    for module, name in (
        (clearing, "BATCH"),
        (removal, "BATCH"),
        (housekeeping, "COLLECTED"),
        (closing, "PRUNED"),
    ):
        monkeypatch.setattr(module, name, BATCH)
    for module in (removal, housekeeping, closing):
        monkeypatch.setattr(module, "PAUSE", 0.0)
    # However slow the machine and the store are.
    monkeypatch.setattr(slices, "LEAST", 1.0)
    monkeypatch.setattr(housekeeping, "COLLECTING", 600.0)
    with contextlib.ExitStack() as stack:
        sites = []
        for size in SIZES:
            folder = tmp_path / str(size)
            folder.mkdir()
            if request.param == "sqlite":
                opened = stack.enter_context(contextlib.closing(Database(folder / database.FILE_NAME)))
            else:
                opened = stack.enter_context(scratch_postgresql())
            own_history().upgrade(opened)
            sites.append(Site(folder, opened, size))
        yield sites


def test_no_transaction_grows_with_what_there_is(sites: list[Site], monkeypatch: pytest.MonkeyPatch) -> None:
    for site in sites:
        do_all_that_writes(site, monkeypatch)
    few, many = sites
    grown = {
        what: (cost, many.costs[what]) for what, cost in few.costs.items() if not is_as_much(many.costs[what], cost)
    }
    assert grown == {}
    writing = {operation for operation, method in operations() if method != "GET"} - READING - AT_HUB
    assert writing - {what.partition(" ")[0] for what in few.costs} == set()


def operations() -> Iterator[tuple[str, str]]:
    """The names and methods of all operations."""
    for methods in document()["paths"].values():
        for method, operation in methods.items():
            if "operationId" in operation:
                yield operation["operationId"], method.upper()


def is_as_much(cost: Cost, other: Cost) -> bool:
    return (
        cost.statements <= other.statements
        and cost.rows <= other.rows + BATCH
        and cost.steps <= other.steps + STEPS_MORE
    )


def do_all_that_writes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.files("files.put", "PUT", "/content?path=kept/new.txt", data=b"x", status=201)
    site.files("files.put again", "PUT", "/content?path=kept/new.txt&overwrite=true", data=b"y", status=201)
    entry = site.files("files.put once more", "PUT", "/content?path=kept/new.txt", data=b"z", status=201).json
    times = {"files": [{"version": entry["version"], "source_mtime_ns": 5}]}
    site.files("files.set_times", "PUT", "/source-times", json=times, status=204)
    for n, what in enumerate(("files.put_batch", "files.put_batch again")):
        manifest, content = batch_of([("kept/first.txt", b"x" * n), ("new/second.txt", b"y" * n)])
        body = json.dumps(manifest).encode() + b"\n" + content
        site.files(what, "POST", "/batch", data=body, content_type=BATCH_TYPE)
    site.files("files.make_folder", "POST", "/folders", json={"path": "deep/er/folder"}, status=201)
    site.files("files.copy", "POST", "/copy", json={"path": "kept/new.txt", "new_path": "kept/copy.txt"}, status=201)
    site.files("files.move a file", "POST", "/move", json={"path": "kept/copy.txt", "new_path": "deep/copy.txt"})
    site.files("files.delete a file", "DELETE", "/entry?path=deep/copy.txt", status=204)
    versions = site._app.test_client().get(
        "/v1/orgs/lab/files/versions?path=kept/new.txt", headers={"Authorization": f"Bearer {site._token}"}
    )
    restored = {"path": "kept/new.txt", "version": versions.json["items"][0]["version"]}
    site.files("files.restore", "POST", "/restore", json=restored)
    site.files("files.move a folder deeper", "POST", "/move", json={"path": "moved", "new_path": "deep/er/moved"})
    site.files("files.move a folder up", "POST", "/move", json={"path": "deep/er/moved", "new_path": "moved"})
    upload_in_parts(site)
    upload = site.files(
        "files.uploads.start another", "POST", "/uploads", json={"path": "a", "size": 5}, status=201
    ).json
    site.files("files.uploads.abort", "DELETE", f"/uploads/{upload['id']}", status=204)
    site.files("files.delete a folder", "DELETE", "/entry?path=deleted&recursive=true", status=204)
    with site.noting("clear away"):
        housekeeping_on(site.folder, site.database).run()
    site.call("admin.quotas.update", "PATCH", "/v1/admin/organizations/lab/quota", json={"storage_bytes": 10**9})
    site.call("billing.usage", "GET", "/v1/orgs/lab/billing/usage")
    do_what_is_no_file(site)
    month = site.long_ago.date().replace(day=1)
    expire(site)
    with site.noting("collect and sweep"):
        housekeeping_on(site.folder, site.database).run()
    with site.noting("close a month"):
        prices = OperatorFile(site.folder / PRICES_NAME, PricesSchema(), NONE)
        assert month in closing.close_ended(site.database, prices, clock.now())
    with site.database.write(SERVER) as session:
        ended = sa.update(Version).where(Version.removed_at.is_not(None)).values(removed_at=site.long_ago)
        session.execute(ended)
        session.execute(sa.delete(Upload))
    with site.noting("prune"):
        closing.prune(site.database)
    with site.noting("write what was metered"):
        meter = Meter(OwnContext("billing", site.engines, ()))
        meter.count(Request(site.organization, 1, 1))
        meter.flush()
    site.call("admin.organizations.remove", "DELETE", "/v1/admin/organizations/lab", status=202)
    with site.noting("remove an organization"):
        Removals(OwnContext("accounts", site.engines, ())).run()
    with site.database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Version)) == 0


def upload_in_parts(site: Site) -> None:
    content = b"content"
    digest = hashlib.sha256(content).hexdigest()
    started = {"path": "kept/large.bin", "size": len(content)}
    upload = site.files("files.uploads.start", "POST", "/uploads", json=started, status=201).json["id"]
    signed = site._app.test_client().post(
        f"/v1/orgs/lab/files/uploads/{upload}/sign",
        json={"parts": [{"n": 1}]},
        headers={"Authorization": f"Bearer {site._token}"},
    )
    with site.noting("signed.part"):
        sent = site._app.test_client().put(f"/{signed.json['parts'][0]['url']}", data=content)
    assert sent.status_code == 200, sent.text
    part = {"n": 1, "size": len(content), "etag": sent.headers["ETag"]}
    site.files(
        "files.uploads.complete", "POST", f"/uploads/{upload}/complete", json={"sha256": digest, "parts": [part]}
    )


def do_what_is_no_file(site: Site) -> None:
    change_people(site)
    change_tokens(site)
    change_secrets(site)
    change_applications(site)
    change_compute(site)


def change_people(site: Site) -> None:
    users, lab = "/v1/admin/users", "/v1/orgs/lab"
    site.add("admin.organizations.add", "/v1/admin/organizations", lambda name: {"name": f"org-{name}"})
    patched = {"title": "Another"}
    site.call("admin.organizations.update", "PATCH", "/v1/admin/organizations/org-last", json=patched)
    site.add("admin.users.add", users, lambda name: {"user_name": f"u-{name}"})
    site.call("admin.users.update", "PATCH", f"{users}/u-last", json={"first_name": "Ada"})
    site.call("admin.users.revoke_addresses", "DELETE", f"{users}/u-last/addresses", status=204)
    site.call("whoami.update", "PUT", "/v1/users/me", json={"first_name": "Lab"})
    site.add("members.add", f"{lab}/members", lambda name: {"user_name": f"u-{name}"})
    site.call("members.update", "PATCH", f"{lab}/members/u-last", json={"roles": ["developer"]})
    site.call("members.revoke_addresses", "DELETE", f"{lab}/members/u-last/addresses", status=204)
    site.call("members.remove", "DELETE", f"{lab}/members/u-last", status=204)
    site.call("admin.users.remove", "DELETE", f"{users}/u-last", status=204)
    invited = site.add("invitations.create", f"{lab}/invitations", lambda name: {"user_name": f"v-{name}"})
    accepted = {"code": invited[0]["code"]}
    site.call("invitations.accept", "POST", "/v1/invitations/accept", json=accepted, token="")
    site.call("invitations.remove", "DELETE", f"{lab}/invitations/{invited[-1]['id']}", status=204)
    for what, method, end, status in (("decline", "DELETE", "", 204), ("accept", "POST", "/accept", 200)):
        invitation = site.send("POST", f"{lab}/invitations", json={"user_name": "other"}).json["id"]
        own = f"/v1/users/me/invitations/{invitation}{end}"
        site.call(f"invitations.own.{what}", method, own, status=status, token=site.other_token)


def change_tokens(site: Site) -> None:
    tokens = site.add("tokens.create", "/v1/users/me/tokens", lambda name: {"note": name}, token=site.other_token)
    address = "/v1/users/me/tokens"
    site.call("tokens.renew", "POST", f"{address}/renew", status=201, token=tokens[0]["token"])
    site.call("tokens.remove", "DELETE", f"{address}/{tokens[-1]['id']}", status=204, token=site.other_token)


def change_secrets(site: Site) -> None:
    content = {"content": {"key": "value"}}
    for owner in ("user", "organization"):
        address = f"/v1/orgs/lab/secrets/{owner}"
        site.add(f"secrets.{owner}.create", address, lambda name: {"name": name, **content})
        site.call(f"secrets.{owner}.update", "PUT", f"{address}/last", json=content)
        site.call(f"secrets.{owner}.delete", "DELETE", f"{address}/last", status=204)
    sources = "/v1/orgs/lab/sources"
    site.add("sources.add", sources, lambda name: {"name": name, "kind": "sql", "title": name})
    site.call("sources.update", "PATCH", f"{sources}/last", json={"title": "Another"})
    site.call("sources.remove", "DELETE", f"{sources}/last", status=204)


def change_applications(site: Site) -> None:
    applications = "/v1/orgs/lab/applications"
    last = f"{applications}/app-last"

    def version(name: str) -> dict[str, Any]:
        return {"app_id": "app-last", "version": name, "link": "quay.io/lab/viewer:1"}

    site.add("applications.add", applications, lambda name: {"app_id": f"app-{name}"})
    site.call("applications.update", "PATCH", last, json={"idle_minutes": 5})
    site.call("applications.approve", "POST", f"{last}/approve")
    site.add("applications.versions.add", f"{last}/versions", version)
    site.call("applications.versions.update", "PATCH", f"{last}/versions/last", json={"title": "Another"})
    site.call("applications.versions.remove", "DELETE", f"{last}/versions/last", status=204)
    client = {"redirect_uri": "https://lab.example/callback"}
    site.call("applications.oauth.register", "POST", f"{last}/oauth-client", json=client, status=201)
    site.call("applications.oauth.update", "PATCH", f"{last}/oauth-client", json=client)
    site.call("applications.oauth.remove", "DELETE", f"{last}/oauth-client", status=204)

    def server(name: str) -> dict[str, Any]:
        return {"app_id": "app-last", "domain": f"{name}.example", "username": "robot", "password": "pass"}

    site.add("applications.servers.add", f"{last}/servers", server)
    site.call("applications.servers.update", "PATCH", f"{last}/servers/last.example", json={"username": "ada"})
    site.call("applications.servers.remove", "DELETE", f"{last}/servers/last.example", status=204)
    site.call("applications.remove", "DELETE", last, status=204)


def change_compute(site: Site) -> None:
    compute = "/v1/orgs/lab/compute"
    profile, placeholder = f"{compute}/app-profiles/last", f"{compute}/placeholders/last"

    def wide(name: str) -> dict[str, Any]:
        return {"profile_id": name, "instance_name": "m5.large", "cpu": 2.0, "gpu": 0, "memory": 8.0}

    def warm(name: str) -> dict[str, Any]:
        return {"name": name, "profile_id": "n-0"}

    site.add("compute.profiles.create", f"{compute}/app-profiles", wide)
    site.call("compute.profiles.update", "PATCH", profile, json={"name": "another"})
    site.add("compute.placeholders.create", f"{compute}/placeholders", warm)
    site.call("compute.placeholders.update", "PATCH", placeholder, json={"quantity": 2})
    site.call("compute.placeholders.remove", "DELETE", placeholder, status=204)
    site.call("compute.profiles.remove", "DELETE", profile, status=204)


def expire(site: Site) -> None:
    """Let what was deleted be due, and some uploads."""
    with site.database.write(SERVER) as session:
        ago = clock.now() - dt.timedelta(days=8)
        session.execute(sa.update(Version).where(Version.removed_at.is_not(None)).values(removed_at=ago))
        session.execute(sa.update(Upload).values(expires_at=ago))
