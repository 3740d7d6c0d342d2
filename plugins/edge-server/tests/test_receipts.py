"""What is deleted, changed and put under a key, and sent again."""

from __future__ import annotations

import base64
import concurrent.futures
import datetime as dt
import hashlib
import secrets
from typing import Any

import requests
import sqlalchemy as sa

from edge_server.base import clock
from edge_server.data.database import SERVER
from edge_server.keys.signing import Signer
from edge_server.run.app import build, engines_at
from edge_server.testing.local_server import EdgeServer
from edge_server.web import idempotency
from edge_server.web.receipts import Receipt

from .wire import Api, client, refused
from .work import Watch


def new_key() -> str:
    return secrets.token_hex(16)


def delete(api: Api, path: str, key: str, **query: Any) -> requests.Response:
    return api.files("DELETE", "/entry", params={"path": path, **query}, headers={idempotency.HEADER: key})


def put(api: Api, path: str, content: bytes, key: str, **query: str) -> requests.Response:
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    headers = {idempotency.HEADER: key, "Content-Digest": f"sha-256=:{digest}:"}
    return api.files("PUT", "/content", params={"path": path, **query}, data=content, headers=headers)


def put_new(api: Api, path: str, content: bytes, key: str) -> requests.Response:
    return put(api, path, content, key, overwrite="false")


def is_replayed(answer: requests.Response) -> bool:
    return answer.headers.get(idempotency.REPLAYED) == "true"


def keys(server: EdgeServer) -> set[str]:
    with server.database.read() as reading:
        return set(reading.scalars(sa.select(Receipt.key)))


def change(server: EdgeServer, *of: str, **values: Any) -> None:
    with server.database.write(SERVER) as writing:
        writing.execute(sa.update(Receipt).where(Receipt.key.in_(of)).values(**values))


def test_a_deletion_that_is_sent_again_gets_the_same_answer(api: Api) -> None:
    api.put("a")
    key = new_key()
    first = delete(api, "a", key)
    assert (first.status_code, is_replayed(first)) == (204, False)
    for _ in range(2):
        again = delete(api, "a", key)
        assert (again.status_code, again.content, is_replayed(again)) == (204, b"", True)
    refused(delete(api, "a", new_key()), 404, "not_found")


def test_what_was_put_there_meanwhile_stays(api: Api) -> None:
    api.put("folder/a")
    key = new_key()
    assert delete(api, "folder", key, recursive="true").status_code == 204
    api.put("folder/a", b"another's")
    assert is_replayed(delete(api, "folder", key, recursive="true"))
    assert api.names() == ["folder"]


def test_content_that_must_be_new_is_stored_once(api: Api) -> None:
    key = new_key()
    first = put_new(api, "a", b"one", key)
    again = put_new(api, "a", b"one", key)
    assert (first.status_code, again.status_code, is_replayed(again)) == (201, 201, True)
    assert again.json() == first.json()
    refused(put_new(api, "a", b"one", new_key()), 409, "already_exists")
    assert len(api.files("GET", "/versions", params={"path": "a"}).json()["items"]) == 1


def test_content_that_replaces_what_came_meanwhile_is_rolled_back(api: Api) -> None:
    key = new_key()
    first = put(api, "a", b"mine", key)
    api.put("a", b"theirs")
    again = put(api, "a", b"mine", key)
    assert (again.status_code, again.json(), is_replayed(again)) == (201, first.json(), True)
    assert api.files("GET", "/content", params={"path": "a"}).content == b"theirs"


def test_another_request_under_the_key_is_refused(api: Api) -> None:
    for name in ("a", "b"):
        api.put(name)
    key = new_key()
    assert delete(api, "a", key).status_code == 204
    refused(delete(api, "b", key), 422, "idempotency_mismatch")
    refused(delete(api, "none", key), 422, "idempotency_mismatch")
    assert api.names() == ["b"]
    key = new_key()
    assert put_new(api, "c", b"one", key).status_code == 201
    refused(put_new(api, "c", b"two", key), 422, "idempotency_mismatch")


def test_content_that_comes_with_a_key_needs_a_digest(api: Api) -> None:
    chunks = iter([b"one"])
    for content in (b"one", chunks):
        headers = {idempotency.HEADER: new_key()}
        answer = api.files("PUT", "/content", params={"path": "a"}, data=content, headers=headers)
        assert "needs a Content-Digest" in refused(answer, 400, "bad_entry")["detail"]
    assert api.names() == []


def test_another_condition_is_another_request(api: Api) -> None:
    secret = f"/v1/orgs/{api.organization}/secrets/user"
    assert api.call("POST", secret, json={"name": "s", "content": {"a": "1"}}).status_code == 201
    key, tag = new_key(), api.call("GET", f"{secret}/s").headers["ETag"]

    def update(condition: str) -> requests.Response:
        headers = {idempotency.HEADER: key, "If-Match": condition}
        return api.call("PUT", f"{secret}/s", json={"content": {"a": "2"}}, headers=headers)

    assert update(tag).status_code == 200
    assert is_replayed(update(tag))
    refused(update('"another"'), 422, "idempotency_mismatch")


def test_what_is_refused_leaves_nothing(api: Api, edge_server: EdgeServer) -> None:
    key = new_key()
    refused(delete(api, "a", key), 404, "not_found")
    api.put("a/b")
    refused(delete(api, "a", key), 409, "not_empty")
    assert key not in keys(edge_server)
    # So it is free for when it can be done.
    answer = delete(api, "a", key, recursive="true")
    assert (answer.status_code, is_replayed(answer)) == (204, False)
    assert key in keys(edge_server)


def test_a_key_is_its_users_own(api: Api, edge_server: EdgeServer) -> None:
    other = client(edge_server, None, api.organization)
    other.token = edge_server.create_token(edge_server.create_user(organization=api.organization))
    for name in ("a", "b"):
        api.put(name)
    key = new_key()
    assert delete(api, "a", key).status_code == 204
    refused(delete(other, "a", key), 404, "not_found")
    answer = delete(other, "b", key)
    assert (answer.status_code, is_replayed(answer)) == (204, False)


def test_what_is_no_key_is_refused(api: Api) -> None:
    api.put("a")
    assert refused(delete(api, "a", "x" * 256), 400, "bad_entry")["detail"].startswith("Idempotency-Key: ")
    assert api.names() == ["a"]


def test_the_same_sent_at_once_has_a_single_effect(api: Api) -> None:
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for round_ in range(5):
            path = f"a{round_}"
            api.put(path)
            key = new_key()
            answers = list(pool.map(lambda _, path=path, key=key: delete(api, path, key), range(4)))
            assert [answer.status_code for answer in answers] == [204] * 4
            assert sum(is_replayed(answer) for answer in answers) == 3


def test_receipts_are_kept_for_15_minutes(api: Api, edge_server: EdgeServer) -> None:
    names = ["a", "b", "c", "d"]
    for name in names:
        api.put(name)
    before = {name: new_key() for name in names[:3]}
    for name, key in before.items():
        assert delete(api, name, key).status_code == 204
    with edge_server.database.read() as reading:
        (expires_at,) = reading.scalars(sa.select(Receipt.expires_at).where(Receipt.key == before["a"]))
    assert dt.timedelta(minutes=14) < expires_at - clock.now() <= dt.timedelta(minutes=15)
    change(edge_server, before["a"], before["b"], expires_at=clock.now())
    # An old one counts no more, also where none came since that would have swept it.
    api.put("b")
    assert not is_replayed(delete(api, "b", before["b"]))
    change(edge_server, before["b"], expires_at=clock.now())
    assert delete(api, "d", new_key()).status_code == 204
    assert keys(edge_server) & {*before.values()} == {before["c"]}
    refused(delete(api, "a", before["a"]), 404, "not_found")


def test_a_receipt_costs_three_statements(api: Api, edge_server: EdgeServer) -> None:
    """It is looked for, sweeps old ones, and adds itself."""
    before = edge_server.database.before_commit
    http = build(engines_at(edge_server.data, Signer(b""), database=edge_server.database)).test_client()
    try:
        counts = []
        for name, key in (("a", {}), ("b", {idempotency.HEADER: new_key()})):
            api.put(f"folder/{name}")
            headers = {"Authorization": f"Bearer {api.token}", **key}
            with Watch(edge_server.database).watching() as done:
                answer = http.delete(f"/v1/orgs/{api.organization}/files/entry?path=folder/{name}", headers=headers)
            assert answer.status_code == 204
            counts.append(sum(each.statements for each in done))
    finally:
        edge_server.database.before_commit = before
    assert counts[1] - counts[0] == 3


def test_who_removes_themselves_is_answered(edge_server: EdgeServer) -> None:
    organization = edge_server.create_organization()
    edge_server.create_user(server_admin=True)  # so that it is not the last
    user = edge_server.create_user(server_admin=True)
    api = client(edge_server, edge_server.create_token(user), organization)
    answer = api.call("DELETE", f"/v1/admin/users/{user}", headers={idempotency.HEADER: new_key()})
    assert answer.status_code == 204, answer.text
