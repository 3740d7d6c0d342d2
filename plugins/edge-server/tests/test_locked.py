"""No writing transaction grows with the data: while one lasts, nobody else can write.

All that writes is done at two sizes of an organization, each with batches of a few. What is counted are the statements
of each transaction, the rows it changes and, on SQLite, the instructions it takes, which also tell a walk over rows
that are only looked at.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa

from edge_server.accounts import removal
from edge_server.accounts.removal import Removals
from edge_server.base import clock
from edge_server.base.operator_files import OperatorFile
from edge_server.billing import closing
from edge_server.billing.meter import Meter
from edge_server.billing.prices import FILE_NAME as PRICES_NAME
from edge_server.billing.prices import NONE, PricesSchema
from edge_server.data import database
from edge_server.data.database import SERVER, Database
from edge_server.data.migration import own_history
from edge_server.files import housekeeping, tree
from edge_server.files.models import Upload, Version
from edge_server.identity import directory
from edge_server.identity.models import Organization
from edge_server.keys.signing import Signer
from edge_server.run import app
from edge_server.web.context import OwnContext
from edge_server.web.counting import Request
from edge_server.web.engines import Engines

from .grown import grow, organization
from .postgresql import scratch_postgresql
from .trees import housekeeping_on
from .work import Watch

BATCH = 40
SIZES = (200, 1600)

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
        self._app = app.build(self.engines)
        self.costs: dict[str, Cost] = {}
        self._watch = Watch(opened)
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

    def call(self, what: str, method: str, address: str, *, status: int = 200, **options: Any) -> Any:
        """Send a request, and note what its transactions took."""
        headers = {"Authorization": f"Bearer {self._token}"}
        with self.noting(what):
            answer = self._app.test_client().open(address, method=method, headers=headers, **options)
        assert answer.status_code == status, answer.text
        return answer

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
        (tree, "BATCH"),
        (removal, "BATCH"),
        (housekeeping, "COLLECTED"),
        (closing, "PRUNED"),
    ):
        monkeypatch.setattr(module, name, BATCH)
    for module in (removal, housekeeping, closing):
        monkeypatch.setattr(module, "PAUSE", 0.0)
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
    assert len(few.costs) > 25


def is_as_much(cost: Cost, other: Cost) -> bool:
    return (
        cost.statements <= other.statements
        and cost.rows <= other.rows + BATCH
        and cost.steps <= other.steps + STEPS_MORE
    )


def do_all_that_writes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.files("put", "PUT", "/content?path=kept/new.txt", data=b"x", status=201)
    site.files("put again", "PUT", "/content?path=kept/new.txt&overwrite=true", data=b"y", status=201)
    site.files("make a folder", "POST", "/folders", json={"path": "deep/er/folder"}, status=201)
    site.files("copy", "POST", "/copy", json={"path": "kept/new.txt", "new_path": "kept/copy.txt"}, status=201)
    site.files("move a file", "POST", "/move", json={"path": "kept/copy.txt", "new_path": "deep/copy.txt"})
    site.files("delete a file", "DELETE", "/entry?path=deep/copy.txt", status=204)
    versions = site._app.test_client().get(
        "/v1/orgs/lab/files/versions?path=kept/new.txt", headers={"Authorization": f"Bearer {site._token}"}
    )
    restored = {"path": "kept/new.txt", "version": versions.json["items"][0]["version"]}
    site.files("restore", "POST", "/restore", json=restored)
    site.files("move a folder deeper", "POST", "/move", json={"path": "moved", "new_path": "deep/er/moved"})
    site.files("move a folder up", "POST", "/move", json={"path": "deep/er/moved", "new_path": "moved"})
    upload_in_parts(site)
    upload = site.files("start another upload", "POST", "/uploads", json={"path": "a", "size": 5}, status=201).json
    site.files("abort an upload", "DELETE", f"/uploads/{upload['id']}", status=204)
    site.files("delete a folder", "DELETE", "/entry?path=deleted&recursive=true", status=204)
    with site.noting("clear away"):
        housekeeping_on(site.folder, site.database).run()
    site.call("set a quota", "PATCH", "/v1/admin/organizations/lab/quota", json={"storage_bytes": 10**9})
    site.call("query usage", "GET", "/v1/orgs/lab/billing/usage")
    add_users(site)
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
    site.call("close an organization", "DELETE", "/v1/admin/organizations/lab", status=202)
    with site.noting("remove an organization"):
        Removals(OwnContext("accounts", site.engines, ())).run()
    with site.database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Version)) == 0


def upload_in_parts(site: Site) -> None:
    content = b"content"
    digest = hashlib.sha256(content).hexdigest()
    started = {"path": "kept/large.bin", "size": len(content)}
    upload = site.files("start an upload", "POST", "/uploads", json=started, status=201).json["id"]
    signed = site._app.test_client().post(
        f"/v1/orgs/lab/files/uploads/{upload}/sign",
        json={"parts": [{"n": 1}]},
        headers={"Authorization": f"Bearer {site._token}"},
    )
    with site.noting("send a part"):
        sent = site._app.test_client().put(f"/{signed.json['parts'][0]['url']}", data=content)
    assert sent.status_code == 200, sent.text
    part = {"n": 1, "size": len(content), "etag": sent.headers["ETag"]}
    site.files("complete an upload", "POST", f"/uploads/{upload}/complete", json={"sha256": digest, "parts": [part]})


def add_users(site: Site) -> None:
    site.call("add a user", "POST", "/v1/admin/users", json={"user_name": "ada"}, status=201)
    site.call("add an organization", "POST", "/v1/admin/organizations", json={"name": "new"}, status=201)
    site.call("remove a user", "DELETE", "/v1/admin/users/ada", status=204)


def expire(site: Site) -> None:
    """Let what was deleted be due, and some uploads."""
    with site.database.write(SERVER) as session:
        ago = clock.now() - dt.timedelta(days=8)
        session.execute(sa.update(Version).where(Version.removed_at.is_not(None)).values(removed_at=ago))
        session.execute(sa.update(Upload).values(expires_at=ago))
