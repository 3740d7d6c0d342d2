"""Two hosts on one database: what one has stored, signed, sealed or begun is the other's too."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urljoin

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from edge_server.base import clock
from edge_server.base.problems import CannotStart
from edge_server.data.database import SERVER
from edge_server.identity.models import Organization
from edge_server.keys import rotation, sealing, signing
from edge_server.run import start
from edge_server.run.command import server
from edge_server.testing.local_server import EdgeServer
from edge_server.web import idempotency
from edge_server.web.idempotency_keys import IdempotencyKey
from tests.waiting import wait_for

from .engines import url_of
from .hosts import Hosts, two_hosts
from .postgresql import scratch_postgresql
from .test_idempotency import change, new_key, post, same
from .wire import client, close_all, refused

DAY = dt.datetime(2024, 2, 29, tzinfo=dt.UTC)

PART = 8 << 20
"""Bytes of the parts of a small upload but the last."""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Two that run."""
    with two_hosts(tmp_path_factory.mktemp("hosts")) as both:
        both.a.start()
        both.b.start()
        yield both
        close_all()


# --- what one has done


def test_a_file_stored_at_a_host_is_read_from_the_other(hosts: Hosts) -> None:
    a, b = hosts.member()
    stored = a.put("in/file", b"content")
    assert stored.status_code == 201, stored.text
    assert b.call("GET", "/v1/users/me").status_code == 200
    read = b.get("in/file")
    assert (read.status_code, read.content) == (200, b"content")
    assert read.headers["ETag"] == a.get("in/file").headers["ETag"]
    assert b.names("in") == ["file"]
    assert b.files("DELETE", "/entry", params={"path": "in/file"}).status_code == 204
    refused(a.get("in/file"), 404, "not_found")


def test_an_address_signed_by_a_host_is_taken_by_the_other(hosts: Hosts) -> None:
    a, b = hosts.member()
    a.put("file", b"content")
    url = a.files("GET", "/download-url", params={"path": "file"}).json()["url"]
    assert b.signed("GET", url).content == b"content"
    upload = a.start("sent", 5)
    sent = b.signed("PUT", a.address(upload["id"], 1), data=b"bytes")
    assert sent.status_code == 200, sent.text


def test_a_request_that_is_sent_again_to_the_other_gets_the_answer_of_the_first(hosts: Hosts) -> None:
    a, b = hosts.member()
    for path, body in (("/folders", {"path": "made"}), ("/uploads", {"path": "begun", "size": 10})):
        key = new_key()
        first = post(a, path, key, body)
        assert first.status_code == 201, first.text
        same(post(b, path, key, body), first)
        refused(post(b, path, key, {**body, "path": "another"}), 422, "idempotency_mismatch")
    assert len(a.files("GET", "/uploads").json()["items"]) == 1


def test_a_secret_sealed_by_a_host_is_opened_by_the_other(hosts: Hosts) -> None:
    a, b = hosts.member()
    secrets = f"/v1/orgs/{a.organization}/secrets/user"
    created = a.call("POST", secrets, json={"name": "warehouse", "content": {"password": "x"}})
    assert created.status_code == 201, created.text
    read = b.call("GET", f"{secrets}/warehouse")
    assert (read.status_code, read.json()["content"]) == (200, {"password": "x"})


def test_a_listing_begun_at_a_host_goes_on_at_the_other(hosts: Hosts) -> None:
    a, b = hosts.member()
    for n in range(5):
        a.put(f"f{n}")
    names: list[str] = []
    cursor: dict[str, str] = {}
    for n in range(3):
        answer = (a, b)[n % 2].files("GET", "/entries", params={"limit": 2, **cursor}).json()
        names += [entry["name"] for entry in answer["items"]]
        cursor = {"cursor": answer["next"]}
    assert names == [f"f{n}" for n in range(5)]
    assert cursor == {"cursor": None}


def test_an_upload_begun_at_a_host_is_resumed_and_completed_at_the_other(hosts: Hosts) -> None:
    a, b = hosts.member()
    pieces = [bytes([1]) * PART, b"the rest"]
    upload = a.start("large", PART + 8, resume=True)
    a.part(upload["id"], 1, pieces[0])
    resumed = b.start("large", PART + 8, resume=True)
    assert (resumed["id"], [part["n"] for part in resumed["parts"]]) == (upload["id"], [1])
    b.part(upload["id"], 2, pieces[1])
    done = b.complete_by_digest(upload["id"], pieces)
    assert done.status_code == 200, done.text
    assert a.complete_by_digest(upload["id"], pieces).json() == done.json()
    where = a.get("large").headers["Location"]
    read = a.http.get(urljoin(f"{a.url}/v1/orgs/{a.organization}/files/content", where), timeout=60)
    assert read.content == b"".join(pieces)


def test_a_quota_is_that_of_both(hosts: Hosts) -> None:
    a, b = hosts.member()
    with hosts.a.database.write(SERVER) as session:
        of_its = sa.update(Organization).where(Organization.name == a.organization)
        session.execute(of_its.values(quota_bytes=10))
    assert a.put("first", b"123456").status_code == 201
    refused(b.put("second", b"12345"), 507, "quota_exceeded")


def test_a_token_removed_at_a_host_ends_at_the_other(hosts: Hosts) -> None:
    a, b = hosts.member()
    a.put("file")
    url = a.files("GET", "/download-url", params={"path": "file"}).json()["url"]
    (own,) = a.call("GET", "/v1/users/me/tokens").json()["items"]
    assert b.call("DELETE", f"/v1/users/me/tokens/{own['id']}").status_code == 204
    refused(a.call("GET", "/v1/users/me"), 401, "unauthenticated")
    refused(b.signed("GET", url), 403, "expired")


def test_a_search_at_a_host_knows_names_of_the_other(hosts: Hosts) -> None:
    a, b = hosts.member()
    a.put("unheardof.csv")
    results = b.call("GET", f"/v1/orgs/{a.organization}/search", params={"query": "unheardof"})
    assert [each["name"] for each in results.json()["items"]] == ["unheardof.csv"]


# --- one starts while the other is in the middle


@pytest.mark.slow
def test_a_start_leaves_alone_what_the_other_is_at(hosts: Hosts) -> None:
    a, b = hosts.member()
    resumed = a.start("resumed", PART + 8, resume=True)
    a.part(resumed["id"], 1, bytes(PART))
    sent = a.start("sent", 8)

    def while_the_other_starts(content: bytes) -> Iterator[bytes]:
        yield content[:4]
        hosts.b.restart()
        yield content[4:]

    part = a.signed("PUT", a.address(sent["id"], 1), data=while_the_other_starts(b"01234567"))
    assert part.status_code == 200, part.text
    assert a.put("file", while_the_other_starts(b"01234567")).status_code == 201
    b.url = hosts.b.url
    assert b.complete_by_digest(sent["id"], [b"01234567"]).status_code == 200
    assert (b.get("file").content, b.get("sent").content) == (b"01234567",) * 2
    again = b.start("resumed", PART + 8, resume=True)
    assert (again["id"], len(again["parts"])) == (resumed["id"], 1)


@pytest.mark.slow
def test_what_a_host_was_at_that_died_is_the_others_when_its_lease_lapses(tmp_path: Path) -> None:
    with two_hosts(tmp_path) as hosts:
        hosts.a.start()
        hosts.b.start()
        a, b = hosts.member()
        key, body = new_key(), {"path": "made"}
        with hosts.b.database.read() as session:
            organization = session.scalars(sa.select(Organization.id).where(Organization.name == a.organization)).one()

        def is_claimed() -> bool:
            with hosts.b.database.read() as session:
                claimed = sa.select(IdempotencyKey.claim).where(IdempotencyKey.key == key)
                return session.scalar(claimed) is not None

        with hosts.b.database.write(organization):  # so that the request waits once it has its key
            sent = threading.Thread(target=lambda: _lost(lambda: post(a, "/folders", key, body)))
            sent.start()
            wait_for(is_claimed)
            hosts.a.kill()
        sent.join(60)
        hosts.b.restart()
        b.url = hosts.b.url
        change(hosts.b, key, claimed_until=clock.now() + dt.timedelta(hours=1))  # however slow the machine is
        refused(post(b, "/folders", key, body), 409, "idempotency_in_progress")
        change(hosts.b, key, claimed_until=clock.now())
        created = post(b, "/folders", key, body)
        assert created.status_code == 201, created.text
        assert idempotency.REPLAYED not in created.headers
        assert b.names() == ["made"]
        close_all()


def _lost(call: Callable[[], object]) -> None:
    with contextlib.suppress(OSError):
        call()


@pytest.mark.slow
def test_what_is_nobodys_is_dropped_by_its_age(tmp_path: Path) -> None:
    with two_hosts(tmp_path) as hosts:
        hosts.a.start()
        content = hosts.shared / "content"
        for name, age in (("old", 7200), ("young", 60)):
            for folder in ("incoming", "uploads"):
                path = content / folder / name
                path.write_bytes(b"x")
                os.utime(path, (time.time() - age,) * 2)
        hosts.b.start()
        left = {folder: [path.name for path in (content / folder).iterdir()] for folder in ("incoming", "uploads")}
        assert left == {"incoming": ["young"], "uploads": ["young"]}


# --- hosts that are not of one server


def edge_server(host: EdgeServer, *arguments: str, exit_code: int = 0) -> str:
    """What `edge server` writes on a host."""
    assert host.database_url is not None
    environment = {"EDGE_SERVER_DATABASE_URL": host.database_url}
    command = [arguments[0], "--data", str(host.data), *arguments[1:]]
    result = CliRunner().invoke(server, command, env=environment)
    assert result.exit_code == exit_code, result.output
    return result.output


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Hosts]:
    """Two that have stopped, and were started once."""
    with two_hosts(tmp_path) as both:
        for host in (both.a, both.b):
            assert host.database_url is not None
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("EDGE_SERVER_DATABASE_URL", host.database_url)
                start.prepare(host.data)
        yield both


def with_keys_of_its_own(host: EdgeServer, shared: Path) -> Path:
    """Give a host a folder with copies of the keys."""
    shutil.copytree(shared / "keys", host.data / "keys")
    settings = host.data / "server.toml"
    settings.write_text(settings.read_text().replace(str(shared / "keys"), str(host.data / "keys")))
    return host.data / "keys"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (signing.FILE_NAME, "is not the key that the other hosts of"),
        (sealing.FILE_NAME, "misses the key that the other hosts of"),
    ],
)
def test_a_host_with_other_keys_does_not_start(
    own: Hosts, monkeypatch: pytest.MonkeyPatch, name: str, sentence: str
) -> None:
    keys = with_keys_of_its_own(own.b, own.shared)
    assert own.b.database_url is not None
    monkeypatch.setenv("EDGE_SERVER_DATABASE_URL", own.b.database_url)
    start.prepare(own.b.data)  # copies are the same keys
    (keys / name).unlink()
    with pytest.raises(CannotStart, match=f"{name} {sentence} .*; copy it from .*, or let .keys. directory name"):
        start.prepare(own.b.data)
    checked = edge_server(own.b, "check", exit_code=1).splitlines()
    assert sentence in checked[2]
    shutil.copy(own.shared / "keys" / name, keys)
    start.prepare(own.b.data)
    start.prepare(own.a.data)


def test_after_a_rotation_the_other_hosts_need_the_new_key(own: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = with_keys_of_its_own(own.b, own.shared)
    assert own.b.database_url is not None
    monkeypatch.setenv("EDGE_SERVER_DATABASE_URL", own.b.database_url)
    edge_server(own.a, "rotate-keys", "--keep-days", "0")
    with pytest.raises(CannotStart, match=r"sealing\.keys misses the key .*from the host whose keys were rotated"):
        start.prepare(own.b.data)
    assert "misses the key" in edge_server(own.b, "rotate-keys", exit_code=1)
    shutil.copy(own.shared / "keys" / sealing.FILE_NAME, keys)
    start.prepare(own.b.data)


def test_a_rotation_that_was_killed_leaves_keys_that_every_host_can_start_with(
    own: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert own.a.database_url is not None
    monkeypatch.setenv("EDGE_SERVER_DATABASE_URL", own.a.database_url)

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    for name in ("_reseal", "_judged"):
        with monkeypatch.context() as patch:
            patch.setattr(rotation, name, killed)
            with pytest.raises(Killed):
                start.rotate_keys(own.a.data, kept=dt.timedelta(0))
        start.prepare(own.b.data)
        start.prepare(own.a.data)


def test_a_lost_key_is_replaced_for_all_hosts(own: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    assert own.a.database_url is not None
    monkeypatch.setenv("EDGE_SERVER_DATABASE_URL", own.a.database_url)
    for name, option in ((signing.FILE_NAME, "--signing"), (sealing.FILE_NAME, "--lost")):
        (own.shared / "keys" / name).unlink()
        shown = edge_server(own.a, "rotate-keys", option)
        assert str(own.shared / "keys" / name) in shown
        start.prepare(own.a.data)
        start.prepare(own.b.data)
    assert "are about different keys" in edge_server(own.a, "rotate-keys", "--lost", "--signing", exit_code=2)


def test_a_host_whose_content_is_not_mounted_does_not_start(own: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    assert own.a.database_url is not None
    monkeypatch.setenv("EDGE_SERVER_DATABASE_URL", own.a.database_url)
    own.a.start()
    user = own.a.create_user(organization="default")
    assert client(own.a, own.a.create_token(user), "default").put("a", b"there").status_code == 201
    own.a.stop()
    content, away = own.shared / "content", own.shared / "away"
    content.rename(away)
    sentence = rf"nothing is in {content}, where the content of .*; mount it, .*have {content}/content-owner say "
    for is_mount_point in (False, True):
        if is_mount_point:
            content.mkdir()
        with pytest.raises(CannotStart, match=sentence) as refused:
            start.prepare(own.b.data)
        with pytest.raises(CannotStart, match=sentence):
            start.check(own.b.data, deep=False)
        assert "store: cannot be used: nothing is in" in edge_server(own.b, "check", exit_code=1)
    assert list(content.iterdir()) == []
    (content / "content-owner").write_text(str(refused.value).rpartition(" ")[2])
    start.prepare(own.b.data)
    shutil.rmtree(content)
    away.rename(content)
    start.prepare(own.b.data)


def test_the_content_of_another_database_is_left_alone(own: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    content = own.shared / "content" / "content" / "aa" / ("a" * 40)
    content.parent.mkdir()
    content.write_bytes(b"x")
    os.utime(content, (0, 0))
    with scratch_postgresql() as other:
        monkeypatch.setenv("EDGE_SERVER_DATABASE_URL", url_of(other))
        start.migrate_only(own.b.data)
        with pytest.raises(CannotStart, match=r"another server's database, as \S+/content-owner says; name"):
            start.prepare(own.b.data)
        with pytest.raises(CannotStart, match="holds the content of another server's database"):
            start.check(own.b.data, deep=False)
    assert content.exists()
    assert own.a.database_url is not None
    monkeypatch.setenv("EDGE_SERVER_DATABASE_URL", own.a.database_url)
    assert start.check(own.a.data, deep=False).orphans == 1


# --- the clock of all


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """This host's clock is half an hour ahead."""
    monkeypatch.setattr(clock, "_ahead", dt.timedelta())
    system: Callable[[], dt.datetime] = clock._system

    def half_an_hour_ahead() -> dt.datetime:
        return system() + dt.timedelta(minutes=30)

    for name in ("_now", "_system"):
        monkeypatch.setattr(clock, name, half_an_hour_ahead)


def test_a_host_whose_clock_is_off_does_not_start(own: Hosts, monkeypatch: pytest.MonkeyPatch, ahead: None) -> None:
    assert own.a.database_url is not None
    monkeypatch.setenv("EDGE_SERVER_DATABASE_URL", own.a.database_url)
    with pytest.raises(CannotStart, match=r"this host's clock is \+1[78]\d\d seconds off that of the database"):
        start.prepare(own.a.data)


def test_a_host_tells_the_time_of_the_database(own: Hosts, ahead: None) -> None:
    def moment_of_all() -> dt.datetime:
        moment = own.a.database.now()
        assert moment is not None
        return moment

    before = moment_of_all()
    ahead_by = clock.follow(own.a.database.now)
    assert dt.timedelta(minutes=29) < ahead_by < dt.timedelta(minutes=31)
    minute = dt.timedelta(minutes=1)
    assert before - minute <= clock.now() <= moment_of_all() + minute


def test_a_clock_that_answers_slowly_changes_nothing_that_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    moments: list[dt.datetime] = []
    monkeypatch.setattr(clock, "_ahead", dt.timedelta())

    def own_moment() -> dt.datetime:
        return moments.pop(0)

    for name in ("_now", "_system"):
        monkeypatch.setattr(clock, name, own_moment)
    second = dt.timedelta(seconds=1)
    for theirs, ahead in ((DAY + 3 * second, 0 * second), (DAY - second, 3 * second), (DAY, 3 * second)):
        moments += [DAY, DAY + 4 * second, DAY]
        assert clock.follow(partial(_same, theirs)) == ahead
        assert clock.now() == DAY - ahead


def _same(moment: dt.datetime) -> dt.datetime:
    return moment


def test_a_simulated_time_follows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_now", lambda: DAY)
    assert clock.follow(lambda: DAY - dt.timedelta(days=1)) == dt.timedelta()
