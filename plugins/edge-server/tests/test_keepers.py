"""A server whose key OpenBao keeps: what it refuses while that is away, that nobody waits, the way there and back."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from click.testing import CliRunner

from edge_server.applications.models import AppServer
from edge_server.base import configuration
from edge_server.base.problems import CannotStart
from edge_server.data.database import SERVER, Database
from edge_server.keys import folder, keepers, sealing, transit
from edge_server.keys.transit import Engine
from edge_server.run import app, start
from edge_server.run.command import server as command
from edge_server.secrets.models import Secret
from edge_server.secrets.vault import Vault
from edge_server.sources.models import Connector
from edge_server.testing.local_server import EdgeServer
from edge_server.web.engines import Engines
from tests.waiting import wait_for

from .hosts import two_hosts
from .openbao import Bao, settings_of
from .stores import environment_of
from .test_housekeeping import InProcess
from .test_transit import silence
from .wire import Api, client, refused
from .wire import session as http_session

SECRETS = "/v1/orgs/{org}/secrets/user"
SOURCES = "/v1/orgs/{org}/sources"
SERVERS = "/v1/orgs/{org}/applications/viewer/servers"

WORD = "quartz cuvette 77"

CONNECTOR = {"name": "lims", "title": "LIMS", "kind": "sql", "secret": {"password": WORD}}
REGISTRY = {"app_id": "viewer", "domain": "quay.io", "username": "ada", "password": WORD}


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """What a process has learned of a server ends with a test, as ports are used again."""
    yield
    transit._door_of.cache_clear()


def configure(data: Path, text: str) -> None:
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    (data / "server.toml").write_text(text)
    (data / "server.toml").chmod(0o600)


def call(api: Api, method: str, address: str, **options: Any) -> requests.Response:
    return api.call(method, address.format(org=api.organization), **options)


def fill(api: Api) -> None:
    """Keep one of each that is sealed; another process may take a moment longer to see that the engine is back."""
    secret = {"name": "old", "content": {"word": WORD}}
    applications = SERVERS.removesuffix("/viewer/servers")
    kept = ((SECRETS, secret), (SOURCES, CONNECTOR), (applications, {"app_id": "viewer"}), (SERVERS, REGISTRY))
    for address, record in kept:
        wait_for(lambda address=address, record=record: call(api, "POST", address, json=record).status_code == 201)


OPENING: dict[str, Callable[[Api], requests.Response]] = {
    "read a secret": lambda api: call(api, "GET", f"{SECRETS}/old"),
    "read a connector": lambda api: call(api, "GET", f"{SOURCES}/lims"),
}
SEALING: dict[str, Callable[[Api], requests.Response]] = {
    "create a secret": lambda api: call(api, "POST", SECRETS, json={"name": "new", "content": {"word": WORD}}),
    "replace a secret": lambda api: call(api, "PUT", f"{SECRETS}/old", json={"content": {"word": "other"}}),
    "add a connector": lambda api: call(api, "POST", SOURCES, json={**CONNECTOR, "name": "new"}),
    "change a connector": lambda api: call(api, "PATCH", f"{SOURCES}/lims", json={"title": "Other"}),
    "add a registry": lambda api: call(api, "POST", SERVERS, json={**REGISTRY, "domain": "ghcr.io"}),
    "change a registry": lambda api: call(api, "PATCH", f"{SERVERS}/quay.io", json={"password": "other"}),
}
OTHERS: dict[str, Callable[[Api], requests.Response]] = {
    "write a file": lambda api: api.put("signals.csv", b"well,signal\n"),
    "read a file": lambda api: api.get("plate.csv"),
    "list secrets": lambda api: call(api, "GET", SECRETS),
    "list connectors": lambda api: call(api, "GET", SOURCES),
    "delete a secret": lambda api: call(api, "DELETE", f"{SECRETS}/old"),
}


def blobs(opened: Database) -> list[bytes]:
    with opened.read() as session:
        columns = (Secret.sealed, Connector.sealed, AppServer.sealed)
        return [blob for column in columns for blob in session.scalars(sa.select(column))]


def formats(opened: Database) -> set[bytes]:
    return {blob[:1] for blob in blobs(opened)}


def run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(command, [str(argument) for argument in arguments])
    return done.exit_code, done.output


class Served:
    """A server in this process, of which nothing but the requests runs."""

    def __init__(self, data: Path) -> None:
        self.engines, loaded, self.token = start.prepare(data)
        self._http = http_session()
        self._http.mount("http://in-process", InProcess(app.build(self.engines, loaded)))

    def api(self, token: str | None = None) -> Api:
        return Api("http://in-process", token or self.token, "default", self._http)

    @property
    def database(self) -> Database:
        return self.engines.database


# --- settings

WHOLE = 'address = "https://bao.example.com:8200"\nkey = "edge"\nrole_id = "r"\nsecret_id = "hunter2-kept"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('keeper = "vault"', r'server\.toml: secrets\.keeper: write "file" or "transit"'),
        ('keeper = "transit"', 'keeper is "transit", and no address is set; set it, with key and role_id'),
        ('address = "bao.example.com"', r"server\.toml: secrets\.address: write the address of the server, such as"),
        ('address = "https://a:hunter2-kept@bao"', r"server\.toml: secrets\.address: write the address of the server"),
        ('address = "https://bao.example.com"', "key is missing, which a transit engine needs; set it"),
        ('key = "edge"', "address is missing, which a transit engine needs; set it"),
        (f'{WHOLE}mount = "../sys"', r"server\.toml: secrets\.mount: this is no path of an engine"),
        (WHOLE.replace('"edge"', '"a/b"'), r"server\.toml: secrets\.key: this is no name of a key"),
        (WHOLE.replace('role_id = "r"', ""), "role_id and secret_id belong together, and one is set"),
        (f'{WHOLE}token_file = "t"', "set role_id and secret_id, or token_file, and not both"),
        ('address = "http://b"\nkey = "e"', "needs a way in; set role_id and secret_id, or token_file"),
        (f'{WHOLE}ca = "none.pem"', r"\[secrets\] ca: .*none\.pem cannot be read \(No such file or directory\)"),
        (f'{WHOLE}ca = "server.toml"', r"\[secrets\] ca: .*server\.toml holds no certificates"),
        (f'{WHOLE}kepeer = "file"', "there is no setting secrets.kepeer; remove it"),
    ],
)
def test_a_sentence_names_a_setting_that_is_wrong(tmp_path: Path, text: str, sentence: str) -> None:
    configure(tmp_path, f"[secrets]\n{text}\n")
    with pytest.raises(CannotStart, match=sentence) as caught:
        start.prepare(tmp_path)
    assert "hunter2-kept" not in str(caught.value)


def test_each_setting_can_come_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "secret-id").write_text("s\n")
    (tmp_path / "secret-id").chmod(0o600)
    values = {"KEEPER": "transit", "ADDRESS": "http://b", "KEY": "k", "MOUNT": "a/b", "ROLE_ID": "r"}
    environment = {f"EDGE_SERVER_SECRETS_{name}": value for name, value in values.items()}
    by_file = {**environment, "EDGE_SERVER_SECRETS_SECRET_ID_FILE": "secret-id"}
    settings = configuration.Configuration(tmp_path / "server.toml", by_file)
    own = keepers.keepers_of(settings, folder.folder_of(settings, tmp_path))
    settings.require_known()
    assert own.keeper == "transit"
    assert own.transit is not None
    assert own.transit.engine == Engine("http://b", "k", "a/b", "r", "s")
    del environment["EDGE_SERVER_SECRETS_ROLE_ID"]
    by_token = {**environment, "EDGE_SERVER_SECRETS_TOKEN_FILE": "token"}
    own = keepers.keepers_of(configuration.Configuration(tmp_path / "server.toml", by_token), tmp_path)
    assert own.transit is not None
    assert own.transit.engine == Engine("http://b", "k", "a/b", token_file=tmp_path / "token")


def test_without_hvac_a_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "edge_server.keys.transit", None)
    configure(tmp_path, f"[secrets]\n{WHOLE}")
    with pytest.raises(CannotStart, match="run: python -m pip install hvac"):
        start.prepare(tmp_path)


# --- a server


def test_a_server_seals_with_the_engine_and_needs_no_key_file(shared_bao: Bao, tmp_path: Path) -> None:
    folder_ = tmp_path / "data"
    configure(folder_, settings_of(shared_bao.engine()))
    served = Served(folder_)
    api = served.api()
    fill(api)
    for act in (*SEALING.values(), *OPENING.values()):
        assert act(api).status_code in (200, 201)
    assert call(api, "GET", f"{SECRETS}/old").json()["content"] == {"word": "other"}
    assert call(api, "GET", f"{SOURCES}/lims").json()["secret"] == {"password": WORD}
    assert formats(served.database) == {transit.FORMAT}
    assert not (folder_ / sealing.FILE_NAME).exists()
    assert WORD.encode() not in b"".join(path.read_bytes() for path in folder_.iterdir() if path.is_file())
    moved = sa.update(Secret).where(Secret.name == "new").values(name="moved")
    with served.database.write(SERVER) as session:
        session.execute(moved)
    refused(call(api, "GET", f"{SECRETS}/moved"), 500, "unsealable")
    served.database.close()


def test_while_the_engine_is_away_secrets_are_refused_and_all_else_goes_on(bao: Bao, tmp_path: Path) -> None:
    """Two processes; the server is started while the engine is down, and goes on by itself when it is back."""
    engine = bao.engine()
    server = EdgeServer(tmp_path / "data")
    configure(server.data, settings_of(engine))
    try:
        bao.kill()
        server.start("--workers", "2")
        assert "what a transit engine seals cannot be used until this is settled" in server.log
        api = client(server, server.create_token("admin"), "default")
        _are_refused(api, SEALING["create a secret"], SEALING["add a connector"])
        assert api.put("plate.csv", b"x").status_code == 201
        bao.start()
        bao.unseal()
        fill(api)
        wait_for(lambda: [act(api).status_code for act in OPENING.values()] == [200, 200])

        bao.root.sys.seal()
        _are_refused(api, *OPENING.values(), *SEALING.values())
        assert {name: act(api).status_code // 100 for name, act in OTHERS.items()} == dict.fromkeys(OTHERS, 2)
        bao.unseal()
        wait_for(lambda: OPENING["read a connector"](api).status_code == 200)
        assert server.stop() == 0
        shown = server.log
    finally:
        server.close()
    assert "it is sealed; unseal it" in shown
    assert engine.secret_id is not None
    assert [text for text in (engine.secret_id, WORD, "Traceback") if text in shown] == []


def _are_refused(api: Api, *acts: Callable[[Api], requests.Response]) -> None:
    for act in acts:
        answer = act(api)
        assert "try again later" in refused(answer, 503, "secrets_unavailable")["detail"]
        assert answer.headers["Retry-After"] == "5"


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A data folder where the key file has sealed one of each."""
    folder_ = tmp_path / "data"
    configure(folder_, "")
    served = Served(folder_)
    fill(served.api())
    (folder_ / "token").write_text(str(served.token))
    served.database.close()
    return folder_


@pytest.mark.parametrize("name", [*SEALING, "rotate the keys"])
def test_a_put_goes_on_while_the_engine_takes_a_request_and_does_not_answer(
    filled: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    token = (filled / "token").read_text()
    with silence() as (address, taken):
        monkeypatch.setattr(transit, "TIMEOUT", 0.1)
        configure(filled, settings_of(Engine(address, "edge", role_id="r", secret_id="s")))
        served = Served(filled)
        monkeypatch.setattr(transit, "TIMEOUT", 300)  # which only the end of this test ends
        transit._door_of.cache_clear()
        wait_for(lambda: len(taken) == 1)  # by which the start has tried it
        done: list[Any] = []

        def act() -> None:
            if name in SEALING:
                done.append(SEALING[name](served.api(token)))
            else:
                done.append(run("rotate-keys", "--data", filled))

        thread = threading.Thread(target=act)
        thread.start()
        try:
            wait_for(lambda: len(taken) == 2)
            for n in range(3):
                assert served.api(token).put(f"plate-{n}.csv", b"x").status_code == 201
            assert call(served.api(token), "DELETE", f"{SECRETS}/old").status_code == 204
            assert done == []
        finally:
            for connection in taken:
                with contextlib.suppress(OSError):
                    connection.close()
            thread.join()
        served.database.close()
    if name in SEALING:
        refused(done[0], 503, "secrets_unavailable")
    else:
        assert done[0][0] == 1
        assert "then run this again" in done[0][1]


def test_two_that_change_a_connector_at_once_lose_nothing(filled: Path) -> None:
    token = (filled / "token").read_text()
    served = Served(filled)
    answers: list[int] = []

    def change(patch: dict[str, Any]) -> None:
        answers.append(call(served.api(token), "PATCH", f"{SOURCES}/lims", json=patch).status_code)

    patches = [{"secret": {f"k{n}": f"v{n}"}} for n in range(8)]
    threads = [threading.Thread(target=change, args=(patch,)) for patch in patches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8
    kept = call(served.api(token), "GET", f"{SOURCES}/lims").json()["secret"]
    assert kept == {"password": WORD, **{f"k{n}": f"v{n}" for n in range(8)}}
    served.database.close()


# --- the check


def test_check_tries_the_keeper(bao: Bao, filled: Path) -> None:
    engine = bao.engine()
    configure(filled, settings_of(engine))

    def line() -> tuple[int, str]:
        code, shown = run("check", "--data", filled)
        (own,) = [text for text in shown.splitlines() if text.startswith("secrets: ")]
        return code, own

    place = f"the key {engine.key} in transit at {engine.address}"
    assert line() == (0, f"secrets: {place} seals and opens, by its version 1")
    configure(filled, settings_of(engine).replace(str(engine.secret_id), "hunter2"))
    code, shown = line()
    assert (code, "role_id and secret_id are not accepted" in shown, "hunter2" in shown) == (1, True, False)
    configure(filled, settings_of(engine))
    bao.root.sys.seal()
    assert line() == (1, f"secrets: cannot be used: {engine.address}: it is sealed; unseal it")
    bao.kill()
    assert "it cannot be reached" in line()[1]


# --- from the file to the engine and back


def test_everything_moves_to_the_engine_and_back(shared_bao: Bao, filled: Path) -> None:
    engine = shared_bao.engine()
    token = (filled / "token").read_text()
    file = filled / sealing.FILE_NAME

    def state() -> tuple[list[int], set[bytes]]:
        served = Served(filled)
        try:
            return [act(served.api(token)).status_code for act in OPENING.values()], formats(served.database)
        finally:
            served.database.close()

    for keeper in ("file", "transit"):
        configure(filled, settings_of(engine, keeper))
        assert state() == ([200, 200], {sealing.FORMAT})
    assert run("rotate-keys", "--data", filled) == (0, "Version 1 of the key seals; 3 contents were sealed anew.\n")
    assert run("rotate-keys", "--data", filled) == (0, "Version 1 of the key seals; 0 contents were sealed anew.\n")
    assert state() == ([200, 200], {transit.FORMAT})
    shared_bao.root.secrets.transit.rotate_key(engine.key)
    assert run("rotate-keys", "--data", filled) == (0, "Version 2 of the key seals; 3 contents were sealed anew.\n")
    shared_bao.root.secrets.transit.update_key_configuration(engine.key, min_decryption_version=2)
    file.unlink()
    assert state() == ([200, 200], {transit.FORMAT})
    assert not file.exists()

    configure(filled, "")
    with pytest.raises(CannotStart, match="the database holds what a transit engine has sealed, and none is set"):
        start.prepare(filled)
    configure(filled, settings_of(engine, "file"))
    assert state() == ([200, 200], {transit.FORMAT})
    code, shown = run("rotate-keys", "--data", filled)
    assert (code, shown.startswith("A new key seals; 3 contents were sealed anew.")) == (0, True)
    configure(filled, "")
    assert state() == ([200, 200], {sealing.FORMAT})


def test_the_key_file_is_needed_as_long_as_it_has_sealed_something(shared_bao: Bao, filled: Path) -> None:
    engine = shared_bao.engine()
    configure(filled, settings_of(engine))
    (filled / sealing.FILE_NAME).rename(filled / "away")
    with pytest.raises(CannotStart, match=r"sealing\.keys is missing, .* put it back from its backup"):
        start.prepare(filled)
    (filled / "away").rename(filled / sealing.FILE_NAME)
    run("rotate-keys", "--data", filled)
    (filled / sealing.FILE_NAME).unlink()
    start.prepare(filled)[0].database.close()
    assert "signing.key can be used" in run("check", "--data", filled)[1]


SMALL = 8
"""Rows of a batch, in place of the usual number."""

MOVING = f"""
import signal, sys
from sqlalchemy.orm import Session
from edge_server.keys import rotation
from edge_server.run.command import server

nth, within = int(sys.argv.pop(1)), sys.argv.pop(1) == "within"
rotation.BATCH = {SMALL}
step, execute = rotation._batch, Session.execute

def stopped():
    print("there", flush=True)
    signal.pause()

def batch(*arguments):
    global nth
    nth -= 1
    if nth < 0 and not within:
        stopped()
    return step(*arguments)

def statement(session, *arguments, **options):
    global left
    if nth < 0 and getattr(arguments[0], "is_update", False):
        left -= 1
        if left < 0:
            stopped()
    return execute(session, *arguments, **options)

left = 3
rotation._batch = batch
if within:
    Session.execute = statement
server()
"""
"""Moves what is sealed, and waits to be killed before a batch, or within one after a few of its rows."""


@pytest.mark.slow
@pytest.mark.parametrize(("nth", "where"), [(0, "before"), (1, "before"), (0, "within"), (1, "within")])
def test_killed_on_the_way_everything_opens_and_it_can_be_run_again(
    shared_bao: Bao, filled: Path, nth: int, where: str
) -> None:
    engine = shared_bao.engine()
    configure(filled, settings_of(engine, "file"))
    served = Served(filled)
    count = 2 * SMALL + 3
    _keep(served.engines, count)
    for keeper, beginning in (("transit", transit.FORMAT), ("file", sealing.FORMAT)):
        configure(filled, settings_of(engine, keeper))
        other = Served(filled)
        before = formats(other.database)
        process = subprocess.Popen(
            [sys.executable, "-c", MOVING, str(nth), where, "rotate-keys", "--data", str(filled)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment_of(filled),
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        assert _contents(other.engines) == list(range(count))  # while it is under way
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert _contents(other.engines) == list(range(count))
        assert formats(other.database) == ({beginning} | before if nth else before)
        code, _ = run("rotate-keys", "--data", filled)
        assert code == 0
        assert formats(other.database) == {beginning}
        assert _contents(other.engines) == list(range(count))
        other.database.close()
    served.database.close()


def _vault(engines: Engines) -> Vault:
    (column,) = [
        column for column in start.sealed_columns(app.load(engines, plugins=False)) if column.column.class_ is Secret
    ]
    return Vault(column)


def _keep(engines: Engines, count: int) -> None:
    vault = _vault(_same(engines))
    with engines.database.read() as session:
        prepared = [vault.prepare(session, 1, None, f"secret-{n}", {"n": n}) for n in range(count)]
    with engines.database.write(SERVER) as session:
        for n in range(count):
            vault.create(session, 1, None, f"secret-{n}", prepared[n])


def _contents(engines: Engines) -> list[int]:
    """What all secrets hold, opened with what there is now."""
    vault = _vault(_same(engines))
    with engines.database.read() as session:
        rows = session.scalars(sa.select(Secret).where(Secret.user_id.is_(None)).order_by(Secret.id))
        return [vault.content(row)["n"] for row in rows]


def _same(engines: Engines) -> Engines:
    """Engines of their own on a database, as subsystems are loaded once with them."""
    return app.engines_at(engines.folder, engines.signer, engines.configuration, database=engines.database)


# --- several hosts


def test_hosts_share_what_the_engine_has_sealed_and_lose_the_key_file_together(
    shared_bao: Bao, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = shared_bao.engine()
    with two_hosts(tmp_path) as hosts:
        monkeypatch.setenv("EDGE_SERVER_DATABASE_URL", str(hosts.a.database_url))
        plain = (hosts.a.data / "server.toml").read_text()
        token = start.prepare(hosts.a.data)[2]
        for host in (hosts.a, hosts.b):
            configure(host.data, plain + settings_of(engine))
        a, b = Served(hosts.a.data), Served(hosts.b.data)
        assert SEALING["create a secret"](a.api(token)).status_code == 201
        assert call(b.api(token), "GET", f"{SECRETS}/new").json()["content"] == {"word": WORD}
        file, away = hosts.shared / "keys" / sealing.FILE_NAME, tmp_path / "away"
        file.rename(away)
        with pytest.raises(CannotStart, match="is missing; put it back from its backup"):
            start.prepare(hosts.b.data)  # others may still seal with it
        away.rename(file)
        assert run("rotate-keys", "--data", hosts.a.data)[0] == 0
        file.unlink()
        start.prepare(hosts.b.data)
        assert not file.exists()
        a.database.close()
        b.database.close()


def test_a_host_that_names_another_key_of_the_engine_does_not_start(
    bao: Bao, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = bao.engine()
    another = bao.engine()
    with two_hosts(tmp_path) as hosts:
        monkeypatch.setenv("EDGE_SERVER_DATABASE_URL", str(hosts.a.database_url))
        a, b = hosts.a.data, hosts.b.data
        plain = (a / "server.toml").read_text()
        for keeper in ("transit", "file"):
            configure(a, plain + settings_of(engine))
            start.prepare(a)
            configure(b, plain + settings_of(another, keeper))
            with pytest.raises(CannotStart, match=f"the key {another.key} .* is not the key that the other hosts of"):
                start.prepare(b)
            status, output = run("check", "--data", b)
            assert status == 1
            assert "is not the key that the other hosts of" in output
        configure(b, plain + settings_of(engine))
        bao.root.secrets.transit.rotate_key(engine.key)
        start.prepare(b)
        assert run("rotate-keys", "--data", b)[0] == 0
        bao.root.secrets.transit.update_key_configuration(engine.key, min_decryption_version=2)
        start.prepare(a)
        # Once a file seals all, another key may come.
        configure(a, plain + settings_of(engine, "file"))
        assert run("rotate-keys", "--data", a)[0] == 0
        configure(b, plain + settings_of(another))
        start.prepare(b)
        bao.kill()
        configure(a, plain + settings_of(engine))
        start.prepare(a)  # which nobody can tell while the engine is away
        bao.start()
        bao.unseal()
        wait_for(lambda: is_refused(a))


def is_refused(data: Path) -> bool:
    """Whether a host does not start for its key; false as well while the engine still counts as away."""
    try:
        start.prepare(data)
    except CannotStart as error:
        return "is not the key that the other hosts of" in str(error)
    return False
