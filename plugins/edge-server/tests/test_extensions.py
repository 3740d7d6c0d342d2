"""The server halves of other people's plugins: real distributions, in a server of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_server.local import EdgeServer

from .wire import Api, client, refused

SERVER = """
    import sqlalchemy as sa
    from pathlib import Path
    from edge_core.records import Record, field

    plugin_api = 1
    metadata = sa.MetaData()
    plates = sa.Table(
        "lims_plates", metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("organization_id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(20), nullable=False),
    )

    class Plate(Record):
        __slots__ = ()
        name: str = field(max_length=20)

    class PlatePage(Record):
        __slots__ = ()
        items: list[Plate]
        next: str | None = None

    class ListPlates(Record):
        __slots__ = ()
        limit: int = field(default=1000, minimum=1, maximum=1000)
        cursor: str | None = None

    def server(context):
        routes = context.routes()

        @routes.operation("lims.list", "GET", "")
        @routes.arguments(ListPlates.schema(), location="query")
        @routes.response(200, PlatePage.schema())
        def list_plates(query, org):
            "List the plates."
            wanted = sa.select(plates.c.name).where(plates.c.organization_id == context.member().organization_id)
            with context.read() as session:
                names, following = context.page(session, wanted, plates.c.name, query)
            return context.answer(PlatePage([Plate(name) for name in names], following))

        @routes.operation("lims.add", "POST", "")
        @routes.arguments(Plate.schema())
        @routes.response(201, Plate.schema())
        def add(plate, org):
            "Add a plate."
            mine = {"organization_id": context.member().organization_id, "name": plate.name}
            with context.write() as session:
                taken = sa.select(plates.c.id).filter_by(**mine)
                if session.scalar(taken) is not None:
                    raise context.already_exists(f"there is a plate {plate.name} already; choose another name")
                session.execute(plates.insert().values(**mine))
                return context.answer(plate, 201)

        return {
            "blueprint": routes,
            "rules": {"lims.list": context.requires("member"), "lims.add": context.requires("developer")},
            "metadata": metadata,
            "migrations": Path(__file__).parent / "lims_migrations",
            "revision": "0001",
        }
"""

MIGRATION = """
    import sqlalchemy as sa
    from alembic import op

    revision = "0001"
    down_revision = None

    def upgrade():
        op.create_table(
            "lims_plates",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("organization_id", sa.Integer, sa.ForeignKey("organizations.id"), nullable=False),
            sa.Column("name", sa.String(20), nullable=False),
        )
"""

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a distribution with a server half on the path of servers started from now on."""
    site = tmp_path / "site"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")])))

    def make(
        source: str = SERVER, migration: str = MIGRATION, *, name: str = "lims", distribution: str = "lims-plugin"
    ) -> Path:
        info = site / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[edge.server]\n{name} = lims_server:server\n")
        (site / "lims_server.py").write_text(textwrap.dedent(source))
        (site / "lims_migrations").mkdir(exist_ok=True)
        (site / "lims_migrations" / "v0001.py").write_text(textwrap.dedent(migration))
        return site

    return make


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EdgeServer]:
    made = EdgeServer(tmp_path / "own" / "data")
    made.data.parent.mkdir()
    yield made
    made.close()


def developer(server: EdgeServer, organization: str | None = None) -> Api:
    organization = organization or server.create_organization()
    user = server.create_user(organization=organization, roles=["developer"])
    return client(server, server.create_token(user), organization)


def plates(api: Api, method: str = "GET", path: str = "", **more: Any) -> Any:
    return api.call(method, f"/v1/orgs/{api.organization}/lims{path}", **more)


@pytest.mark.slow
def test_a_server_half_is_served_as_the_servers_own_are(install: Install, server: EdgeServer) -> None:
    install()
    server.start("--workers", "2")
    ada = developer(server)
    assert "lims" in ada.call("GET", "/v1/meta").json()["subsystems"]

    # Once for each key, refused where it cannot be, in pages, and of one organization alone.
    for _ in range(2):
        assert plates(ada, "POST", json={"name": "P1"}, headers={"Idempotency-Key": "one"}).status_code == 201
    refused(plates(ada, "POST", json={"name": "P1"}), 409, "already_exists")
    refused(plates(ada, "POST", json={"name": "P2", "colour": "red"}), 422, "bad_entry")
    assert plates(ada, "POST", json={"name": "P2"}).status_code == 201
    first = plates(ada, params={"limit": 1}).json()
    assert [one["name"] for one in first["items"]] == ["P1"]
    assert [one["name"] for one in plates(ada, params={"cursor": first["next"]}).json()["items"]] == ["P2"]
    assert plates(developer(server)).json()["items"] == []

    # The rules hold: a member may read, a stranger sees nothing, and without a token there is nothing.
    member = client(server, server.create_token(server.create_user(organization=ada.organization)), ada.organization)
    assert plates(member).status_code == 200
    refused(plates(member, "POST", json={"name": "P3"}), 403, "forbidden")
    stranger = client(server, developer(server).token, ada.organization)
    refused(plates(stranger), 404, "not_found")
    refused(plates(client(server, None, ada.organization)), 401, "unauthenticated")

    # What it keeps survives a restart, and goes with the organization.
    server.restart()
    ada.url = server.url
    assert len(plates(ada).json()["items"]) == 2
    root = client(server, server.create_token("admin"), "default")
    assert root.call("DELETE", f"/v1/admin/organizations/{ada.organization}").status_code in (202, 204)
    for _ in range(200):
        with server.database.engine.connect() as connection:
            left = connection.exec_driver_sql("SELECT count(*) FROM lims_plates").scalar()
        if left == 0:
            break
        time.sleep(0.1)
    assert left == 0


@pytest.mark.slow
def test_an_older_database_is_backed_up_and_gets_the_tables(install: Install, server: EdgeServer) -> None:
    server.start()
    ada = developer(server)
    server.stop()
    install()
    server.start()
    ada.url = server.url
    assert plates(ada).json() == {"items": [], "next": None}
    assert len(list((server.data / "backups").iterdir())) == 1
    server.restart()
    assert len(list((server.data / "backups").iterdir())) == 1, "nothing was left to do"


def replaced(old: str, new: str) -> Callable[[str], str]:
    return lambda source: source.replace(old, new)


BROKEN: dict[str, tuple[Callable[[str], str], str]] = {
    "raises": (lambda source: "raise RuntimeError('no licence')", "RuntimeError: no licence"),
    "no contract": (replaced("plugin_api = 1", ""), "states no plugin contract"),
    "returns something else": (
        lambda source: "plugin_api = 1\ndef server(context): return 7",
        "must return a dictionary",
    ),
    "a route without a rule": (replaced('"lims.add": context', '"lims.burn": context'), "no rule"),
    "a rule that is none": (
        lambda source: source.replace('requires("developer")', 'requires("boss")'),
        "no role 'boss'",
    ),
    "another's operation": (replaced("lims.list", "files.list"), "must begin with 'lims.'"),
    "another's table": (replaced('"lims_plates"', '"nodes"'), "must begin with 'lims_'"),
    "no organization": (replaced("organization_id", "whose"), "has no organization_id"),
    "no migrations": (replaced('/ "lims_migrations"', '/ "gone"'), "are not at"),
    "another revision": (
        lambda source: source.replace('"revision": "0001"', '"revision": "0009"'),
        "it states 0009",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("change", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_server_half_stops_the_start_in_one_sentence(
    install: Install, server: EdgeServer, change: Callable[[str], str], said: str
) -> None:
    install(textwrap.dedent(change(textwrap.dedent(SERVER))))
    with pytest.raises(RuntimeError) as stopped:
        server.start()
    (line,) = [line for line in server.log.splitlines() if line]
    assert line.startswith("Error: "), stopped.value
    assert said in line
    assert "lims" in line
    assert "EDGE_DISABLE_PLUGINS=lims-plugin starts the server without it" in line or "no rule" in line


@pytest.mark.slow
def test_a_broken_server_half_can_be_switched_off(
    install: Install, server: EdgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("raise RuntimeError('no licence')")
    monkeypatch.setenv("EDGE_DISABLE_PLUGINS", "lims-plugin")
    server.start()
    assert "lims" not in developer(server).call("GET", "/v1/meta").json()["subsystems"]


@pytest.mark.slow
def test_a_table_that_does_not_refer_to_organizations_is_refused(install: Install, server: EdgeServer) -> None:
    install(migration=MIGRATION.replace(' sa.ForeignKey("organizations.id"),', ""))
    with pytest.raises(RuntimeError, match="refers to organizations.id"):
        server.start()


@pytest.mark.slow
def test_the_servers_own_addresses_are_nobody_elses(install: Install, server: EdgeServer) -> None:
    install(SERVER.replace("lims.", "files.").replace('"lims_plates"', '"files_plates"'), name="files")
    with pytest.raises(RuntimeError, match="must choose another name"):
        server.start()


def test_its_operations_are_described(install: Install, tmp_path: Path) -> None:
    install()
    kept = tmp_path / "openapi.json"
    command = [sys.executable, "-m", "edge_server.openapi", "--plugins", str(kept)]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    described = json.loads(kept.read_text())["paths"]["/v1/orgs/{org}/lims"]
    assert described["get"]["x-permission"] == "member"
    assert described["post"]["x-permission"] == "developer"
