"""What a hub starts for an application: what the Edge server and the operator say, and nothing of a user's."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from jupyterhub.spawner import SimpleLocalProcessSpawner
from tornado.web import HTTPError

from edge_applications.launch_plan import LaunchPlan, PlanRegistry
from edge_core.errors import ConfigurationError
from edge_hub.spawning import EdgeService, SpawnHook
from edge_hub.spawning.plans import PlanService
from edge_hub.spawning.table import Entry, Table, local_command

NAME = "viz-3f2a9c1b"
LINK = "quay.io/lab/viz:1.2"
CHOICE = {"organization": "lab", "app_id": "viz", "version": None, "profile": None}
PASSWORD = "registry-password-4711"


def plan(**fields: Any) -> LaunchPlan:
    """What the Edge server says, by default of an application without limits."""
    usual: dict[str, Any] = {
        "server_name": NAME,
        "user_name": "ada",
        "organization": "lab",
        "app_id": "viz",
        "version": "1.2",
        "title": "Viz",
        "kind": "native",
        "framework": None,
        "link": LINK,
    }
    return LaunchPlan(**{**usual, **fields})


class Edge(PlanService):
    """An Edge server that has an answer ready."""

    def __init__(self, answer: LaunchPlan) -> None:
        super().__init__("http://127.0.0.1:1", "token")
        self.answer = answer
        self.questions: list[tuple[str, str, dict[str, str | None]]] = []

    async def plan(self, user_name: str, server_name: str, choice: Mapping[str, str | None]) -> LaunchPlan:
        self.questions.append((user_name, server_name, dict(choice)))
        return self.answer


URL = "http://127.0.0.1:8000/services/api"


def spawner_of(kind: Callable[..., Any] = SimpleLocalProcessSpawner, **options: Any) -> Any:
    """A spawner of ada's server, as the hub makes it."""
    user = types.SimpleNamespace(name="ada", id=1, url="/user/ada/", escaped_name="ada")
    hub = types.SimpleNamespace(public_host="", url="/hub/", base_url="/hub/", api_url="http://127.0.0.1:1/hub/api")
    spawner: Any = kind(
        user=user, hub=hub, orm_spawner=types.SimpleNamespace(name=NAME, user_options=None, server=None)
    )
    for name, value in options.items():
        setattr(spawner, name, value)
    spawner.user_options = {"edge": dict(CHOICE)}
    return spawner


def start(spawner: Any, edge: PlanService, table: Table | None = None, before: Any = None) -> None:
    """What the hub does before it starts a server."""

    async def run() -> None:
        await SpawnHook(EdgeService("api", edge, table, URL), before)(spawner)

    asyncio.run(run())


def refusal(spawner: Any, edge: PlanService, table: Table | None = None) -> tuple[int, str]:
    """Status and sentence of a start that is refused."""
    with pytest.raises(HTTPError) as refused:
        start(spawner, edge, table)
    return refused.value.status_code, str(refused.value.log_message)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """A table with one application."""
    (tmp_path / "viz").mkdir()
    path = tmp_path / "applications.toml"
    path.write_text(entry_text(tmp_path / "viz"))
    return Table(path)


def entry_text(place: Path, **values: Any) -> str:
    entry = {"app_id": "viz", "version": "1.2", "folder": str(place), "command": [sys.executable, "app.py"], **values}
    lines = [f"{name} = {json.dumps(value)}" for name, value in entry.items() if value is not None]
    return "\n".join(["[[application]]", *lines, ""])


# --- on a machine without an engine ---------------------------------------------------------------


def test_a_process_runs_what_the_operators_table_has(table: Table) -> None:
    edge = Edge(plan(profile_id="small", cpu=0.5, memory=2, idle_minutes=5))
    spawner = spawner_of(cmd=["jupyterhub-singleuser"], args=["--debug"], environment={"LANG": "C.UTF-8"})

    start(spawner, edge, table)

    assert edge.questions == [("ada", NAME, CHOICE)]
    folder = str(table.path.parent / "viz")
    assert spawner.cmd == [
        *(sys.executable, "-P", "-m", "edge_hub.app_proxy", "--folder", folder, "--app", "127.0.0.1:0", "--"),
        *(sys.executable, "app.py"),
    ]
    assert spawner.args == []
    assert (spawner.cpu_limit, spawner.mem_limit) == (0.5, 2_000_000_000)
    assert spawner.environment == {
        "LANG": "C.UTF-8",
        "EDGE_APP_IDENTITY": "hub",
        "EDGE_APP_ID": "viz",
        "EDGE_APP_VERSION": "1.2",
        "EDGE_API_ORG": "lab",
        "EDGE_API_SERVICE_URL": URL,
    }
    chosen = {"edge": {"service": "api", "organization": "lab", "app_id": "viz", "version": "1.2", "profile": "small"}}
    assert spawner.user_options == spawner.orm_spawner.user_options == chosen


def test_each_edge_server_of_a_hub_says_what_its_own_applications_run(table: Table) -> None:
    first, second = Edge(plan(version="1.2")), Edge(plan(version="1.2"))
    order: list[str] = []
    hook = SpawnHook(EdgeService("api", first, table, URL), lambda spawner: order.append(spawner.name))
    hook = SpawnHook(EdgeService("second", second, table, "http://127.0.0.1:8000/services/second"), hook)
    for name, edge in (("second", second), ("api", first), (None, first)):
        spawner = spawner_of()
        spawner.user_options = {"edge": {**CHOICE, "service": name}}
        asyncio.run(hook(spawner))
        assert spawner.user_options["edge"]["service"] == (name or "api")
        assert spawner.environment["EDGE_API_SERVICE_URL"].endswith(name or "api")
        assert edge.questions.pop() == ("ada", NAME, CHOICE)
    assert order == [NAME] * 3
    spawner.user_options = {"edge": {**CHOICE, "service": "third"}}
    with pytest.raises(HTTPError, match="no Edge server of that name"):
        asyncio.run(hook(spawner))
    assert (first.questions, second.questions) == ([], [])


def test_a_link_alone_runs_nothing_here(table: Table) -> None:
    status, sentence = refusal(spawner_of(), Edge(plan()))
    assert (status, LINK in sentence, "no engine that runs images" in sentence) == (403, True, True)
    spawner = spawner_of(cmd=["jupyterhub-singleuser"])
    status, sentence = refusal(spawner, Edge(plan(version="1.3")), table)
    assert (status, "is not in the hub's table of applications" in sentence) == (403, True)
    assert spawner.cmd == ["jupyterhub-singleuser"]


def test_the_table_is_read_at_each_start(table: Table, tmp_path: Path) -> None:
    table.path.write_text("")
    assert refusal(spawner_of(), Edge(plan()), table)[0] == 403
    table.path.write_text(entry_text(tmp_path / "viz"))
    start(spawner_of(), Edge(plan()), table)
    table.path.write_text("[[")
    status, sentence = refusal(spawner_of(), Edge(plan()), table)
    assert (status, "table of applications has mistakes" in sentence, str(tmp_path) in sentence) == (424, True, False)


@pytest.mark.skipif(os.name != "posix", reason="Windows has other rights")
def test_a_table_that_everybody_can_write_runs_nothing(table: Table) -> None:
    table.path.chmod(0o666)
    with pytest.raises(ConfigurationError, match="can be written by everybody.* run: chmod o-w"):
        table.entries()
    assert refusal(spawner_of(), Edge(plan()), table)[0] == 424


def test_an_entry_of_the_organization_comes_before_an_entry_of_any(table: Table, tmp_path: Path) -> None:
    own, anybody = tmp_path / "own", tmp_path / "any"
    own.mkdir()
    anybody.mkdir()
    table.path.write_text(entry_text(anybody) + entry_text(own, organization="lab"))

    assert table.find("lab", "viz", "1.2") == Entry("lab", "viz", "1.2", own, (sys.executable, "app.py"))
    shared = table.find("plant", "viz", "1.2")
    assert shared is not None
    assert shared.folder == anybody
    assert table.find("lab", "viz", "1") is None
    assert "--folder" in local_command(shared)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"app_id": None}, "application 1: app_id is missing"),
        ({"version": 1.2}, "application 1: version is missing"),
        ({"folder": "viz"}, "application 1: viz is no folder; name one by its whole path"),
        ({"folder": "/none/of/that"}, "is no folder"),
        ({"command": "python app.py"}, "command is no list of words"),
        ({"command": []}, "command is no list of words"),
        ({"command": ["python", "app.py"]}, "python is no program; name one by its whole path"),
        ({"command": ["/"]}, "/ is no program"),
        ({"organization": 1}, "organization is no text"),
        ({"image": "x"}, "'image' is no key of an application; use app_id, command, folder, organization, version"),
    ],
)
def test_a_wrong_entry_is_a_sentence(values: dict[str, Any], sentence: str, table: Table, tmp_path: Path) -> None:
    table.path.write_text(entry_text(tmp_path / "viz", **values))
    with pytest.raises(ConfigurationError) as wrong:
        table.entries()
    assert sentence in str(wrong.value)


def test_each_wrong_entry_has_its_sentence(table: Table, tmp_path: Path) -> None:
    good = entry_text(tmp_path / "viz")
    table.path.write_text(good + entry_text(tmp_path / "none") + good)
    with pytest.raises(ConfigurationError) as wrong:
        table.entries()
    assert "application 2: " in str(wrong.value)
    assert "application 3: viz 1.2 is there already" in str(wrong.value)
    table.path.write_text("[application]\n")
    with pytest.raises(ConfigurationError, match="something else than"):
        table.entries()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Table(tmp_path / "none.toml").entries()


# --- what a user sends ----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, None, {"profile": "x"}, {"image": "evil"}])
def test_another_server_stays_what_it_is(options: dict[str, Any] | None) -> None:
    spawner = spawner_of(cmd=["jupyterhub-singleuser"])
    spawner.user_options = options or {}

    edge = Edge(plan())
    start(spawner, edge)

    assert (spawner.cmd, spawner.environment, edge.questions) == (["jupyterhub-singleuser"], {}, [])


@pytest.mark.parametrize(
    "options",
    [
        {"edge": CHOICE, "image": "evil"},
        {"edge": CHOICE, "profile": "large"},
        {"edge": {**CHOICE, "command": ["sh"]}},
        {"edge": {**CHOICE, "user_name": "bob"}},
        {"edge": {**CHOICE, "app_id": None}},
        {"edge": {**CHOICE, "version": 1}},
        {"edge": {"app_id": "viz"}},
        {"edge": "viz"},
        {"edge": None},
        {"edge": []},
    ],
)
def test_options_that_say_more_than_which_application_are_refused(options: dict[str, Any], table: Table) -> None:
    spawner = spawner_of()
    spawner.user_options = options
    edge = Edge(plan())

    assert refusal(spawner, edge, table)[0] == 400
    assert edge.questions == []


def test_an_answer_for_another_server_starts_nothing(table: Table) -> None:
    assert refusal(spawner_of(), Edge(plan(user_name="bob")), table)[0] == 424
    assert refusal(spawner_of(), Edge(plan(server_name="other-3f2a9c1b")), table)[0] == 424


def test_a_hook_of_the_operator_comes_first(table: Table) -> None:
    async def before(spawner: Any) -> None:
        spawner.cmd = ["before"]
        spawner.environment = {"OF": "operator"}

    spawner = spawner_of()
    start(spawner, Edge(plan()), table, before)
    assert spawner.cmd[0] == sys.executable
    assert spawner.environment["OF"] == "operator"

    other = spawner_of()
    other.user_options = {}
    start(other, Edge(plan()), table, lambda spawner: spawner.environment.update({"OF": "operator"}))
    assert other.environment == {"OF": "operator"}


# --- what the Edge server answers -----------------------------------------------------------------


def answered(status: int, body: Any) -> tuple[int, str]:
    """Status and sentence of a start for which the Edge server gives an answer."""

    async def run() -> tuple[int, str]:
        async def answer(request: web.BaseRequest) -> web.Response:
            assert request.headers["Authorization"] == f"Bearer {PASSWORD}"
            assert request.path == "/services/api/v1/launch-plans"
            assert await request.json() == {"user_name": "ada", "server_name": NAME, **CHOICE}
            return web.Response(status=status, text=body if isinstance(body, str) else json.dumps(body))

        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/services/api"
        try:
            with pytest.raises(HTTPError) as refused:
                await SpawnHook(EdgeService("api", PlanService(url, PASSWORD), None, URL))(spawner_of())
            return refused.value.status_code, str(refused.value.log_message)
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def test_the_edge_servers_sentence_is_the_users() -> None:
    detail = "no application can be launched in lab, as its launching is disabled; ask a server admin"
    assert answered(409, {"detail": detail, "code": "conflict"}) == (409, f"N{detail[1:]}.")
    assert answered(404, {"detail": "100% of it is missing"}) == (404, "100%% of it is missing.")


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, {"detail": "this needs an API token"}, "does not take the hub's token"),
        (403, {"detail": "this is for the JupyterHub"}, "does not take the hub's token"),
        (503, {"detail": "busy"}, "does not say what to run"),
        (500, "<html>", "does not answer"),
        (200, [], "of another version"),
        (200, {"app_id": "viz"}, "of another version"),
        (302, {}, "does not say what to run"),
    ],
)
def test_an_edge_server_that_does_not_say_what_to_run_starts_nothing(status: int, body: Any, words: str) -> None:
    answer = answered(status, body)
    # Below 500: a hub ends itself after some failures of its own.
    assert (answer[0], words in answer[1]) == (424, True)


def test_while_the_edge_server_is_away_nothing_is_started() -> None:
    status, sentence = refusal(spawner_of(), PlanService("http://127.0.0.1:1", PASSWORD))
    assert (status, "does not answer" in sentence, PASSWORD in sentence) == (424, True, False)


# --- with an engine -------------------------------------------------------------------------------


class Engine:
    """Docker's part: what a DockerSpawner asks of it."""

    def __init__(self, answer: str | Exception = '{"status": "Pulled"}') -> None:
        self.answer = answer
        self.calls: list[tuple[Any, ...]] = []

    async def docker(self, method: str, *arguments: Any, **options: Any) -> str:
        self.calls.append((method, *arguments, options))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def docker_spawner(engine: Engine, **options: Any) -> Any:
    spawner = spawner_of(pytest.importorskip("dockerspawner").DockerSpawner, **options)
    spawner.docker = engine.docker
    return spawner


def test_a_container_is_of_the_image_with_the_limits_and_nothing_of_the_notebooks() -> None:
    engine = Engine()
    spawner = docker_spawner(
        engine,
        image="notebook",
        cmd=["start-notebook"],
        volumes={"home-{username}": "/home/jovyan"},
        read_only_volumes={"/etc/hub": "/hub"},
        mounts=[{"source": "/srv", "target": "/srv", "type": "bind"}],
        allowed_images={"evil": "evil"},
        extra_host_config={"network_mode": "apps"},
    )
    registry = PlanRegistry(domain="quay.io", username="robot", password=PASSWORD)

    start(spawner, Edge(plan(cpu=1.5, memory=14, gpu=1, registry=registry, volume_mount_point="/data")))

    assert (spawner.image, spawner.cmd, spawner.args, spawner.remove) == (LINK, None, [], True)
    assert (spawner.cpu_limit, spawner.mem_limit) == (1.5, 14_000_000_000)
    ((volume, mount),) = spawner.volume_binds.items()
    assert volume.startswith(f"edge-{NAME}-")
    assert mount == {"bind": "/data", "mode": "rw"}
    assert spawner.mounts == []
    assert spawner.extra_host_config == {
        "network_mode": "apps",
        "device_requests": [{"count": 1, "capabilities": [["gpu"]]}],
    }
    login = {"username": "robot", "password": PASSWORD}
    assert engine.calls == [("pull", "quay.io/lab/viz", {"tag": "1.2", "auth_config": login})]
    assert spawner.pull_policy == "never"
    assert spawner.user_options["edge"]["version"] == "1.2"
    assert "image" not in spawner.user_options


@pytest.mark.parametrize(
    ("link", "repository", "tag"),
    [
        ("localhost:5000/viz:1", "localhost:5000/viz", "1"),
        (f"localhost:5000/viz:1@sha256:{'0' * 64}", "localhost:5000/viz", f"sha256:{'0' * 64}"),
        (f"quay.io/lab/viz@sha256:{'0' * 64}", "quay.io/lab/viz", f"sha256:{'0' * 64}"),
    ],
)
def test_an_image_is_fetched_without_the_operators_credentials(link: str, repository: str, tag: str) -> None:
    engine = Engine()
    start(docker_spawner(engine), Edge(plan(link=link)))
    assert engine.calls == [("pull", repository, {"tag": tag, "auth_config": {}})]


@pytest.mark.parametrize(
    "answer",
    [
        '{"status": "Pulling"}\r\n{"errorDetail": {"message": "denied"}, "error": "denied"}\r\n',
        RuntimeError(f"the registry was sent {PASSWORD}"),
    ],
)
def test_an_image_that_cannot_be_fetched_is_not_taken_from_what_others_have(
    answer: str | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    registry = PlanRegistry(domain="quay.io", username="robot", password=PASSWORD)
    with caplog.at_level(logging.DEBUG):
        status, sentence = refusal(docker_spawner(Engine(answer)), Edge(plan(registry=registry)))
    assert (status, "cannot be fetched" in sentence) == (424, True)
    assert PASSWORD not in sentence + caplog.text


@pytest.mark.parametrize("link", ["viz", "--privileged", "quay.io/lab/{username}:1", "quay.io/lab/viz:1; sh", ""])
def test_what_is_no_image_is_not_started(link: str) -> None:
    engine = Engine()
    assert refusal(docker_spawner(engine), Edge(plan(link=link)))[0] == 409
    assert engine.calls == []


@pytest.mark.parametrize("mount", ["data", "/", "/a/../etc", "/a:/b", "/{username}", "/a b", "/a,b", ""])
def test_what_is_no_plain_path_is_not_mounted(mount: str) -> None:
    assert refusal(docker_spawner(Engine()), Edge(plan(volume_mount_point=mount)))[0] == 409


def test_a_swarm_is_refused() -> None:
    swarm = spawner_of(pytest.importorskip("dockerspawner").SwarmSpawner)
    assert refusal(swarm, Edge(plan())) == (
        424,
        "edge-hub does not know how SwarmSpawner fetches images; its operator uses DockerSpawner or KubeSpawner.",
    )


class Cluster:
    """Kubernetes' part: it keeps secrets and claims of volumes, in namespaces that are there."""

    def __init__(self, *namespaces: str) -> None:
        self.namespaces = set(namespaces)
        self.secrets: dict[str, Any] = {}
        self.claims: dict[tuple[str, str], Any] = {}

    async def create_namespaced_secret(self, namespace: str, secret: Any) -> None:
        from kubernetes_asyncio.client import ApiException

        self._need(namespace)
        if secret.metadata.name in self.secrets:
            raise ApiException(status=409)
        self.secrets[secret.metadata.name] = (namespace, secret)

    async def replace_namespaced_secret(self, name: str, namespace: str, secret: Any) -> None:
        assert name in self.secrets
        self.secrets[name] = (namespace, secret)

    async def read_namespaced_persistent_volume_claim(self, name: str, namespace: str) -> Any:
        from kubernetes_asyncio.client import ApiException

        if (namespace, name) not in self.claims:
            raise ApiException(status=404)
        return self.claims[namespace, name]

    async def create_namespaced_persistent_volume_claim(self, namespace: str, claim: Any) -> None:
        self._need(namespace)
        assert (namespace, claim.metadata.name) not in self.claims
        self.claims[namespace, claim.metadata.name] = claim

    async def delete_namespaced_persistent_volume_claim(self, name: str, namespace: str, **_: Any) -> None:
        from kubernetes_asyncio.client import ApiException

        if self.claims.pop((namespace, name), None) is None:
            raise ApiException(status=404)

    def _need(self, namespace: str) -> None:
        from kubernetes_asyncio.client import ApiException

        if namespace not in self.namespaces:
            raise ApiException(status=404)


@pytest.fixture
def kube(monkeypatch: pytest.MonkeyPatch) -> Any:
    """KubeSpawner, where there is no cluster."""
    module = pytest.importorskip("kubespawner.spawner")

    monkeypatch.setattr(module, "load_config", lambda **_: None)
    monkeypatch.setattr(module, "shared_client", lambda *_, **__: Cluster("apps"))
    return module.KubeSpawner


def test_a_pod_is_of_the_image_with_the_limits_and_nothing_of_the_notebooks(kube: Any) -> None:
    spawner = spawner_of(
        kube,
        namespace="apps",
        image="notebook",
        cmd=["start-notebook"],
        image_pull_secrets=[{"name": "of-the-operator"}],
        profile_list=[{"display_name": "large", "kubespawner_override": {"image": "evil"}}],
        volumes=[{"name": "home", "persistentVolumeClaim": {"claimName": "home-{username}"}}],
        volume_mounts=[{"name": "home", "mountPath": "/home/jovyan"}],
        cpu_guarantee=4,
        mem_guarantee="64G",
        storage_pvc_ensure=True,
    )
    cluster = spawner.api = Cluster("apps")
    registry = PlanRegistry(domain="quay.io", username="robot", password=PASSWORD)

    for _ in range(2):
        spawner.user_options = {"edge": dict(CHOICE)}
        start(
            spawner,
            Edge(
                plan(cpu=1.5, memory=14, gpu=2, registry=registry, volume_mount_point="/data", suggested_volume_size=20)
            ),
        )

    assert (spawner.image, spawner.cmd, spawner.args) == (LINK, None, [])
    assert (spawner.cpu_limit, spawner.mem_limit) == (1.5, 14_000_000_000)
    assert (spawner.cpu_guarantee, spawner.mem_guarantee) == (None, None)
    assert spawner.extra_resource_limits == {"nvidia.com/gpu": "2"}
    assert (spawner.profile_list, spawner.image_pull_policy) == ([], "Always")
    assert spawner.volume_mounts == [{"name": "edge-volume", "mountPath": "/data"}]
    (((namespace, name), claim),) = cluster.claims.items()
    assert spawner.volumes == [{"name": "edge-volume", "persistentVolumeClaim": {"claimName": name}}]
    assert (namespace, name.startswith(f"{NAME}-"), claim.metadata.name) == ("apps", True, name)
    assert claim.spec.resources.requests == {"storage": "20G"}
    assert spawner.storage_pvc_ensure is False
    ((name, (namespace, secret)),) = cluster.secrets.items()
    assert spawner.image_pull_secrets == [{"name": name}]
    assert (namespace, secret.type) == ("apps", "kubernetes.io/dockerconfigjson")
    kept = json.loads(base64.b64decode(secret.data[".dockerconfigjson"]))
    assert kept["auths"]["quay.io"]["password"] == PASSWORD
    pod = asyncio.run(spawner.get_pod_manifest())
    (container,) = pod.spec.containers
    assert (container.image, container.image_pull_policy, container.args) == (LINK, "Always", None)
    assert container.resources.limits == {"cpu": 1.5, "memory": 14_000_000_000, "nvidia.com/gpu": "2"}
    assert container.resources.requests == {}
    assert {"EDGE_APP_IDENTITY": "hub", "EDGE_API_ORG": "lab"}.items() <= {
        e.name: e.value for e in container.env
    }.items()
    assert PASSWORD not in str(pod)

    start(again := spawner_of(kube, image_pull_secrets=[{"name": "of-the-operator"}]), Edge(plan()))
    assert (again.image_pull_secrets, again.volumes, again.storage_pvc_ensure) == ([], [], False)


def test_what_fits_the_notebooks_image_alone_stays_out_of_a_pod(kube: Any) -> None:
    home = {"name": "home", "mountPath": "/home/jovyan"}
    fixer, firewall = (
        {"name": "fixer", "image": "busybox", "volumeMounts": [home]},
        {"name": "firewall", "image": "iptables"},
    )
    spawner = spawner_of(
        kube,
        working_dir="/home/jovyan",
        lifecycle_hooks={"postStart": {"exec": {"command": ["cp", "-r", "/etc/skel", "/home/jovyan"]}}},
        port=9999,
        init_containers=[fixer, firewall],
        extra_containers={"a": fixer, "b": firewall},
    )

    start(spawner, Edge(plan()))

    pod = asyncio.run(spawner.get_pod_manifest())
    container = pod.spec.containers[0]
    assert (container.working_dir, container.lifecycle, container.ports[0].container_port) == (None, {}, 8888)
    assert (spawner.init_containers, spawner.extra_containers) == ([firewall], {"b": firewall})


def test_an_app_can_write_its_volume_whichever_user_it_is(kube: Any) -> None:
    start(spawner := spawner_of(kube, namespace="apps"), Edge(plan(volume_mount_point="/data")))
    assert asyncio.run(spawner.get_pod_manifest()).spec.security_context["fsGroup"] == 100
    start(spawner := spawner_of(kube, namespace="apps", fs_gid=2000), Edge(plan(volume_mount_point="/data")))
    assert asyncio.run(spawner.get_pod_manifest()).spec.security_context["fsGroup"] == 2000


def test_a_volume_stays_when_its_server_is_deleted_at_the_hub(kube: Any) -> None:
    spawner = spawner_of(kube, namespace="apps")
    cluster = spawner.api = Cluster("apps")
    start(spawner, Edge(plan(volume_mount_point="/data")))
    of_a_hub_that_was_started_again = spawner_of(kube)
    of_a_hub_that_was_started_again.load_state(spawner.get_state())
    of_a_hub_that_was_started_again.api = cluster

    for each in (spawner, of_a_hub_that_was_started_again):
        asyncio.run(each.delete_forever())

    assert len(cluster.claims) == 1


def test_a_users_namespace_is_there_before_what_is_kept_in_it(kube: Any) -> None:
    modified: list[Any] = []
    spawner = spawner_of(
        kube,
        enable_user_namespaces=True,
        namespace="user-ada",
        modify_pod_hook=lambda _, pod: modified.append(pod) or pod,
    )
    cluster = spawner.api = Cluster()
    registry = PlanRegistry(domain="quay.io", username="robot", password=PASSWORD)

    async def go_on() -> Any:
        return await spawner.modify_pod_hook(spawner, "the pod")

    for _ in range(2):
        spawner.user_options = {"edge": dict(CHOICE)}
        start(spawner, Edge(plan(registry=registry, volume_mount_point="/data")))
        if not cluster.namespaces:
            with pytest.raises(HTTPError, match="does not keep the registry's credentials"):
                asyncio.run(go_on())
        cluster.namespaces.add("user-ada")  # as KubeSpawner does then
        assert asyncio.run(go_on()) == "the pod"

    assert modified == ["the pod", "the pod"]
    assert [namespace for namespace, _ in cluster.claims] == ["user-ada"]
    assert [namespace for namespace, _ in cluster.secrets.values()] == ["user-ada"]


def test_the_log_says_how_the_cluster_refuses(kube: Any, caplog: pytest.LogCaptureFixture) -> None:
    spawner = spawner_of(kube, namespace="apps")
    spawner.api = Cluster()
    status, sentence = refusal(spawner, Edge(plan(volume_mount_point="/data")))
    assert (status, sentence.partition(";")[0]) == (424, "The cluster does not keep the volume")
    assert "(ApiException, status 404)" in caplog.text


def test_the_log_says_what_kept_a_pod_from_starting(
    kube: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stopped: list[Any] = []
    spawner = spawner_of(kube, post_stop_hook=stopped.append)
    for _ in range(2):
        spawner.user_options = {"edge": dict(CHOICE)}
        start(spawner, Edge(plan()))
    events = [
        ("Scheduled", "to node 1"),
        ("FailedMount", "the volume\nis gone"),
        ("FailedMount", "the volume\nis gone"),
    ]
    monkeypatch.setattr(kube, "events", [{"reason": reason, "message": message} for reason, message in events])

    spawner.run_post_stop_hook()

    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"The pod of ada {spawner.name}: the volume is gone"
    ]
    assert stopped == [spawner]


def test_credentials_that_the_cluster_does_not_keep_are_in_no_log(kube: Any, caplog: pytest.LogCaptureFixture) -> None:
    spawner = spawner_of(kube)

    async def fail(*_: Any) -> None:
        raise RuntimeError(PASSWORD)

    spawner.api = types.SimpleNamespace(create_namespaced_secret=fail)
    registry = PlanRegistry(domain="quay.io", username="robot", password=PASSWORD)
    with caplog.at_level(logging.DEBUG):
        status, sentence = refusal(spawner, Edge(plan(registry=registry)))
    assert (status, "does not keep" in sentence) == (424, True)
    assert PASSWORD not in sentence + caplog.text
    assert PASSWORD not in repr(plan(registry=registry))
