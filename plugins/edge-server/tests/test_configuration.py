"""What the operator sets, by the file and by the environment, and that no secret of it is shown."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import marshmallow
import pytest
from click.testing import CliRunner

from edge_server.base import configuration
from edge_server.base.configuration import Configuration, Secret, Size
from edge_server.base.problems import CannotStart
from edge_server.keys import folder, sealing, signing
from edge_server.run import start
from edge_server.run.command import server

SECRET = "hunter2-kept"

POSIX = pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")


class Depot(marshmallow.Schema):
    """A section with a value of each kind."""

    size = Size()
    doors = marshmallow.fields.Integer(strict=True)
    is_open = marshmallow.fields.Boolean()
    names = marshmallow.fields.List(marshmallow.fields.String())
    password = Secret()


def read(tmp_path: Path, text: str, *, mode: int = 0o600, **environment: str) -> Any:
    path = tmp_path / "site.toml"
    path.write_text(text)
    path.chmod(mode)
    settings = Configuration(path, {f"EDGE_SERVER_{name}": value for name, value in environment.items()})
    depot = settings.section("depot", Depot())
    settings.require_known()
    return depot


def test_each_key_can_be_set_by_the_environment_which_counts_before_the_file(tmp_path: Path) -> None:
    text = '[depot]\nsize = 5\ndoors = 2\nnames = ["a"]\n'
    assert read(tmp_path, text) == {"size": 5, "doors": 2, "names": ["a"]}
    both = read(
        tmp_path, text, DEPOT_SIZE="2 kB", DEPOT_DOORS="3", DEPOT_IS_OPEN="true", DEPOT_NAMES="b, c", DEPOT_PASSWORD="x"
    )
    assert both == {"size": 2000, "doors": 3, "is_open": True, "names": ["b", "c"], "password": "x"}
    assert read(tmp_path, text, DEPOT_SIZE="")["size"] == 5  # left out by a template


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("DEPOT_SIZE", "much", "EDGE_SERVER_DEPOT_SIZE: this is no size"),
        ("DEPOT_DOORS", "two", "EDGE_SERVER_DEPOT_DOORS: Not a valid integer"),
        ("DEPOT_SIZES", "5", r"environment: there is no setting EDGE_SERVER_DEPOT_SIZES; unset it .*size, .*\[depot\]"),
        ("DEPOTS_SIZE", "5", "environment: there is no setting EDGE_SERVER_DEPOTS_SIZE; unset it"),
        ("DEPOT_SIZE_FILE", "/tmp/size", "there is no setting EDGE_SERVER_DEPOT_SIZE_FILE"),
        ("DEPOT_PASSWORD_FILE", "/no/file", "EDGE_SERVER_DEPOT_PASSWORD_FILE: /no/file cannot be read"),
    ],
)
def test_a_sentence_names_a_wrong_variable(tmp_path: Path, name: str, value: str, sentence: str) -> None:
    with pytest.raises(CannotStart, match=sentence):
        read(tmp_path, "", **{name: value})


def test_what_kubernetes_sets_beside_a_service_is_no_setting(tmp_path: Path) -> None:
    of_a_service = {"SERVICE_HOST": "10.0.0.1", "SERVICE_PORT": "80", "PORT": "tcp://10.0.0.1:80"}
    assert read(tmp_path, "", **of_a_service, PORT_80_TCP_ADDR="10.0.0.1") == {}


@POSIX
@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602])
def test_a_secret_is_refused_where_others_can_read_or_write_it(tmp_path: Path, mode: int) -> None:
    assert read(tmp_path, "[depot]\nsize = 5\n", mode=mode) == {"size": 5}  # which holds none
    with pytest.raises(CannotStart, match=r"site\.toml, which holds a secret \(depot\.password\)") as caught:
        read(tmp_path, f'[depot]\npassword = "{SECRET}"\n', mode=mode)
    own = tmp_path / "password"
    own.write_text(f"{SECRET}\n")
    own.chmod(mode)
    with pytest.raises(CannotStart, match="DEPOT_PASSWORD_FILE: other users can") as of_file:
        read(tmp_path, "", DEPOT_PASSWORD_FILE=str(own))
    assert SECRET not in f"{caught.value}{of_file.value}"


def test_a_secret_can_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    own = tmp_path / "password"
    own.write_text(f"{SECRET}\n")
    own.chmod(0o640)  # of root and the server's group
    assert read(tmp_path, "", DEPOT_PASSWORD_FILE=str(own)) == {"password": SECRET}
    assert read(tmp_path, '[depot]\npassword_file = "password"\n') == {"password": SECRET}
    assert read(tmp_path, '[depot]\npassword = "x"\n', DEPOT_PASSWORD_FILE=str(own)) == {"password": SECRET}
    with pytest.raises(CannotStart, match=r"depot\.password is set, and password_file as well") as twice:
        read(tmp_path, f'[depot]\npassword = "{SECRET}"\npassword_file = "password"\n')
    own.write_text("\n")
    with pytest.raises(CannotStart, match="is empty"):
        read(tmp_path, '[depot]\npassword_file = "password"\n')
    assert SECRET not in str(twice.value)


def test_a_wrong_secret_is_not_shown(tmp_path: Path) -> None:
    text = f'[depot]\npassword = ["{SECRET}"]\n'
    with pytest.raises(CannotStart, match=r"depot\.password: ") as caught:
        read(tmp_path, text)
    path = tmp_path / "site.toml"
    settings = Configuration(path, {"EDGE_SERVER_DEPOT_PASSWORD": SECRET})
    assert SECRET not in f"{caught.value}{settings!r}{vars(caught.value)}"


def test_another_file_than_that_of_the_data_folder_can_be_named(tmp_path: Path) -> None:
    missing = CliRunner().invoke(server, ["fsck", "--data", str(tmp_path / "data"), "--config", str(tmp_path / "no")])
    assert missing.exit_code == 1
    (tmp_path / "site.toml").write_text('[storage]\nquota = "much"\n')
    with pytest.raises(CannotStart, match=r"site\.toml: storage\.quota: this is no size"):
        start.prepare(tmp_path / "data", tmp_path / "site.toml")
    with pytest.raises(CannotStart, match="there is no file .*none.toml; write it, or name another with --config"):
        configuration.of_server(tmp_path / "data", tmp_path / "none.toml")


def test_keys_are_where_the_settings_say_and_are_the_same_for_all(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text('[keys]\ndirectory = "shared/keys"\n')
    for host in (tmp_path / "a", tmp_path / "b"):
        host.mkdir()
        start.prepare(host, tmp_path / "site.toml")
        assert not {signing.FILE_NAME, sealing.FILE_NAME} & {path.name for path in host.iterdir()}
    keys = folder.folder_of(configuration.of_server(tmp_path / "a", tmp_path / "site.toml"), tmp_path / "a")
    assert keys == tmp_path / "shared" / "keys"
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700 or os.name != "posix"
    assert {signing.FILE_NAME, sealing.FILE_NAME} <= {path.name for path in keys.iterdir()}


def test_a_signing_key_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    (tmp_path / signing.FILE_NAME).write_bytes(b"short")
    with pytest.raises(CannotStart, match=r"signing\.key has 5 bytes instead of 32; put it back"):
        signing.read_key(tmp_path)
