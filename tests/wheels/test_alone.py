"""Each distribution works with nothing but what it declares, against a server it shares no environment with."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from tests.wheels.environments import Environment, Install, Wheel, run
from tools.local_server import LocalServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def core(install: Install) -> Environment:
    return install("edge-core")


@pytest.fixture(scope="module")
def files(install: Install) -> Environment:
    return install("edge-files")


@pytest.fixture(scope="module")
def cli(install: Install) -> Environment:
    return install("edge-cli")


# --- edge-core ------------------------------------------------------------------------------------

WHOAMI = """
from edge.api import EdgeSession
with EdgeSession() as edge:
    print(edge.whoami().user_name, edge.organization)
"""


def test_the_core_alone_knows_who_the_user_is(core: Environment, server: LocalServer) -> None:
    user, organization = core.run(WHOAMI, server.environment).split()

    assert user
    assert organization == server.environment["EDGE_API_ORG"]


def test_the_core_alone_says_which_distribution_gives_files(core: Environment, server: LocalServer) -> None:
    program = """
from edge.api import EdgeSession
try:
    EdgeSession().files
except AttributeError as error:
    print(error)
"""
    assert "install the distribution edge-files" in core.run(program, server.environment)


def test_the_core_alone_says_which_distribution_gives_folder(core: Environment) -> None:
    program = """
try:
    from edge.api import Folder
except ImportError as error:
    print(error)
"""
    assert "install the distribution edge-files" in core.run(program)


def test_asking_who_the_user_is_loads_no_library_of_the_plugins(core: Environment, server: LocalServer) -> None:
    heavy = ["pandas", "boto3", "sqlalchemy", "flask", "click", "marshmallow", "pluggy"]

    loaded = core.run(f"{WHOAMI}\nimport sys; print(*sys.modules)", server.environment).split()

    assert [name for name in heavy if name in loaded] == []


def test_an_environment_with_the_core_holds_only_what_it_declares(core: Environment) -> None:
    program = "import importlib.metadata as m; print(*(one.name for one in m.distributions()))"

    assert [name for name in core.run(program).split() if name.lower().startswith("edge")] == ["edge-core"]


# --- edge-vfs and edge-files ----------------------------------------------------------------------


def test_the_file_classes_import_with_their_declared_dependencies(install: Install) -> None:
    assert install("edge-vfs").run("from edge_vfs import Folder; print(Folder.__module__)").strip() == "edge_vfs.folder"


FILES = """
from edge.api import EdgeSession
edge = EdgeSession()
edge.files.upload("wheels/plate.bin", bytes(range(256)) * 8192)
assert edge.files.open("wheels").list() == ["plate.bin"], edge.files.open("wheels").list()
with edge.files.open("wheels/plate.bin", open_with="file") as file:
    assert file.read() == bytes(range(256)) * 8192
edge.files.delete("wheels", recursive=True)
print(edge.whoami().user_name)
"""


def test_files_go_up_and_come_back(files: Environment, server: LocalServer) -> None:
    assert files.run(FILES, server.environment).strip()


def test_a_table_without_pandas_says_what_to_install(files: Environment, server: LocalServer) -> None:
    program = """
from edge.api import EdgeSession, MissingPackage
edge = EdgeSession()
edge.files.upload("plate.csv", b"well,signal\\nA1,3\\n")
try:
    edge.files.open("plate.csv")
except MissingPackage as error:
    print(error)
"""
    assert "python -m pip install pandas" in files.run(program, server.environment)


def test_json_opens_without_any_library(files: Environment, server: LocalServer) -> None:
    program = """
from edge.api import EdgeSession
edge = EdgeSession()
edge.files.upload("plate.json", b'{"wells": 96}')
print(edge.files.open("plate.json")["wells"])
"""
    assert files.run(program, server.environment).strip() == "96"


# --- edge-secrets ---------------------------------------------------------------------------------


def test_secrets_go_in_and_come_out(install: Install, server: LocalServer) -> None:
    program = """
from edge.api import EdgeSecrets, EdgeSession
edge = EdgeSession()
assert isinstance(edge.secrets, EdgeSecrets)
edge.secrets.create_user_secret("alone", {"wells": 96})
print(edge.secrets.read_user_secret("alone")["wells"])
edge.secrets.delete_user_secret("alone")
"""
    assert install("edge-secrets").run(program, server.environment).strip() == "96"


# --- edge-applications, edge-compute --------------------------------------------------------------


def test_an_application_is_added_and_listed(install: Install, server: LocalServer) -> None:
    program = """
from edge.api import EdgeSession
from edge.apps.application import Application
edge = EdgeSession()
edge.applications.add_application(Application("alone", True))
print(edge.applications.get_application("alone").app_id)
edge.applications.remove_application("alone")
"""
    assert install("edge-applications").run(program, server.environment).strip() == "alone"


def test_machines_are_listed(install: Install, server: LocalServer) -> None:
    program = """
from edge.api import EdgeSession
print(EdgeSession().compute.retrieve_instance_type("t3.small")["memory"])
"""
    assert install("edge-compute").run(program, server.environment).strip() == "2.0"


# --- edge-hub -------------------------------------------------------------------------------------


def test_the_app_proxy_runs_an_application_with_nothing_but_the_core(install: Install, server: LocalServer) -> None:
    program = """
import asyncio, socket, sys, urllib.request
from pathlib import Path
from edge.api import EdgeSession
from edge_hub.app_proxy.process import Launch, serve
from edge_hub.app_proxy.proxy import AppProxy, always
from edge_hub.app_proxy.visitors import session_user

async def visit(address):
    print((await asyncio.to_thread(urllib.request.urlopen, address)).status)

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    application = free.getsockname()
command = [sys.executable, "-m", "http.server", "--bind", application[0], str(application[1])]
proxy = AppProxy(application, always(session_user(EdgeSession())))
asyncio.run(serve(Launch(command, Path(), {}, application, lambda line: None), proxy, ("127.0.0.1", 0), visit))
"""
    assert install("edge-hub").run(program, server.environment).strip() == "200"


def test_edge_app_without_the_proxy_says_what_to_install(install: Install) -> None:
    program = """
from edge_applications.cli import app
from edge_applications.develop import running
from edge_core.errors import MissingPackage
try:
    running.launch(None, None, None, None, 9000, print)
except MissingPackage as error:
    print("init" in app.commands, error)
"""
    printed = install("edge-applications", "edge-cli").run(program)
    assert printed.startswith("True running an application needs its proxy; install the distribution edge-hub")


# --- edge-billing ---------------------------------------------------------------------------------


def test_usage_is_listed_and_what_tables_and_plots_need_is_named(install: Install, server: LocalServer) -> None:
    program = """
from edge.api import EdgeSession, MissingPackage
edge = EdgeSession()
found = edge.billing.query_cloud_usage()
print(all(one.org_name == edge.organization for one in found))
for call in (found.to_dataframe, edge.billing.plot):
    try:
        call()
    except MissingPackage as error:
        print(error)
"""
    shown = install("edge-billing").run(program, server.environment)
    assert shown.startswith("True\n")
    assert "python -m pip install pandas" in shown
    assert "python -m pip install matplotlib" in shown


# --- edge-cli -------------------------------------------------------------------------------------


def test_the_command_knows_who_the_user_is(cli: Environment, core: Environment, server: LocalServer) -> None:
    user = core.run(WHOAMI, server.environment).split()[0]

    assert user in run(cli.scripts / "edge", "whoami", cwd=cli.folder, env=server.environment)


def test_the_command_lists_the_plugins_there_are(cli: Environment) -> None:
    plugins = json.loads(run(cli.scripts / "edge", "plugins", "list", "--json", cwd=cli.folder))

    assert {(plugin["kind"], plugin["name"], plugin["status"]) for plugin in plugins} == {
        ("command", "plugins", "available"),
        ("command", "search", "available"),
        ("command", "versions", "available"),
        ("command", "whoami", "available"),
    }


def test_the_command_explains_itself(cli: Environment) -> None:
    assert "whoami" in run(cli.scripts / "edge", "--help", cwd=cli.folder)


# --- edge-server ----------------------------------------------------------------------------------


def test_the_server_says_that_it_is_well(server: LocalServer) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{server.environment['EDGE_API_SERVICE_URL']}/healthz") as answer:
        assert answer.status == 200


def test_the_server_gives_the_environment_of_its_clients(
    server: LocalServer, server_environment: Environment, server_data: Path
) -> None:
    printed = run(
        server_environment.python, "-I", "-m", "edge_server", "env", "--data", server_data, cwd=server_data.parent
    )

    assert f"export EDGE_API_SERVICE_URL={server.environment['EDGE_API_SERVICE_URL']}" in printed
    assert "export EDGE_API_TOKEN=" in printed


# --- the oldest libraries -------------------------------------------------------------------------


def test_the_lowest_declared_libraries_are_enough(
    install: Install, wheels: dict[str, Wheel], server: LocalServer
) -> None:
    libraries = wheels["edge-core"].requirements
    environment = install("edge-core", "edge-files", *libraries, resolution="lowest-direct")

    assert environment.run("import marshmallow; print(marshmallow.__version__)").startswith("3.26.")
    assert environment.run(FILES, server.environment).strip()
