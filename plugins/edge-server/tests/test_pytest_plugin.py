"""The fixtures that pytest has where the server is installed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge_server.testing.local_server import EdgeServer
from edge_server.testing.pytest_plugin import Join

README = Path(__file__).parents[1] / "README.md"


def test_people_join_the_tests_own_organization_or_another(
    edge_server: EdgeServer, edge_organization: str, edge_join: Join
) -> None:
    developer, member = edge_join("developer"), edge_join()
    assert developer.config.organization == member.config.organization == edge_organization
    name = member.whoami().user_name
    assert edge_join(user=name).whoami().user_name == name
    elsewhere = edge_join(organization=edge_server.create_organization(), server_admin=True)
    assert elsewhere.config.organization != edge_organization
    assert elsewhere.whoami().user_name != name


@pytest.mark.slow
def test_the_readmes_tests_pass(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```python\n(def test_.*?)^```", README.read_text(), flags=re.M | re.S)
    (tmp_path / "test_readme.py").write_text(block)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:schemathesis",
        "test_readme.py",
    ]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 passed" in ran.stdout
