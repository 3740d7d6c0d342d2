"""Sealed content: it opens where it was sealed, with the keys it was sealed with, and nowhere else."""

from __future__ import annotations

import concurrent.futures
import json
import logging
import os
import stat
from pathlib import Path
from typing import Any

import filelock
import pytest

from edge_server.keys import sealing
from edge_server.keys.sealing import BadKeyFile, FileSealer, KeyFile, Unsealable, key_id
from edge_server.run.start import prepare

PLACE = {"organization": "org-1", "owner": "secrets/user/ada", "name": "warehouse"}
CONTENT = b'{"password": "correct horse"}'


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    key_file = KeyFile(tmp_path / sealing.FILE_NAME)
    key_file.create()
    return key_file


@pytest.fixture
def sealer(file: KeyFile) -> FileSealer:
    return FileSealer(file)


@pytest.mark.parametrize("content", [b"", b"x", CONTENT, bytes(1 << 16)], ids=len)
def test_what_was_sealed_opens_where_it_was_sealed(sealer: FileSealer, content: bytes) -> None:
    blob = sealer.seal(content, **PLACE)
    assert sealer.open(blob, **PLACE) == content
    assert len(blob) == len(content) + 37
    assert content not in blob or not content.strip(b"x\0")


def test_the_same_content_never_gives_the_same_blob(sealer: FileSealer) -> None:
    assert len({sealer.seal(CONTENT, **PLACE) for _ in range(1000)}) == 1000
    assert len({sealer.seal(b"", **PLACE)[9:21] for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "moved",
    [
        {"organization": "org-2"},
        {"owner": "secrets/user/bob"},
        {"owner": "connectors"},
        {"name": "warehouse-2"},
        {"name": "Warehouse"},
        {"organization": ""},
        {"owner": ""},
        {"name": ""},
        # The same characters, cut elsewhere.
        {"organization": "org-1secrets/", "owner": "user/ada"},
        {"owner": "secrets/user/", "name": "adawarehouse"},
        {"owner": 'secrets/user/ada", "warehouse', "name": ""},
        {"owner": "warehouse", "name": "secrets/user/ada"},
    ],
)
def test_a_blob_that_was_moved_does_not_open(sealer: FileSealer, moved: dict[str, str]) -> None:
    blob = sealer.seal(CONTENT, **PLACE)
    with pytest.raises(Unsealable):
        sealer.open(blob, **{**PLACE, **moved})


def test_a_blob_of_which_any_bit_was_changed_does_not_open(sealer: FileSealer) -> None:
    blob = sealer.seal(CONTENT, **PLACE)
    for at in range(len(blob)):
        for bit in range(8):
            changed = bytearray(blob)
            changed[at] ^= 1 << bit
            with pytest.raises(Unsealable):
                sealer.open(bytes(changed), **PLACE)


def test_a_blob_that_was_cut_or_grew_does_not_open(sealer: FileSealer) -> None:
    blob = sealer.seal(CONTENT, **PLACE)
    for length in range(len(blob)):
        with pytest.raises(Unsealable):
            sealer.open(blob[:length], **PLACE)
    for changed in (blob + b"\0", b"\0" + blob, blob + blob):
        with pytest.raises(Unsealable):
            sealer.open(changed, **PLACE)


def test_a_key_id_cannot_be_exchanged_even_for_that_of_the_same_key(file: KeyFile, sealer: FileSealer) -> None:
    blob = sealer.seal(CONTENT, **PLACE)
    content = json.loads(file.path.read_text())
    content["keys"].append({**content["keys"][0], "id": "00" * 8})
    file.path.write_text(json.dumps(content))
    assert sealer.open(blob, **PLACE) == CONTENT
    with pytest.raises(Unsealable):
        sealer.open(blob[:1] + bytes(8) + blob[9:], **PLACE)


def test_names_of_any_text_are_bound(sealer: FileSealer) -> None:
    for name in ("ключ", "e\u0301", "\u00e9", 'a"b', "a\\u0062", "\ud800", "\0", "n" * 10_000):
        blob = sealer.seal(CONTENT, **{**PLACE, "name": name})
        assert sealer.open(blob, **{**PLACE, "name": name}) == CONTENT
        with pytest.raises(Unsealable):
            sealer.open(blob, **{**PLACE, "name": name + " "})


def test_a_failure_names_the_place_to_the_operator_and_the_content_to_nobody(
    sealer: FileSealer, caplog: pytest.LogCaptureFixture
) -> None:
    blob = sealer.seal(CONTENT, **PLACE)
    with caplog.at_level(logging.DEBUG), pytest.raises(Unsealable) as failed:
        sealer.open(blob, **{**PLACE, "name": "other"})
    assert failed.value.status == 500
    assert failed.value.code == "unsealable"
    assert "'other' of secrets/user/ada in organization org-1 cannot be opened" in caplog.text
    assert failed.value.__cause__ is None
    for text in (caplog.text, str(failed.value), repr(failed.value)):
        assert "correct horse" not in text
        assert blob.hex() not in text
        assert repr(blob)[2:20] not in text


def test_a_new_key_seals_and_the_old_ones_open(file: KeyFile, sealer: FileSealer) -> None:
    blobs = [sealer.seal(CONTENT, **PLACE)]
    for _ in range(3):
        key = file.renew()
        blobs.append(sealer.seal(CONTENT, **PLACE))
        assert key_id(blobs[-1]) == key.id
    assert len({key_id(blob) for blob in blobs}) == 4
    assert {sealer.open(blob, **PLACE) for blob in blobs} == {CONTENT}
    assert file.read().newest == key


def test_a_sealer_uses_the_keys_that_are_there_now(file: KeyFile) -> None:
    first, other = FileSealer(file), FileSealer(KeyFile(file.path))
    blob = first.seal(CONTENT, **PLACE)
    file.renew()
    assert key_id(other.seal(CONTENT, **PLACE)) == key_id(first.seal(CONTENT, **PLACE)) == file.read().seals
    file.keep([key for key in file.read().keys if key.id != key_id(blob)])
    with pytest.raises(Unsealable):
        first.open(blob, **PLACE)


def test_a_new_key_is_on_disk_before_it_seals(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read()
    written: list[Any] = []
    write = KeyFile._write
    monkeypatch.setattr(KeyFile, "_write", lambda self, *state: (written.append(state), write(self, *state)))
    key = file.renew()
    assert written == [((*before.keys, key), before.seals), ((*before.keys, key), key.id)]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_crash_while_the_file_is_written_leaves_all_keys_there(
    file: KeyFile, sealer: FileSealer, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    blob = sealer.seal(CONTENT, **PLACE)
    real, left = getattr(os, call), [0]

    def fail(*arguments: Any) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(os, call, fail)
    for nth in range(1, 5 if call == "fsync" else 3):
        left[0] = nth
        with pytest.raises(KeyboardInterrupt):
            file.renew()
        left[0] = 0
        assert sealer.open(blob, **PLACE) == CONTENT
        assert sealer.open(sealer.seal(CONTENT, **PLACE), **PLACE) == CONTENT
    monkeypatch.undo()
    file.renew()
    assert sealer.open(blob, **PLACE) == CONTENT


def test_only_its_owner_can_read_the_file(file: KeyFile) -> None:
    old = os.umask(0)
    try:
        file.renew()
    finally:
        os.umask(old)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    file.check_mode()
    file.path.chmod(0o640)
    with pytest.raises(BadKeyFile, match=r"run `chmod 600` on it"):
        file.check_mode()


def test_keys_show_in_no_representation(file: KeyFile) -> None:
    ring = file.read()
    assert repr(ring.newest.secret) not in repr(ring)


def _damaged(content: dict[str, Any]) -> list[Any]:
    key = content["keys"][0]
    changed = [{**key, "key": "AAAA"}, {**key, "key": key["key"][:-4]}, {**key, "key": 3}, {**key, "id": "ab"}, {}, "x"]
    return [
        *([], {}, "x", None),
        {**content, "seals": "00" * 8},
        {**content, "keys": []},
        {**content, "keys": [key, key]},
        *({**content, "keys": [key]} for key in changed),
    ]


def test_a_damaged_key_file_is_recognized(file: KeyFile, sealer: FileSealer, caplog: pytest.LogCaptureFixture) -> None:
    blob = sealer.seal(CONTENT, **PLACE)
    whole = file.path.read_text()
    for damaged in [whole[:-20], "", "\0", *map(json.dumps, _damaged(json.loads(whole)))]:
        file.path.write_text(damaged)
        with pytest.raises(BadKeyFile, match="is not a whole key file; put it back from its backup"):
            file.read()
        with pytest.raises(Unsealable, match="nothing was stored"):
            sealer.seal(CONTENT, **PLACE)
        with pytest.raises(Unsealable, match="cannot open"):
            sealer.open(blob, **PLACE)
    file.path.unlink()
    with pytest.raises(Unsealable, match="nothing was stored"):
        sealer.seal(CONTENT, **PLACE)
    assert f"the key file {file.path} is missing; put it back from its backup" in caplog.text
    file.path.write_text(whole)
    assert sealer.open(blob, **PLACE) == CONTENT


def test_a_single_process_at_a_time_changes_the_file(file: KeyFile) -> None:
    with file.locked(), pytest.raises(filelock.Timeout), KeyFile(file.path).locked():
        pass


def test_sealing_goes_on_while_the_keys_are_renewed(file: KeyFile, sealer: FileSealer) -> None:
    def work(n: int) -> bool:
        content = str(n).encode()
        return sealer.open(sealer.seal(content, **PLACE), **PLACE) == content

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        done = threads.map(work, range(400))
        for _ in range(20):
            file.renew()
        assert all(done)


def test_a_start_makes_the_key_file_once(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    prepare(folder)
    content = (folder / sealing.FILE_NAME).read_bytes()
    assert stat.S_IMODE((folder / sealing.FILE_NAME).stat().st_mode) == 0o600
    prepare(folder)
    assert (folder / sealing.FILE_NAME).read_bytes() == content
