"""What requests for files ask of the database: as many statements as they need, and no more where there is more."""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from edge_files.wire import BATCH_TYPE
from edge_server.base import clock
from edge_server.base.problems import Refusal
from edge_server.data.database import SERVER, Database
from edge_server.files import paths, queries, quotas, tree
from edge_server.files.queries import NewVersion
from edge_server.identity import directory
from edge_server.keys.signing import Signer
from edge_server.run import app
from edge_server.web.idempotency import HEADER

from .grown import organization
from .trees import TREE
from .wire import batch_of
from .work import Watch


class Site:
    """A server's application on a database, with a member of one organization who asks it.

    Args:
        folder: an empty folder.
        opened: the database.
    """

    def __init__(self, folder: Path, opened: Database) -> None:
        self.engines = app.engines_at(folder, Signer(b"key"), database=opened)
        self.engines.store.create()
        self._http = app.build(self.engines).test_client()
        self._watch = Watch(opened)
        self.locks = opened.engine.dialect.name != "sqlite"
        organization(opened, "lab")
        with opened.write(SERVER) as session:
            user = directory.find_user(session, "lab")
            assert user is not None
            self._headers = {"Authorization": f"Bearer {directory.create_token(session, user)}"}
        # What every request asks, to know who sends it.
        self._known = self._statements("GET", "/entry?path=..", 400)

    def statements(self, method: str, address: str, status: int = 200, **options: Any) -> int:
        """How many statements a request runs beyond those that tell who sends it."""
        return self._statements(method, address, status, **options) - self._known

    def posted(self, address: str, **fields: Any) -> Any:
        """The answer to a request."""
        return self._http.post(f"/v1/orgs/lab/files{address}", headers=self._headers, json=fields).get_json()

    def signed(self, address: str, content: bytes) -> int:
        """How many statements a put to a signed address runs."""
        with self._watch.watching() as done:
            answer = self._http.put(f"/{address}", data=content)
        assert answer.status_code == 200, answer.text
        return sum(work.statements for work in done)

    def _statements(self, method: str, address: str, status: int, **options: Any) -> int:
        headers = {**self._headers, **options.pop("headers", {})}
        with self._watch.watching() as done:
            answer = self._http.open(f"/v1/orgs/lab/files{address}", method=method, headers=headers, **options)
        assert answer.status_code == status, answer.text
        answer.close()
        return sum(work.statements for work in done)


@pytest.fixture
def site(tmp_path: Path, opened: Database) -> Site:
    return Site(tmp_path, opened)


def test_a_part_of_an_upload_takes_few_statements_whatever_else_is_open(site: Site) -> None:
    for other in range(3):
        site.posted("/uploads", path=f"other-{other}", size=8)
    upload = site.posted("/uploads", path="large", size=20 << 20)["id"]
    numbers = [{"n": n} for n in (1, 2, 3)]
    addresses = [part["url"] for part in site.posted(f"/uploads/{upload}/sign", parts=numbers)["parts"]]
    content = bytes(8 << 20)
    part = PART + 2 * site.locks  # where it is claimed, and where it is held
    assert [site.signed(address, content) for address in addresses[:2]] == [part, part]
    assert site.signed(addresses[0], content) == part + AGAIN
    # Signing looks whether there is such an upload, and not at its parts.
    sign = {"method": "POST", "address": f"/uploads/{upload}/sign", "json": {"parts": numbers}}
    assert site.statements(**sign) == 1


PART = 9
"""Statements that a part of an upload takes: for its signer, a look, four that claim it, and three at its end."""

AGAIN = 1
"""And that which holds no longer what came for it before."""

INDEXED = 3
"""Statements that put names into the search index: the names, their words' rows, and where these stand."""

NEW_WORDS = 2
"""And those for words that no name had before: the words, and their trigrams."""


def test_reading_takes_a_statement_for_the_path_and_another_for_a_list(site: Site) -> None:
    for n in range(3):
        site.statements("PUT", f"/content?path=runs/day/plate-{n}.csv", 201, data=b"content")
    assert site.statements("GET", "/entry?path=runs/day/plate-1.csv") == 1
    assert site.statements("GET", "/entry?path=runs/day/missing", 404) == 1
    assert site.statements("GET", "/entry") == 1
    assert site.statements("GET", "/entries?path=runs/day") == 2
    assert site.statements("GET", "/entries?path=runs/day&prefix=plate-1") == 2
    assert site.statements("GET", "/entries?path=runs/day&recursive=true") == 2
    assert site.statements("GET", "/entries?recursive=true") == 2 + 2  # and one for each level below
    assert site.statements("GET", "/content?path=runs/day/plate-1.csv") == 1
    assert site.statements("GET", "/download-url?path=runs/day/plate-1.csv") == 1


def test_a_range_of_large_content_takes_a_statement_and_its_address_none(site: Site) -> None:
    content = bytes(2 << 20)
    upload = site.posted("/uploads", path="large", size=len(content))["id"]
    (part,) = site.posted(f"/uploads/{upload}/sign", parts=[{"n": 1}])["parts"]
    site.signed(part["url"], content)
    sha256 = hashlib.sha256(content).hexdigest()
    held = {"n": 1, "size": len(content), "etag": f'"{sha256}"'}
    site.posted(f"/uploads/{upload}/complete", sha256=sha256, parts=[held])
    assert site.statements("GET", "/content?path=large", 206, headers={"Range": "bytes=5-9"}) == 1
    assert site.statements("GET", "/content?path=large", 307) == 1


def test_storing_content_takes_a_statement_for_each_row_that_changes(site: Site) -> None:
    before = 2  # path and room, before the body is read
    put = before + 4 + site.locks  # path, version, name and quota
    assert site.statements("PUT", "/content?path=plate.csv", 201, data=b"1") == put + 1 + INDEXED + NEW_WORDS
    assert site.statements("PUT", "/content?path=csv.plate", 201, data=b"1") == put + INDEXED
    # The version that goes, in place of the search index.
    assert site.statements("PUT", "/content?path=plate.csv", 201, data=b"2") == put + 1
    assert site.statements("PUT", "/content?path=plate.csv&overwrite=false", 409, data=b"2") == 1


def test_making_folders_takes_a_statement_for_each_and_some_for_all_their_names(site: Site) -> None:
    path, heights = 1 + site.locks, 1
    making = site.statements("POST", "/folders", 201, json={"path": "one/two/three"})
    assert making == path + heights + 3 + INDEXED + NEW_WORDS
    assert site.statements("POST", "/folders", 201, json={"path": "three/two/one"}) == path + 3 + INDEXED
    key = {HEADER: secrets.token_hex(4)}
    claim, answer = 4 + site.locks, 1
    making = site.statements("POST", "/folders", 201, json={"path": "two"}, headers=key)
    assert making == claim + path + 1 + INDEXED + answer


def test_a_batch_takes_as_many_statements_for_a_hundred_files_as_for_ten(site: Site) -> None:
    def send(names: list[str], text: str, **more: Any) -> int:
        manifest, content = batch_of([(name, text.encode()) for name in names], **more)
        body = json.dumps(manifest).encode() + b"\n" + content
        return site.statements("POST", "/batch", data=body, content_type=BATCH_TYPE)

    before = 1  # room, before the content is read
    savepoint = 2
    put = before + savepoint + site.locks
    names = [f"plate {n}" for n in range(100)]
    few, many = (send([f"{day}/{name}" for name in names[:count]], day) for day, count in (("few", 10), ("many", 100)))
    path, heights, rows = 1, 1, 3  # versions, names and quota
    new_folder = 1 + INDEXED + NEW_WORDS  # the folder
    assert few == put + path + heights + new_folder + rows + INDEXED + NEW_WORDS
    assert many == few - heights
    # The names in the folder; and of each file that is replaced its version, the one that goes, and its name.
    assert send([f"many/{name}" for name in names[:10]], "again") == put + path + 1 + 3 * 10 + 1
    reading = {"files": [{"path": f"many/{name}", "version": "0" * 32} for name in names]}
    assert site.statements("POST", "/batch/read", json=reading) == 1


def test_storing_again_and_again_takes_no_more_statements(site: Site) -> None:
    counts = {site.statements("PUT", "/content?path=a/b/c", 201, data=bytes(n)) for n in range(2, 5)}
    assert len(counts) == 2  # the first is new


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 6, 7, 8])
def test_a_path_is_followed_whatever_its_length(opened: Database, monkeypatch: pytest.MonkeyPatch, depth: int) -> None:
    monkeypatch.setattr(queries, "LINKS", 3)
    lab = organization(opened, "lab")
    path = tuple(f"level-{n}" for n in range(depth))
    with opened.write(lab) as session:
        folder = TREE.make_folder(session, lab, path, exist_ok=False)
        user = directory.find_user(session, "lab")
        assert user is not None
        content = NewVersion(secrets.token_hex(20), 1, "0" * 64, clock.now(), user.id)
        TREE.put(session, lab, (*path, "file"), content, overwrite=False)
    with opened.read() as session:
        assert tree.get(session, lab, path)[:3] == folder[:3]
        walk = queries.walk(session, lab, (*path, "missing", "more"))
        assert [step.height for step in walk.steps] == list(range(depth + 1, 0, -1))
        assert walk.node is None
        with pytest.raises(Refusal, match=f"level-{depth - 1}/file' is a file"):
            tree.check_target(session, lab, (*path, "file", "below"), overwrite=True)
        assert [node.name for node in tree.children(session, lab, path, kind=None, limit=10)] == ["file"]


def test_the_longest_path_takes_few_statements(opened: Database) -> None:
    lab = organization(opened, "lab")
    path = ("x",) * paths.MAX_DEPTH
    with opened.write(lab) as session:
        TREE.make_folder(session, lab, path, exist_ok=False)
    with Watch(opened).watching() as done, opened.read() as session:
        assert tree.get(session, lab, path).height == 0
    assert [work.statements for work in done] == [4]


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()], ids=["sqlite", "postgresql"])
def test_statements_are_built_once_for_each_database(dialect: sa.Dialect) -> None:
    built = [
        each
        for module in (queries, quotas)
        for each in vars(module).values()
        if isinstance(each, sa.ClauseElement) and isinstance(each, sa.Executable)
    ]
    assert len(built) > 10
    for statement in (*built, queries._path(queries.LINKS, from_root=True), queries._path(1, from_root=False)):
        assert str(statement.compile(dialect=dialect))
