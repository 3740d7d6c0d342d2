"""Pods that hold room for applications: what the cluster is asked for, and what the Edge server is told."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from traitlets.config import Config

import edge_hub
from edge_compute.wire import HubPlaceholder
from edge_core.errors import ConfigurationError
from edge_hub import placeholders
from edge_hub.placeholders import Placeholders, __main__, deployments
from edge_hub.placeholders.__main__ import Keeper
from edge_hub.placeholders.deployments import Deployments
from edge_hub.placeholders.edge_server import EdgeServer

TOKEN = "0123456789abcdef"
KEPT = Placeholders(image="registry.example.com/pause:3.10", priority_class="edge-placeholder", most=5)
LARGE = HubPlaceholder(uid="3f2a", quantity=2, cpu=3.5, memory=14.0, gpu=0)
SMALL = HubPlaceholder(uid="9c1b", quantity=4, cpu=0.5, memory=2.0, gpu=1)
FOREIGN = {"metadata": {"name": "web", "labels": {"app": "web"}}, "spec": {}}

client = pytest.importorskip("kubernetes_asyncio.client")


class StandInCluster:
    """Answers about the deployments of one namespace as a cluster, and starts nothing.

    Attributes:
        deployments: by name, as they were sent; `status` is what a test says.
        calls: method and name of what was changed.
        status: of all answers, where that is not to be 200.
    """

    def __init__(self) -> None:
        self.deployments: dict[str, dict[str, Any]] = {"web": FOREIGN}
        self.calls: list[tuple[str, str]] = []
        self.status = 200

    def routes(self) -> list[web.RouteDef]:
        path = "/apis/apps/v1/namespaces/hub/deployments"
        return [
            web.get(path, self._list),
            web.post(path, self._create),
            web.put(path + "/{name}", self._replace),
            web.delete(path + "/{name}", self._delete),
        ]

    def _answer(self, content: Any) -> web.Response:
        return web.json_response(content, status=self.status)

    async def _list(self, request: web.Request) -> web.Response:
        pairs = [pair.split("=") for pair in request.query["labelSelector"].split(",")]
        items = [
            each
            for each in self.deployments.values()
            if all(each["metadata"]["labels"].get(name) == value for name, value in pairs)
        ]
        return self._answer({"apiVersion": "apps/v1", "kind": "DeploymentList", "metadata": {}, "items": items})

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.calls.append(("create", body["metadata"]["name"]))
        self.deployments[body["metadata"]["name"]] = body
        return self._answer(body)

    async def _replace(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.calls.append(("replace", request.match_info["name"]))
        self.deployments[request.match_info["name"]] = body
        return self._answer(body)

    async def _delete(self, request: web.Request) -> web.Response:
        self.calls.append(("delete", request.match_info["name"]))
        del self.deployments[request.match_info["name"]]
        return self._answer({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def own(self) -> list[dict[str, Any]]:
        return [each for name, each in self.deployments.items() if name != "web"]


@pytest.fixture
def cluster() -> StandInCluster:
    return StandInCluster()


def kept(
    cluster: StandInCluster, act: Callable[[Deployments], Awaitable[Any]], pods: dict[str, Any] | None = None
) -> Any:
    """What comes of acting on the deployments of a cluster, by the client that a hub has."""

    async def run() -> Any:
        app = web.Application()
        app.add_routes(cluster.routes())
        async with serving(app) as url, client.ApiClient(client.Configuration(host=url)) as api_client:
            api = client.AppsV1Api(api_client)
            return await act(Deployments(api, KEPT, "api", {"namespace": "hub", **(pods or {})}))

    return asyncio.run(run())


class serving:
    """An application of aiohttp at a free port of loopback, whose address it gives."""

    def __init__(self, app: web.Application) -> None:
        self._runner = web.AppRunner(app)

    async def __aenter__(self) -> str:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


def keep(cluster: StandInCluster, *requested: HubPlaceholder, **pods: Any) -> dict[str, int]:
    ready: dict[str, int] = kept(cluster, lambda present: present.keep(requested), pods)
    return ready


def test_each_placeholder_is_a_deployment_of_pods_as_large_as_an_application(cluster: StandInCluster) -> None:
    assert keep(cluster, LARGE) == {"3f2a": 0}

    (deployment,) = cluster.own()
    assert deployment["spec"]["replicas"] == 2
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"] == {"cpu": "3500m", "memory": "14000000000"}
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert container["image"] == KEPT.image
    assert (pod["priorityClassName"], pod["terminationGracePeriodSeconds"]) == ("edge-placeholder", 0)
    assert pod["automountServiceAccountToken"] is False
    assert deployment["spec"]["selector"]["matchLabels"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert not {"nodeSelector", "tolerations", "schedulerName"} & set(pod)


def test_pods_go_where_those_of_applications_go(cluster: StandInCluster) -> None:
    where = {
        "node_selector": {"pool": "apps"},
        "tolerations": [{"key": "apps", "operator": "Exists"}],
        "scheduler_name": "packing",
    }

    keep(cluster, SMALL, **where)

    pod = cluster.own()[0]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"pool": "apps"}
    assert pod["tolerations"] == [{"key": "apps", "operator": "Exists"}]
    assert pod["schedulerName"] == "packing"
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_what_stays_as_it_is_is_let_alone_and_its_ready_pods_are_counted(cluster: StandInCluster) -> None:
    keep(cluster, LARGE, SMALL)
    for deployment, ready in zip(cluster.own(), (1, 9), strict=True):
        deployment["status"] = {"readyReplicas": ready}
        deployment["spec"]["template"]["spec"]["dnsPolicy"] = "ClusterFirst"  # as a cluster adds its defaults
    cluster.calls.clear()

    assert keep(cluster, LARGE, SMALL) == {"3f2a": 1, "9c1b": 3}
    assert cluster.calls == []


def test_what_changes_is_replaced_and_what_nobody_wants_any_more_goes(cluster: StandInCluster) -> None:
    keep(cluster, LARGE, SMALL)
    large, small = (deployment["metadata"]["name"] for deployment in cluster.own())
    cluster.calls.clear()

    keep(cluster, HubPlaceholder(uid="3f2a", quantity=1, cpu=3.5, memory=14.0, gpu=0))

    assert cluster.calls == [("replace", large), ("delete", small)]
    assert cluster.deployments[large]["spec"]["replicas"] == 1
    assert set(cluster.deployments) == {"web", large}


def test_no_more_pods_are_kept_than_the_operator_says_and_the_first_come_first(cluster: StandInCluster) -> None:
    keep(cluster, LARGE, SMALL, HubPlaceholder(uid="last", quantity=1000, cpu=1.0, memory=1.0, gpu=0))
    assert [deployment["spec"]["replicas"] for deployment in cluster.own()] == [2, 3, 0]


def test_those_of_another_edge_server_stay(cluster: StandInCluster) -> None:
    keep(cluster, LARGE)

    async def of_another(present: Deployments) -> None:
        other = Deployments(present._api, KEPT, "edge-two", {"namespace": "hub"})
        assert await other.keep([]) == {}

    kept(cluster, of_another)
    assert len(cluster.own()) == 1


def test_without_a_namespace_it_is_that_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployments, "_NAMESPACE", tmp_path / "namespace")
    assert deployments.own_namespace() == "default"
    (tmp_path / "namespace").write_text("hub\n")
    assert deployments.own_namespace() == "hub"


@contextmanager
def keeper_of(cluster: StandInCluster, edge: web.Application) -> Iterator[Callable[[], None]]:
    """Looks once each time it is called, and keeps its memory in between."""
    loop = asyncio.new_event_loop()
    app = web.Application()
    app.add_routes(cluster.routes())
    ours, theirs = serving(edge), serving(app)
    edge_url = loop.run_until_complete(ours.__aenter__())
    cluster_url = loop.run_until_complete(theirs.__aenter__())

    async def connect() -> Any:
        return client.ApiClient(client.Configuration(host=cluster_url))

    api_client = loop.run_until_complete(connect())
    api = client.AppsV1Api(api_client)
    keeper = Keeper(
        EdgeServer(f"{edge_url}/services/api", TOKEN), Deployments(api, KEPT, "api", {"namespace": "hub"}), KEPT.most
    )
    try:
        yield lambda: loop.run_until_complete(keeper.look())
    finally:
        for each in (api_client.close(), ours.__aexit__(), theirs.__aexit__()):
            loop.run_until_complete(each)
        loop.close()


class StandInEdge:
    """Answers as an Edge server, in pages of one.

    Attributes:
        requested: what it asks for.
        noted: what it was told last.
        status: of all answers, where that is not to be 200.
    """

    def __init__(self) -> None:
        self.requested = [LARGE, SMALL]
        self.noted: Any = None
        self.status = 200

    def app(self) -> web.Application:
        app = web.Application()
        path = "/services/api/v1"
        app.add_routes([web.get(f"{path}/placeholders", self._give), web.put(f"{path}/placeholder-states", self._take)])
        return app

    async def _give(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        first = int(request.query.get("cursor", 0))
        following = str(first + 1) if first + 1 < len(self.requested) else None
        items = [each.to_dict() for each in self.requested[first : first + 1]]
        return web.json_response({"items": items, "next": following}, status=self.status)

    async def _take(self, request: web.Request) -> web.Response:
        self.noted = await request.json()
        return web.Response(status=204)


def test_the_edge_server_says_what_to_keep_and_learns_what_is_ready(cluster: StandInCluster) -> None:
    edge = StandInEdge()
    with keeper_of(cluster, edge.app()) as look:
        look()
        assert [each["spec"]["replicas"] for each in cluster.own()] == [2, 3]
        for deployment in cluster.own():
            deployment["status"] = {"readyReplicas": 2}
        look()
    assert edge.noted == {"items": [{"uid": "3f2a", "ready": 2}, {"uid": "9c1b", "ready": 2}]}


def test_there_are_no_deployments_beyond_what_the_operator_permits(cluster: StandInCluster) -> None:
    edge = StandInEdge()
    edge.requested += [HubPlaceholder(uid=f"{n}", quantity=1, cpu=1.0, memory=1.0, gpu=0) for n in range(50)]
    with keeper_of(cluster, edge.app()) as look:
        look()
    assert len(cluster.own()) == 2
    assert [each["uid"] for each in edge.noted["items"]] == ["3f2a", "9c1b"]


@pytest.mark.parametrize("ends", ["closes", "hangs"])
def test_a_cluster_that_does_not_answer_is_logged(
    cluster: StandInCluster, ends: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung = asyncio.Event()

    async def fail(request: web.Request) -> web.Response:
        if ends == "closes" and request.transport is not None:
            request.transport.abort()
        else:
            await hung.wait()
        return web.Response()

    monkeypatch.setattr(deployments, "_PATIENCE", {"_request_timeout": 0.2})
    monkeypatch.setattr(cluster, "_list", fail)
    with keeper_of(cluster, StandInEdge().app()) as look:
        look()
        hung.set()
    (sentence,) = caplog.messages
    assert sentence.startswith("Placeholders are not looked after: the cluster does not answer")


@pytest.mark.parametrize("status", [401, 404, 500, 503])
def test_while_the_edge_server_does_not_say_what_to_keep_all_stays(
    cluster: StandInCluster, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    edge = StandInEdge()
    with keeper_of(cluster, edge.app()) as look:
        look()
        edge.status = status
        look()
        look()
        assert len(cluster.own()) == 2
        edge.status = 200
        look()
    assert caplog.messages == [
        f"Placeholders are not looked after: the Edge server answers {status} about placeholders; see its log.",
        "Placeholders are looked after again.",
    ]


def test_an_answer_of_another_version_is_logged_and_nothing_goes(
    cluster: StandInCluster, caplog: pytest.LogCaptureFixture
) -> None:
    edge = StandInEdge()
    with keeper_of(cluster, edge.app()) as look:
        look()
        edge.requested = [HubPlaceholder(uid="x", quantity="many", cpu=1.0, memory=1.0, gpu=0)]  # type: ignore[arg-type]
        look()
    assert len(cluster.own()) == 2
    assert "upgrade the Edge server and edge-hub together" in caplog.text


def test_a_refusal_of_the_cluster_is_logged_with_what_to_do(
    cluster: StandInCluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.status = 403
    with keeper_of(cluster, StandInEdge().app()) as look:
        look()
    (sentence,) = caplog.messages
    assert "the cluster answers 403 about deployments" in sentence
    assert "give the hub's service account the role" in sentence


def test_it_ends_with_its_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[None] = []

    class Counted:
        async def look(self) -> None:
            looks.append(None)

    parents = iter([7, 7, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    monkeypatch.setattr(__main__, "INTERVAL", 0)
    asyncio.run(__main__._look_while(7, Counted()))  # type: ignore[arg-type]
    assert len(looks) == 2


def test_configure_adds_the_service_that_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    c = Config()
    c.KubeSpawner.namespace = "hub"
    c.KubeSpawner.tolerations = [{"key": "apps", "operator": "Exists"}]
    edge_hub.configure(c, url="http://edge.internal:8790", api_token=TOKEN, placeholders=KEPT)

    own, keeper = c.JupyterHub.services
    assert (own["name"], keeper["name"], keeper["display"]) == ("api", "api-placeholders", False)
    assert TOKEN not in str(keeper["command"])
    environment = keeper["environment"]
    assert (environment["KUBERNETES_SERVICE_HOST"], environment[placeholders.TOKEN]) == ("10.0.0.1", TOKEN)
    assert "KUBECONFIG" not in environment
    assert json.loads(environment[placeholders.SETTINGS]) == {
        "image": KEPT.image,
        "priority_class": "edge-placeholder",
        "most": 5,
        "service": "api",
        "url": "http://edge.internal:8790/services/api",
        "pods": {"namespace": "hub", "tolerations": [{"key": "apps", "operator": "Exists"}]},
    }
    # Nothing that the keeper is opens external applications to the users of other services.
    assert "access:services" in c.JupyterHub.load_roles[0]["scopes"]


def test_what_is_not_installed_is_named_before_the_hub_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="need kubernetes_asyncio, which is not installed; install edge-hub"):
        edge_hub.configure(Config(), url="http://edge.internal:8790", api_token=TOKEN, placeholders=KEPT)


def test_without_placeholders_there_is_no_such_service() -> None:
    c = Config()
    edge_hub.configure(c, url="http://edge.internal:8790", api_token=TOKEN)
    assert len(c.JupyterHub.services) == 1
