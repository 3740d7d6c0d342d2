"""Instance types, app profiles and placeholders, against a live server."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import update

from edge.api import (
    AlreadyExists,
    AppPlaceholder,
    AppProfile,
    AppProfileStatusEnum,
    BadEntry,
    Conflict,
    EdgeCompute,
    Forbidden,
    NotFound,
    ServerError,
)
from edge_core.session import EdgeSession
from edge_server.compute import models
from edge_server.compute.instance_types import FILE_NAME
from edge_server.data.database import SERVER
from edge_server.testing.local_server import EdgeServer

Join = Callable[..., EdgeSession]


def profile(**other: Any) -> AppProfile:
    fields: dict[str, Any] = {"name": "Large", "instance_name": "m5.xlarge", "cpu": 2.0, "gpu": 0, "memory": 8.0}
    return AppProfile(**{**fields, **other})


def when_ready(edge: EdgeSession, profile_id: str) -> AppProfile:
    deadline = time.monotonic() + 60
    while (current := edge.compute.retrieve_app_profile(profile_id)).status is not AppProfileStatusEnum.Ready:
        assert time.monotonic() < deadline, current
        time.sleep(0.05)
    return current


@pytest.fixture
def catalogue(edge_server: EdgeServer) -> Iterator[Callable[[str], None]]:
    """Puts an operator's catalogue in the place of the one that is shipped."""
    path = edge_server.data / FILE_NAME

    def write(text: str) -> None:
        path.write_text(text, encoding="utf-8")

    yield write
    path.unlink(missing_ok=True)


# --- the documented calls -----------------------------------------------------------------------


def test_the_manager_is_the_documented_class(admin: EdgeSession) -> None:
    assert type(admin.compute) is EdgeCompute


def test_the_published_calls_run_unchanged(admin: EdgeSession) -> None:
    edge = admin
    settings = AppProfile(
        uid=None,
        profile_id="lab.large",
        name="Large",
        instance_name="t3.small",
        cpu=1.5,
        gpu=0,
        memory=1.0,
        built_in=False,
        status=AppProfileStatusEnum.Pending,
        disable=False,
    )
    edge.compute.create_app_profile("lab.large", settings)
    edge.compute.create_placeholder(AppPlaceholder(uid=None, name="morning", profile_id="lab.large", quantity=2))

    assert [row.profile_id for row in edge.compute.list_app_profiles()] == [
        "lab.large",
        "edge.dashboard",
        "edge.medium",
    ]
    (placeholder,) = edge.compute.list_placeholders()
    assert placeholder.uid
    assert (placeholder.name, placeholder.profile_id) == ("morning", "lab.large")
    assert (placeholder.quantity, placeholder.disable) == (2, False)
    assert set(placeholder.to_dict()) == {"uid", "name", "profile_id", "quantity", "disable"}
    kept = edge.compute.list_app_profiles()[0]
    assert kept.uid
    assert (kept.name, kept.instance_name, kept.cpu, kept.gpu, kept.memory) == ("Large", "t3.small", 1.5, 0, 1.0)
    assert (kept.built_in, kept.disable) == (False, False)
    assert set(kept.to_dict()) == set(settings.to_dict())


def test_the_values_of_the_status() -> None:
    assert {status.name: status.value for status in AppProfileStatusEnum} == {"Pending": "pending", "Ready": "ready"}


# --- instance types -----------------------------------------------------------------------------


def test_the_shipped_catalogue_has_the_figures_of_a_public_cloud(edge_join: Join) -> None:
    edge = edge_join()
    small = edge.compute.retrieve_instance_type("t3.small")
    graphics = edge.compute.retrieve_instance_type("g5.12xlarge")

    assert (small["instance_name"], small["cpu"], small["gpu"], small["memory"]) == ("t3.small", 2.0, 0, 2.0)
    assert (graphics["cpu"], graphics["gpu"], graphics["memory"]) == (48.0, 4, 192.0)
    assert (graphics["gpu_name"], graphics["gpu_memory"]) == ("NVIDIA A10G", 96.0)
    names = [row["instance_name"] for row in edge.compute.list_instance_types()]
    assert names == sorted(names)
    assert len(names) > 20


@pytest.mark.parametrize("name", ["no-such", "", "../..", "a/b", "x" * 200, None, 7])
def test_a_missing_instance_type_is_refused(admin: EdgeSession, name: Any) -> None:
    with pytest.raises(NotFound, match="instance type"):
        admin.compute.retrieve_instance_type(name)


def test_an_operators_catalogue_replaces_the_shipped_catalogue_at_once(
    admin: EdgeSession, catalogue: Callable[[str], None]
) -> None:
    admin.compute.create_app_profile("lab.old", profile())
    when_ready(admin, "lab.old")
    catalogue('["rack.big"]\ncpu = 128\ngpu = 8\nmemory = 2048\ntitle = "The machine in the cellar"\n')

    assert [row["instance_name"] for row in admin.compute.list_instance_types()] == ["rack.big"]
    assert admin.compute.retrieve_app_profile("lab.old").status is AppProfileStatusEnum.Ready  # it keeps its status
    admin.compute.create_app_profile("lab.rack", profile(instance_name="rack.big", cpu=64, gpu=4, memory=1024))
    with pytest.raises(BadEntry, match="instance_name: there is no instance type 'm5.xlarge'"):
        admin.compute.create_app_profile("lab.new", profile())
    assert admin.compute.retrieve_app_profile("edge.medium").status is AppProfileStatusEnum.Pending


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nonsense", "is not TOML"),
        ('["a"]\nmemory = 1\n', "a.cpu: it is missing; write it as a number"),
        ('["a"]\ncpu = -1\nmemory = 1\n', "a.cpu: write it as a number above 0"),
        ('["a"]\ncpu = 1000001\nmemory = 1\n', "a.cpu: write it as a number above 0"),
        ('["a"]\ncpu = 1\nmemory = inf\n', "a.memory: write it as a number"),
        ('["a"]\ncpu = "2"\nmemory = 1\n', "a.cpu: write it as a number"),
        ('["a"]\ncpu = true\nmemory = 1\n', "a.cpu: write it as a number"),
        ('["a"]\ncpu = 1\nmemory = 1\ngpu = 0.5\n', "a.gpu: write it as a whole number"),
        ('["a"]\ncpu = 1\nmemory = 1\nprice = 3\n', "a.price: it is unknown here; an instance type has cpu"),
        ('["a"]\ncpu = 1\nmemory = 1\n["b"]\ncpu = 0\nmemory = 1\n', "b.cpu: write it as a number above 0"),
        ('["a b"]\ncpu = 1\nmemory = 1\n', "a b: it is no name"),
        ("a = 3\n", "a: write it as a table"),
        ('["a"]\ncpu = 1\nmemory = 1\ntitle = 3\n', "a.title: write it as text"),
    ],
)
def test_a_wrong_catalogue_is_reported_and_nothing_is_guessed(
    edge_server: EdgeServer, admin: EdgeSession, catalogue: Callable[[str], None], text: str, sentence: str
) -> None:
    catalogue(text)
    unhurried = EdgeSession(
        api_token=admin.config.api_token,
        service_url=edge_server.url,
        organization=admin.organization,
        retries=0,
    )
    with unhurried, pytest.raises(ServerError, match=f"catalogue is wrong: .*{sentence}"):
        unhurried.compute.list_instance_types()


# --- app profiles -------------------------------------------------------------------------------


def test_a_profile_is_pending_until_the_backend_is_ready(admin: EdgeSession) -> None:
    created = admin.compute.create_app_profile("lab.large", profile())

    assert created.status is AppProfileStatusEnum.Pending
    assert when_ready(admin, "lab.large").to_dict() == {**created.to_dict(), "status": "ready"}


def test_a_changed_machine_is_pending_again_and_a_changed_name_is_not(admin: EdgeSession) -> None:
    admin.compute.create_app_profile("lab.large", profile())
    kept = when_ready(admin, "lab.large")

    kept.name = "Larger"
    assert admin.compute.update_app_profile("lab.large", kept).status is AppProfileStatusEnum.Ready
    kept = admin.compute.retrieve_app_profile("lab.large")
    kept.memory = 16
    assert admin.compute.update_app_profile("lab.large", kept).status is AppProfileStatusEnum.Pending
    assert when_ready(admin, "lab.large").memory == 16


def test_becoming_ready_is_nobodys_conflict(admin: EdgeSession) -> None:
    created = admin.compute.create_app_profile("lab.large", profile())
    read = admin.compute.retrieve_app_profile("lab.large")
    assert created.uid == read.uid
    when_ready(admin, "lab.large")

    read.disable = True

    assert admin.compute.update_app_profile("lab.large", read).disable


def test_the_backend_says_that_it_starts_nothing(edge_join: Join) -> None:
    backend = edge_join().compute.get_backend()

    assert backend["name"] == "catalogue"
    assert backend["starts_machines"] is False
    assert "starts no machines" in backend["note"]


def test_what_is_left_out_is_all_of_the_machine(admin: EdgeSession) -> None:
    created = admin.compute.create_app_profile("lab.whole", AppProfile(instance_name="r5.large"))

    assert (created.name, created.cpu, created.gpu, created.memory) == ("lab.whole", 2.0, 0, 16.0)


def test_the_built_in_profiles_are_there_and_stay_as_they_are(admin: EdgeSession) -> None:
    for profile_id in ("edge.dashboard", "edge.medium"):
        built_in = admin.compute.retrieve_app_profile(profile_id)
        assert built_in.built_in
        assert built_in.status is AppProfileStatusEnum.Ready
        built_in.disable = True
        with pytest.raises(Conflict, match="built in"):
            admin.compute.update_app_profile(profile_id, built_in)
        with pytest.raises(Conflict, match="built in"):
            admin.compute.remove_app_profile(profile_id)
        with pytest.raises(AlreadyExists):
            admin.compute.create_app_profile(profile_id, profile())
    with pytest.raises(BadEntry, match="profile_id: ids that begin with edge"):
        admin.compute.create_app_profile("edge.mine", profile())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cpu", -1.0),
        ("cpu", 4.5),
        ("cpu", "two"),
        ("gpu", -1),
        ("gpu", 1),
        ("gpu", 0.5),
        ("memory", -0.1),
        ("memory", 17),
        ("memory", float("inf")),
        ("memory", None),
        ("instance_name", ""),
        ("instance_name", "no-such"),
        ("instance_name", "../etc"),
        ("name", "x" * 201),
        ("name", "a\x1b[2J"),
        ("disable", "yes"),
        ("status", "sleeping"),
    ],
)
def test_a_profile_that_cannot_be_is_refused_by_the_name_of_the_field(
    admin: EdgeSession, field: str, value: Any
) -> None:
    with pytest.raises(BadEntry, match=f"^{field}: "):
        admin.compute.create_app_profile("lab.bad", profile(**{field: value}))
    assert "lab.bad" not in [row.profile_id for row in admin.compute.list_app_profiles()]
    admin.compute.create_app_profile("lab.good", profile())
    kept = admin.compute.retrieve_app_profile("lab.good")
    setattr(kept, field, value)
    if field in ("instance_name", "memory") and value in ("", None):
        return  # null in an update is the default again
    with pytest.raises(BadEntry, match=f"^{field}: "):
        admin.compute.update_app_profile("lab.good", kept)


@pytest.mark.parametrize("profile_id", ["", "a b", "../x", "x" * 101, "ä", "a/b"])
def test_an_invalid_id_is_refused_and_never_sent(admin: EdgeSession, profile_id: str) -> None:
    with pytest.raises(BadEntry, match="profile_id"):
        admin.compute.create_app_profile(profile_id, profile())
    with pytest.raises(NotFound):
        admin.compute.retrieve_app_profile(profile_id)


def test_two_ids_for_a_profile_are_refused(admin: EdgeSession) -> None:
    with pytest.raises(BadEntry, match="profile_id: .*give it once"):
        admin.compute.create_app_profile("lab.one", profile(profile_id="lab.two"))
    with pytest.raises(BadEntry, match="is not a record of AppProfile"):
        admin.compute.create_app_profile("lab.one", {"name": "x"})  # type: ignore[arg-type]


def test_a_taken_id_and_a_missing_profile(admin: EdgeSession) -> None:
    admin.compute.create_app_profile("lab.large", profile())

    with pytest.raises(AlreadyExists, match="lab.large"):
        admin.compute.create_app_profile("lab.large", profile())
    for call in (
        lambda: admin.compute.retrieve_app_profile("no-such"),
        lambda: admin.compute.update_app_profile("no-such", profile()),
        lambda: admin.compute.remove_app_profile("no-such"),
    ):
        with pytest.raises(NotFound):
            call()


def test_the_later_of_two_writers_gets_a_conflict(admin: EdgeSession) -> None:
    admin.compute.create_app_profile("lab.large", profile())
    mine, theirs = (admin.compute.retrieve_app_profile("lab.large") for _ in range(2))
    mine.name, theirs.name = "Mine", "Theirs"

    admin.compute.update_app_profile("lab.large", mine)

    with pytest.raises(Conflict):
        admin.compute.update_app_profile("lab.large", theirs)
    assert admin.compute.retrieve_app_profile("lab.large").name == "Mine"
    # A record that was not read updates unconditionally.
    assert admin.compute.update_app_profile("lab.large", profile(name="By hand")).name == "By hand"


def test_of_many_that_create_an_id_at_once_the_first_succeeds(admin: EdgeSession) -> None:
    def create(n: int) -> str:
        try:
            return admin.compute.create_app_profile("lab.large", profile(name=f"number {n}")).name
        except AlreadyExists:
            return "taken"

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        outcomes = sorted(pool.map(create, range(6)))
    assert outcomes[1:] == ["taken"] * 5
    assert admin.compute.retrieve_app_profile("lab.large").name == outcomes[0]


def test_a_newer_servers_status_is_kept(edge_server: EdgeServer, admin: EdgeSession) -> None:
    admin.compute.create_app_profile("lab.large", profile())
    when_ready(admin, "lab.large")
    with edge_server.database.write(SERVER) as session:
        mine = models.AppProfile.uid == admin.compute.retrieve_app_profile("lab.large").uid
        session.execute(update(models.AppProfile).where(mine).values(status="hibernating"))

    kept = admin.compute.retrieve_app_profile("lab.large")

    assert kept.status == "hibernating"
    assert kept.to_dict()["status"] == "hibernating"
    assert kept.changes() == {}


# --- placeholders -------------------------------------------------------------------------------


def test_a_placeholder_is_read_by_name_and_by_uid_and_can_be_renamed(admin: EdgeSession) -> None:
    created = admin.compute.create_placeholder(AppPlaceholder(name="morning", profile_id="edge.medium", quantity=3))
    by_name = admin.compute.retrieve_placeholder("morning")
    assert created.uid is not None
    assert by_name == admin.compute.retrieve_placeholder(created.uid) == created

    by_name.name, by_name.quantity = "dawn", 0
    assert admin.compute.update_placeholder("morning", by_name).quantity == 0
    with pytest.raises(NotFound):
        admin.compute.retrieve_placeholder("morning")
    admin.compute.remove_placeholder("dawn")
    assert admin.compute.list_placeholders() == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quantity", -1),
        ("quantity", 1001),
        ("quantity", 1.5),
        ("quantity", "two"),
        ("name", ""),
        ("name", "a b"),
        ("profile_id", "no-such"),
        ("profile_id", ""),
        ("disable", None),
    ],
)
def test_a_placeholder_that_cannot_be_is_refused_by_the_name_of_the_field(
    admin: EdgeSession, field: str, value: Any
) -> None:
    fields: dict[str, Any] = {"name": "morning", "profile_id": "edge.medium", "quantity": 1, field: value}

    with pytest.raises(BadEntry, match=f"^{field}: "):
        admin.compute.create_placeholder(AppPlaceholder(**fields))
    assert admin.compute.list_placeholders() == []


def test_a_profile_that_a_placeholder_uses_stays(admin: EdgeSession) -> None:
    admin.compute.create_app_profile("lab.large", profile())
    admin.compute.create_placeholder(AppPlaceholder(name="morning", profile_id="lab.large"))

    with pytest.raises(Conflict, match="morning uses"):
        admin.compute.remove_app_profile("lab.large")
    admin.compute.remove_placeholder("morning")
    admin.compute.remove_app_profile("lab.large")
    with pytest.raises(NotFound):
        admin.compute.retrieve_app_profile("lab.large")


def test_taken_and_missing_placeholders(admin: EdgeSession) -> None:
    for name in ("dawn", "dusk"):
        admin.compute.create_placeholder(AppPlaceholder(name=name, profile_id="edge.medium"))
    with pytest.raises(AlreadyExists):
        admin.compute.create_placeholder(AppPlaceholder(name="dawn", profile_id="edge.medium"))
    with pytest.raises(AlreadyExists):
        admin.compute.update_placeholder("dusk", AppPlaceholder(name="dawn", profile_id="edge.medium"))
    stale, fresh = (admin.compute.retrieve_placeholder("dawn") for _ in range(2))
    stale.quantity, fresh.quantity = 2, 3
    admin.compute.update_placeholder("dawn", fresh)
    with pytest.raises(Conflict):
        admin.compute.update_placeholder("dawn", stale)
    with pytest.raises(NotFound):
        admin.compute.remove_placeholder("no-such")
    with pytest.raises(NotFound):
        admin.compute.remove_placeholder("../x")
    with pytest.raises(BadEntry, match="is not a record of AppPlaceholder"):
        admin.compute.create_placeholder("dawn")  # type: ignore[arg-type]


# --- who may ------------------------------------------------------------------------------------


def test_members_and_developers_see_profiles_and_only_admins_make_them(edge_join: Join, admin: EdgeSession) -> None:
    admin.compute.create_app_profile("lab.large", profile())
    for edge in (edge_join(), edge_join("developer")):
        assert edge.compute.retrieve_app_profile("lab.large").name == "Large"
        for call in (
            lambda edge=edge: edge.compute.create_app_profile("lab.other", profile()),
            lambda edge=edge: edge.compute.update_app_profile("lab.large", profile()),
            lambda edge=edge: edge.compute.remove_app_profile("lab.large"),
            lambda edge=edge: edge.compute.list_placeholders(),
            lambda edge=edge: edge.compute.create_placeholder(AppPlaceholder(name="x", profile_id="edge.medium")),
        ):
            with pytest.raises(Forbidden):
                call()


def test_another_organizations_profiles_are_not_there(
    edge_join: Join, admin: EdgeSession, edge_server: EdgeServer
) -> None:
    admin.compute.create_app_profile("lab.large", profile())
    placeholder = admin.compute.create_placeholder(AppPlaceholder(name="dawn", profile_id="lab.large"))
    stranger = edge_join("admin", organization=edge_server.create_organization())

    assert [row.built_in for row in stranger.compute.list_app_profiles()] == [True, True]
    for call in (
        lambda: stranger.compute.retrieve_app_profile("lab.large"),
        lambda: stranger.compute.retrieve_placeholder(placeholder.uid or ""),
    ):
        with pytest.raises(NotFound):
            call()
    with pytest.raises(BadEntry, match="profile_id"):
        stranger.compute.create_placeholder(AppPlaceholder(name="dawn", profile_id="lab.large"))


@pytest.mark.slow
def test_a_long_list_comes_whole(admin: EdgeSession) -> None:
    for n in range(105):
        admin.compute.create_placeholder(AppPlaceholder(name=f"p{n:03}", profile_id="edge.medium"))

    assert [row.name for row in admin.compute.list_placeholders()] == [f"p{n:03}" for n in range(105)]
