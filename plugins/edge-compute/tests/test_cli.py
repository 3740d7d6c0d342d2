"""`edge compute`, against a live server."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from edge_compute.cli import compute
from edge_core.session import EdgeSession

Run = Callable[..., Result]


@pytest.fixture
def run(admin: EdgeSession) -> Run:
    """Calls `edge compute` as an admin of the organization."""

    def call(*arguments: str) -> Result:
        settings = admin.config

        def open_session() -> EdgeSession:
            return EdgeSession(
                api_token=settings.api_token, service_url=settings.service_url, organization=settings.organization
            )

        return CliRunner().invoke(compute, arguments, obj=open_session)

    return call


def test_instances_and_the_backend_are_shown(run: Run) -> None:
    lines = run("instances").output.splitlines()

    assert lines[0].split()[:4] == ["NAME", "CPU", "GPU", "GB"]
    assert ["t3.small", "2", "0", "2"] in [line.split() for line in lines]
    assert {"instance_name", "cpu", "gpu", "memory"} <= set(json.loads(run("instances", "--json").output)[0])
    assert "starts no machines" in run("backend").output
    assert json.loads(run("backend", "--json").output)["starts_machines"] is False


def test_profiles_are_created_listed_and_removed(run: Run, admin: EdgeSession) -> None:
    created = run("profiles", "create", "lab.large", "--instance", "m5.xlarge", "--memory", "8")

    assert created.exit_code == 0, created.output
    assert "Created lab.large: 4 CPU, 0 GPU, 8 GB." in created.stdout
    assert "starts no machines" in created.stderr
    assert "lab.large" in run("profiles", "list").output
    assert [row["profile_id"] for row in json.loads(run("profiles", "list", "--json").output)] == [
        "lab.large",
        "edge.dashboard",
        "edge.medium",
    ]
    assert json.loads(run("profiles", "remove", "lab.large", "--json").output)["removed"] is True
    other = json.loads(run("profiles", "create", "lab.two", "--instance", "t3.small", "--json").output)
    assert (other["cpu"], other["status"]) == (2.0, "pending")
    assert "instance_name" in str(run("profiles", "create", "lab.three", "--instance", "none").exception)


def test_placeholders_are_created_listed_and_removed(run: Run, admin: EdgeSession) -> None:
    created = run("placeholders", "create", "dawn", "--profile", "edge.medium", "--quantity", "2")

    assert "Created dawn: 2 of edge.medium." in created.stdout
    assert "starts no machines" in created.stderr
    assert "dawn" in run("placeholders", "list").output
    assert json.loads(run("placeholders", "list", "--json").output)[0]["quantity"] == 2
    assert run("placeholders", "remove", "dawn").exit_code == 0
    assert admin.compute.list_placeholders() == []
    assert "quantity" in str(
        run("placeholders", "create", "dawn", "--profile", "edge.medium", "--quantity", "-2").exception
    )
    assert json.loads(run("placeholders", "create", "d", "--profile", "edge.medium", "--json").output)["name"] == "d"
