"""What the core's tests share: an empty environment, and distributions made on the spot."""

from __future__ import annotations

import socket
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_core import registry


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the settings, proxies or profile of whoever runs it."""
    for name in ("API_TOKEN", "API_SERVICE_URL", "API_ORG", "CONFIG_FILE"):
        monkeypatch.delenv(f"EDGE_{name}", raising=False)
    for name in ("JUPYTERHUB_API_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EDGE_CONFIG_FILE", str(tmp_path / "no-config.ini"))


Distribute = Callable[..., Path]


@pytest.fixture
def distribute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Distribute]:
    """Install a distribution for this test: metadata, entry points and modules, as pip lays them out."""
    before = set(sys.modules)

    def make(name: str, version: str = "1.0", *, points: str = "", path: str = "site", **modules: str) -> Path:
        site = tmp_path / path
        metadata = site / f"{name.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (metadata / "entry_points.txt").write_text(textwrap.dedent(points))
        for module, source in modules.items():
            (site / f"{module}.py").write_text(textwrap.dedent(source))
        if str(site) not in sys.path:
            monkeypatch.syspath_prepend(str(site))
        registry.rescan()
        return site

    yield make
    registry.rescan()
    for module in set(sys.modules) - before:
        if str(getattr(sys.modules[module], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[module]


@pytest.fixture
def raw_server() -> Iterator[Callable[[bytes], str]]:
    """A socket that answers every request with the bytes it was given; returns its service URL."""
    listeners: list[socket.socket] = []

    def serve(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def loop() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        threading.Thread(target=loop, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield serve
    for listener in listeners:
        listener.close()
