"""OpenBao as the keeper of the key: what it seals opens where it was sealed, and what happens when it is away."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_server.base.problems import CannotStart
from edge_server.keys import transit
from edge_server.keys.sealing import KeeperAway, Unsealable
from edge_server.keys.transit import Engine, TransitSealer, version_of
from tests.waiting import wait_for

from .openbao import MAY, SEAL, Bao

PLACE = {"organization": "org-1", "owner": "secrets/user/ada", "name": "warehouse"}
CONTENT = b'{"password": "quartz cuvette 77"}'


def sealed(sealer: TransitSealer, content: bytes = CONTENT) -> bytes:
    return sealer.prepare(content, **PLACE)()


def opens(sealer: TransitSealer, blob: bytes) -> bool:
    return sealer.open(blob, **PLACE) == CONTENT


@pytest.fixture
def engine(shared_bao: Bao) -> Engine:
    return shared_bao.engine()


@pytest.fixture
def sealer(engine: Engine) -> TransitSealer:
    return TransitSealer(engine)


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """What a process has learned of a server ends with a test, as ports are used again."""
    yield
    transit._door_of.cache_clear()


@pytest.mark.parametrize("content", [b"", b"x", CONTENT, bytes(range(256)) * 256])
def test_what_was_sealed_opens_where_it_was_sealed(sealer: TransitSealer, content: bytes) -> None:
    blob = sealed(sealer, content)
    assert sealer.open(blob, **PLACE) == content
    if len(content) > 1:  # as any byte may be in a blob
        assert content not in blob


@pytest.mark.parametrize("moved", [{"organization": "org-2"}, {"owner": "secrets/user/bob"}, {"name": "warehouse "}])
def test_a_blob_that_was_moved_does_not_open(sealer: TransitSealer, moved: dict[str, str]) -> None:
    blob = sealed(sealer)
    with pytest.raises(Unsealable):
        sealer.open(blob, **{**PLACE, **moved})


def test_a_blob_of_which_any_bit_was_changed_does_not_open(sealer: TransitSealer) -> None:
    blob = sealed(sealer, b"77")
    for at in range(len(blob) * 8):
        changed = bytearray(blob)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(Unsealable):
            sealer.open(bytes(changed), **PLACE)
    for cut in (b"", blob[:1], blob[:5], blob[:-1], blob + b"x", blob[:1] + bytes(4) + blob[5:]):
        with pytest.raises(Unsealable):
            sealer.open(cut, **PLACE)


def test_older_versions_open_until_the_engine_forgets_them(
    shared_bao: Bao, engine: Engine, sealer: TransitSealer, caplog: pytest.LogCaptureFixture
) -> None:
    old = sealed(sealer)
    shared_bao.root.secrets.transit.rotate_key(engine.key)
    new = sealed(sealer)
    assert (version_of(old), version_of(new), sealer.newest_version()) == (1, 2, 2)
    assert opens(sealer, old)
    shared_bao.root.secrets.transit.update_key_configuration(engine.key, min_decryption_version=2)
    assert opens(sealer, new)
    with pytest.raises(Unsealable):
        sealer.open(old, **PLACE)
    assert "too old" in caplog.text


def test_nothing_shows_a_secret(
    shared_bao: Bao, engine: Engine, sealer: TransitSealer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        blob = sealed(sealer)
        with pytest.raises(Unsealable) as failed:
            sealer.open(blob, **{**PLACE, "name": "other"})
    token = transit._door_of(engine, transit.os.getpid())._client.token
    shown = f"{caplog.text}{failed.value}{engine!r}{sealer!r}"
    assert engine.secret_id is not None
    assert [text for text in (engine.secret_id, token, "quartz") if text in shown] == []


# --- the token


def test_a_token_is_renewed_in_time_and_replaced_near_its_end(shared_bao: Bao, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = shared_bao.engine()
    sealer = TransitSealer(engine)
    sealed(sealer)
    (token,) = shared_bao.tokens(engine)
    before = shared_bao.root.auth.token.lookup_accessor(token)["data"]["expire_time"]
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + 700)  # of 1200 seconds
    sealed(sealer)
    assert shared_bao.tokens(engine) == [token]
    assert shared_bao.root.auth.token.lookup_accessor(token)["data"]["expire_time"] > before

    # The engine grants less and less near the end of all renewals.
    transit._door_of(engine, transit.os.getpid())._lease = 100_000
    monkeypatch.setattr(time, "monotonic", lambda: now() + 1400)
    sealed(sealer)
    assert len(shared_bao.tokens(engine)) == 2


def test_after_a_revoked_token_there_is_a_single_login(shared_bao: Bao) -> None:
    engine = shared_bao.engine()
    sealer = TransitSealer(engine)
    blob = sealed(sealer)
    for _ in range(2):
        shared_bao.revoke(engine)
        assert shared_bao.tokens(engine) == []
        threads = [threading.Thread(target=opens, args=(sealer, blob)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert opens(sealer, blob)
        assert len(shared_bao.tokens(engine)) == 1


def test_what_the_policy_forbids_is_refused_without_logging_in_again_and_again(
    shared_bao: Bao, caplog: pytest.LogCaptureFixture
) -> None:
    engine = shared_bao.engine(SEAL)
    sealer = TransitSealer(engine)
    blob = sealed(sealer)
    for _ in range(5):
        with pytest.raises(KeeperAway) as refused:
            sealer.open(blob, **PLACE)
        sealed(sealer)
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "5")
    assert f"permit update on transit/decrypt/{engine.key} to the role" in caplog.text
    assert len(shared_bao.tokens(engine)) == 2
    with pytest.raises(CannotStart, match=f"permit update on transit/decrypt/{engine.key}"):
        sealer.trial()


def test_a_token_can_come_from_a_file_that_is_read_again_when_it_was_refused(shared_bao: Bao, tmp_path: Path) -> None:
    engine = shared_bao.engine()
    file = tmp_path / "token"
    file.write_text("s.nothing\n")
    file.chmod(0o600)
    by_file = TransitSealer(dataclasses.replace(engine, role_id=None, secret_id=None, token_file=file))
    with pytest.raises(KeeperAway):
        sealed(by_file)

    def login() -> str:
        token: str = shared_bao.client().auth.approle.login(engine.role_id, engine.secret_id)["auth"]["client_token"]
        return token

    for _ in range(2):
        file.write_text(f"{login()}\n")
        assert opens(by_file, sealed(by_file))
        shared_bao.revoke(engine)
    with pytest.raises(KeeperAway):
        sealed(by_file)
    file.chmod(0o644)
    transit._door_of.cache_clear()
    with pytest.raises(CannotStart, match="token_file: other users can read"):
        by_file.trial()


# --- when it cannot be used


def test_a_sealed_or_stopped_server_is_away_and_comes_back(bao: Bao, caplog: pytest.LogCaptureFixture) -> None:
    sealer = TransitSealer(bao.engine())
    blob = sealed(sealer)

    def away(sentence: str) -> None:
        caplog.clear()
        for call in (lambda: sealer.open(blob, **PLACE), lambda: sealed(sealer)):
            with pytest.raises(KeeperAway):
                call()
        assert sentence in caplog.text
        with pytest.raises(CannotStart, match=sentence):
            sealer.trial()

    bao.root.sys.seal()
    away("it is sealed; unseal it")
    bao.unseal()
    assert opens(sealer, blob)
    bao.kill()
    away("it cannot be reached")
    bao.start()
    bao.unseal()

    def opens_again() -> bool:
        with contextlib.suppress(KeeperAway):
            return opens(sealer, blob)
        return False

    wait_for(opens_again)
    assert opens(sealer, sealed(sealer))


def test_a_deleted_key_is_away_and_the_server_puts_no_other_in_its_place(
    shared_bao: Bao, engine: Engine, sealer: TransitSealer, caplog: pytest.LogCaptureFixture
) -> None:
    blob = sealed(sealer)
    keys = shared_bao.root.secrets.transit
    keys.update_key_configuration(engine.key, deletion_allowed=True)
    keys.delete_key(engine.key)
    with pytest.raises(KeeperAway):
        sealer.open(blob, **PLACE)
    assert "it is not there; put it back from a backup" in caplog.text
    with pytest.raises(KeeperAway):
        sealed(sealer)
    assert "see that the key is there" in caplog.text
    keys.create_key(engine.key)
    with pytest.raises(Unsealable):  # it is another one of that name
        sealer.open(blob, **PLACE)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"secret_id": "nothing"}, "role_id and secret_id are not accepted; correct them"),
        ({"role_id": "nothing"}, "role_id and secret_id are not accepted; correct them"),
        ({"key": "another"}, "permit update on transit/encrypt/another to the role"),
        ({"mount": "elsewhere"}, "permit update on elsewhere/encrypt/"),
    ],
)
def test_a_sentence_says_which_setting_is_wrong(engine: Engine, wrong: dict[str, str], sentence: str) -> None:
    with pytest.raises(CannotStart, match=sentence) as caught:
        TransitSealer(dataclasses.replace(engine, **wrong)).trial()
    assert engine.secret_id is not None
    assert engine.secret_id not in str(caught.value)


@pytest.mark.parametrize("more", [{"key_type": "rsa-2048"}, {"derived": True}])
def test_a_key_of_a_type_that_cannot_bind_is_refused(shared_bao: Bao, engine: Engine, more: dict[str, Any]) -> None:
    keys = shared_bao.root.secrets.transit
    name = f"odd-{'-'.join(more)}"
    keys.create_key(name, **more)
    odd = dataclasses.replace(engine, key=name, **shared_bao.role(MAY, name))
    with pytest.raises(CannotStart, match="it has to be a key of the type aes256-gcm96 that is not derived"):
        TransitSealer(odd).trial()


def test_a_private_ca_is_trusted_where_it_is_named(bao_with_tls: Bao) -> None:
    engine = bao_with_tls.engine()
    named = TransitSealer(dataclasses.replace(engine, ca=bao_with_tls.folder / "ca.pem"))
    assert opens(named, sealed(named))
    with pytest.raises(CannotStart, match="its certificate is not trusted; name the file of its CA by ca"):
        TransitSealer(engine).trial()
    plain = dataclasses.replace(engine, address=engine.address.replace("https", "http"))
    with pytest.raises(CannotStart, match="it answers as no OpenBao or Vault; correct address"):
        TransitSealer(plain).trial()


def test_tls_to_a_server_that_has_none_is_a_sentence(engine: Engine) -> None:
    with pytest.raises(CannotStart, match="it does not speak TLS as expected; correct address"):
        TransitSealer(dataclasses.replace(engine, address=engine.address.replace("http", "https"))).trial()


@contextlib.contextmanager
def silence() -> Iterator[tuple[str, list[socket.socket]]]:
    """Something that takes connections, which are listed, and never answers."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take() -> None:
            with contextlib.suppress(OSError):  # in the end
                while True:
                    taken.append(listener.accept()[0])

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", taken
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in taken:
                connection.close()


def test_while_it_does_not_answer_a_single_request_at_a_time_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transit, "PAUSE", 1000)  # however slow the machine is
    with silence() as (address, taken):
        sealer = TransitSealer(Engine(address, "edge", role_id="a", secret_id="b"))
        with pytest.raises(KeeperAway, match="try again later"):
            sealed(sealer)
        for _ in range(20):
            with pytest.raises(KeeperAway):
                sealed(sealer)
        wait_for(lambda: len(taken) == 1)
        now = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: now() + transit.PAUSE + transit.TIMEOUT)
        refused = []

        def ask() -> None:
            with pytest.raises(KeeperAway) as away:
                sealed(sealer)
            refused.append(away.value.why)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_for(lambda: len(taken) == 2)
        assert set(refused) == {f"{address}: it did not answer within 1 s; see whether it runs"}
