"""Quotas: what an organization's files hold, counted exactly, and refused beyond."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
from pathlib import Path

import pytest
import sqlalchemy as sa

from edge_core.errors import QuotaExceeded
from edge_core.session import EdgeSession
from edge_core.sizes import shown
from edge_server.base import configuration
from edge_server.base.problems import CannotStart
from edge_server.data.database import SERVER
from edge_server.files import StorageSettings
from edge_server.files.models import Version
from edge_server.identity.models import Organization
from edge_server.testing.local_server import EdgeServer

from .wire import Api, client, refused


def set_quota(server: EdgeServer, organization: str, quota: int | None) -> None:
    with server.database.write(SERVER) as session:
        session.execute(sa.update(Organization).where(Organization.name == organization).values(quota_bytes=quota))


def used(server: EdgeServer, organization: str) -> int:
    """What is counted, which must be what is there."""
    with server.database.read() as session:
        row = session.scalars(sa.select(Organization).where(Organization.name == organization)).one()
        held = sa.select(sa.func.sum(Version.size)).where(
            Version.organization_id == row.id, Version.removed_at.is_(None)
        )
        assert row.used_bytes == (session.scalar(held) or 0)
        return row.used_bytes


def test_every_change_of_a_file_is_counted(edge_server: EdgeServer, api: Api) -> None:
    def now() -> int:
        return used(edge_server, api.organization)

    api.put("a", b"12345")
    api.put("folder/b", b"123")
    assert now() == 8
    api.put("a", b"1")
    assert now() == 4
    api.upload("folder/c", b"x" * 100)
    assert now() == 104
    api.files("POST", "/move", json={"path": "a", "new_path": "folder/c", "overwrite": True})
    assert now() == 4
    refused(api.put("folder", b"123"), 409, "already_exists")
    assert now() == 4
    api.files("POST", "/move", json={"path": "folder", "new_path": "elsewhere/folder"})
    assert now() == 4
    api.files("DELETE", "/entry", params={"path": "elsewhere", "recursive": "true"})
    assert now() == 0


def test_what_does_not_fit_is_refused_and_nothing_changes(edge_server: EdgeServer, api: Api) -> None:
    set_quota(edge_server, api.organization, 10)
    api.put("a", b"123456")
    detail = refused(api.put("b", b"12345"), 507, "quota_exceeded")["detail"]
    assert detail.startswith("the organization may hold 10 bytes and holds 6 bytes, so 5 bytes more do not fit; delete")
    chunked = api.files("PUT", "/content", params={"path": "b"}, data=iter([b"12345"]))
    refused(chunked, 507, "quota_exceeded")
    assert api.names() == ["a"]
    assert api.put("b", b"1234").status_code == 201
    assert api.put("empty", b"").status_code == 201
    assert used(edge_server, api.organization) == 10


def test_replacing_needs_room_for_the_difference_only(edge_server: EdgeServer, api: Api) -> None:
    set_quota(edge_server, api.organization, 10)
    api.put("a", b"12345678")
    assert api.put("a", b"1234567890").status_code == 201
    refused(api.put("a", b"12345678901"), 507, "quota_exceeded")
    assert api.upload("a", b"0987654321").status_code == 200


def test_an_organization_above_its_quota_can_still_shrink(edge_server: EdgeServer, api: Api) -> None:
    api.put("a", b"1234567890")
    api.put("b", b"1")
    set_quota(edge_server, api.organization, 5)
    refused(api.put("b", b"12"), 507, "quota_exceeded")
    assert api.put("a", b"123456").status_code == 201
    assert api.files("POST", "/move", json={"path": "b", "new_path": "c"}).status_code == 200
    assert api.files("DELETE", "/entry", params={"path": "a"}).status_code == 204
    assert api.put("b", b"12").status_code == 201


def test_a_large_upload_is_refused_before_its_bytes_are_sent(edge_server: EdgeServer, api: Api) -> None:
    set_quota(edge_server, api.organization, 1000)
    answer = api.files("POST", "/uploads", json={"path": "a", "size": 1001})
    refused(answer, 507, "quota_exceeded")
    assert api.files("POST", "/uploads", json={"path": "a", "size": 1000}).status_code == 201


def test_an_upload_whose_quota_shrinks_is_refused_at_its_end_and_can_be_completed_later(
    edge_server: EdgeServer, api: Api
) -> None:
    upload = api.start("a")
    part = api.part(upload["id"], 1, b"1234567890")
    set_quota(edge_server, api.organization, 5)
    refused(api.complete(upload["id"], [part], b"1234567890"), 507, "quota_exceeded")
    assert api.names() == []
    assert used(edge_server, api.organization) == 0
    set_quota(edge_server, api.organization, 10)
    assert api.complete(upload["id"], [part], b"1234567890").status_code == 200
    assert api.get("a").content == b"1234567890"


def test_uploads_at_once_cannot_exceed_it_together(edge_server: EdgeServer, api: Api) -> None:
    content = os.urandom(100)
    set_quota(edge_server, api.organization, 350)

    def upload(n: int) -> int:
        own = client(edge_server, api.token, api.organization)
        started = own.files("POST", "/uploads", json={"path": f"f{n}", "size": len(content) if n % 2 else None})
        if started.status_code != 201:
            return started.status_code
        sent = own.signed("PUT", own.address(started.json()["id"], 1), data=content)
        if sent.status_code != 200:
            return sent.status_code
        part = {"n": 1, "size": len(content), "etag": sent.headers["ETag"]}
        return own.complete(started.json()["id"], [part], content).status_code

    def put(n: int) -> int:
        return client(edge_server, api.token, api.organization).put(f"p{n}", content).status_code

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        states = [*pool.map(upload, range(6)), *pool.map(put, range(6))]
    assert set(states) <= {200, 201, 507}
    assert sum(state < 300 for state in states) == 3
    assert used(edge_server, api.organization) == 300
    assert len(api.names()) == 3


def test_the_client_says_it_as_an_error_of_its_own(edge_server: EdgeServer, edge_session: EdgeSession) -> None:
    set_quota(edge_server, edge_session.organization, 3)
    with pytest.raises(QuotaExceeded, match="may hold 3 bytes") as raised:
        edge_session.files.upload("a", b"1234")
    assert (raised.value.status, raised.value.code) == (507, "quota_exceeded")
    with pytest.raises(QuotaExceeded, match="may hold 3 bytes"):
        edge_session.files.upload("a", bytes(2 << 20))


@pytest.mark.slow
def test_the_servers_quota_is_for_organizations_without_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / configuration.FILE_NAME).write_text('[storage]\nquota = "1 kB"\n')
    server = EdgeServer(folder)
    with contextlib.closing(server):
        server.start()
        own = client(server, server.create_token("admin"), "default")
        assert own.put("a", bytes(1000)).status_code == 201
        refused(own.put("b", b"1"), 507, "quota_exceeded")
        set_quota(server, "default", 1001)
        assert own.put("b", b"1").status_code == 201
        refused(own.put("c", b"1"), 507, "quota_exceeded")
        own.http.close()


# --- the configuration


def settings(data: Path) -> dict[str, int]:
    """What is set under [storage], where there may be no other section."""
    read = configuration.Configuration(data / configuration.FILE_NAME)
    storage: dict[str, int] = read.section("storage", StorageSettings())
    read.require_known()
    return storage


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("", None),
        ("[storage]", None),
        ("[storage]\nquota = 5", 5),
        ("[storage]\nquota = 0", 0),
        ('[storage]\nquota = "50 GB"', 50 * 10**9),
        ('[storage]\nquota = "1.5TiB"', 3 << 39),
        ('[storage]\nquota = "7"', 7),
    ],
)
def test_a_quota_is_a_number_of_bytes_or_a_size(tmp_path: Path, text: str, quota: int | None) -> None:
    assert "quota" not in settings(tmp_path)
    (tmp_path / configuration.FILE_NAME).write_text(text)
    assert settings(tmp_path).get("quota") == quota


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("quota =", "is not TOML"),
        ("quota = 5", "there is no setting quota"),
        ("[storage]\nsize = 5", r"there is no setting storage\.size"),
        ("storage = 5", r"write \[storage\]"),
        ("[storage]\nquota = -1", r"storage\.quota: this is no size"),
        ("[storage]\nquota = true", r"storage\.quota: this is no size"),
        ('[storage]\nquota = "much"', r"storage\.quota: this is no size"),
        ('[storage]\nquota = "5 gb"', r"storage\.quota: this is no size"),
    ],
)
def test_a_configuration_that_cannot_be_is_explained(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / configuration.FILE_NAME).write_text(text)
    with pytest.raises(CannotStart, match=sentence):
        settings(tmp_path)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_999, "1.0 MB"),
        (1 << 30, "1.1 GB"),
        (10**19, "10000.0 PB"),
    ],
)
def test_sizes_are_shown_for_people(size: int, text: str) -> None:
    assert shown(size) == text
