"""Plugins: found without being imported, loaded when touched, and broken ones break only themselves."""

from __future__ import annotations

import copy
import importlib.metadata
import pickle
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_core import registry
from edge_core.errors import EdgeError, PluginAttributeError, PluginError
from edge_core.plugin import Namespace
from edge_core.registry import PluginRecord, Registry
from edge_core.session import EdgeSession
from tests.conftest import Distribute

LAB = "[edge.namespaces]\nlab = lab_plugin:Lab\n"
LAB_SOURCE = """
class Lab:
    plugin_api = 1
    def __init__(self, session):
        self.session = session
"""


@pytest.fixture
def session() -> EdgeSession:
    return EdgeSession("edg_x", "http://127.0.0.1:9", "default")


def record(session: EdgeSession, name: str, distribution: str | None = None) -> PluginRecord:
    (record,) = [
        record for record in session.namespaces() if record.name == name and distribution in (None, record.distribution)
    ]
    return record


def test_a_plugin_is_imported_when_its_attribute_is_first_touched(distribute: Distribute, session: EdgeSession) -> None:
    distribute("lab-plugin", "1.2", points=LAB, lab_plugin=LAB_SOURCE)

    assert record(session, "lab") == ("lab", "available", "lab-plugin", "1.2", "lab_plugin:Lab", None)
    assert "lab" in dir(session)
    assert "lab_plugin" not in sys.modules

    lab = session.lab  # type: ignore[attr-defined]
    assert lab.session is session
    assert session.__dict__["lab"] is lab, "the second access is a plain attribute"
    assert record(session, "lab").status == "loaded"


def test_a_plugin_loads_no_other(distribute: Distribute, session: EdgeSession) -> None:
    distribute("lab-plugin", points=LAB, lab_plugin=LAB_SOURCE)
    distribute("other-plugin", points="[edge.namespaces]\nother = other_plugin:Lab\n", other_plugin=LAB_SOURCE)
    assert session.lab  # type: ignore[attr-defined]
    assert "other_plugin" not in sys.modules


BROKEN = {
    "raises at import": ("raise RuntimeError('no licence')", "failed", "RuntimeError: no licence"),
    "exits at import": ("import sys; sys.exit(3)", "failed", "SystemExit: 3"),
    "missing library": ("import a_library_nobody_has", "failed", "No module named 'a_library_nobody_has'"),
    "object missing": ("plugin_api = 1", "failed", "has no attribute 'Lab'"),
    "not callable": ("plugin_api = 1; Lab = 42", "failed", "cannot be called"),
    "returns None": ("plugin_api = 1\ndef Lab(session): pass", "failed", "returned None"),
    "raises when made": ("plugin_api = 1\ndef Lab(session): raise KeyError('x')", "failed", "KeyError: 'x'"),
    "raises AttributeError": ("plugin_api = 1\ndef Lab(session): session.a.b", "failed", "no attribute 'a'"),
    "no contract": ("def Lab(session): return 1", "incompatible", "plugin_api = 1"),
    "contract not a number": ("plugin_api = '1'\ndef Lab(session): return 1", "incompatible", "plugin_api = 1"),
    "newer contract": ("plugin_api = 2\ndef Lab(session): return 1", "incompatible", "upgrade edge-core"),
    "older contract": ("plugin_api = 0\ndef Lab(session): return 1", "incompatible", "upgrade lab-plugin"),
}


@pytest.mark.parametrize(("source", "status", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_breaks_only_itself(
    source: str, status: str, message: str, distribute: Distribute, session: EdgeSession
) -> None:
    distribute("lab-plugin", "1.2", points=LAB, lab_plugin=source)
    distribute("good-plugin", points="[edge.namespaces]\ngood = good_plugin:Lab\n", good_plugin=LAB_SOURCE)

    with pytest.raises(PluginAttributeError, match="lab-plugin") as first:
        session.lab  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(PluginAttributeError) as second:
        session.lab  # type: ignore[attr-defined]  # noqa: B018

    assert message in str(first.value)
    assert isinstance(first.value, EdgeError)
    assert first.value is not second.value, "raised afresh"
    assert first.value.__cause__ is second.value.__cause__ is not None
    assert not hasattr(session, "lab")
    broken = record(session, "lab")
    assert broken.status == status
    assert broken.error is not None
    assert message in broken.error
    assert session.good  # type: ignore[attr-defined]
    assert copy.copy(session).organization == "default"
    assert pickle.loads(pickle.dumps(session)).organization == "default"


def test_a_contract_is_never_inherited(distribute: Distribute, session: EdgeSession) -> None:
    """A base class that comes with the core would state whatever core is installed."""
    source = "from tests.test_registry import Base\nclass Lab(Base): pass"
    distribute("lab-plugin", points=LAB, lab_plugin=source)
    with pytest.raises(PluginError, match="states no plugin contract"):
        session.lab  # type: ignore[attr-defined]  # noqa: B018


class Base(Namespace):
    plugin_api = 1


@pytest.fixture
def without_billing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if edge-billing was not installed."""
    distributions = importlib.metadata.distributions
    hidden = {str(each._path) for each in distributions() if each.name == "edge-billing"}  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(
            importlib.metadata,
            "distributions",
            lambda: (each for each in distributions() if str(each._path) not in hidden),
        )
        for module in [name for name in sys.modules if name.partition(".")[0] == "edge_billing"]:
            patch.delitem(sys.modules, module)
        registry.rescan()
        yield
    registry.rescan()


@pytest.mark.usefixtures("without_billing")
def test_a_documented_name_says_what_to_install(session: EdgeSession) -> None:
    with pytest.raises(PluginAttributeError, match=r"install the distribution edge-billing \(README, Install\)"):
        session.billing  # noqa: B018


@pytest.mark.parametrize(("typo", "meant"), [("fles", "files"), ("who_am_i", "whoami"), ("blling", "billing")])
def test_an_unknown_name_is_a_did_you_mean(typo: str, meant: str, session: EdgeSession) -> None:
    with pytest.raises(AttributeError, match=f"did you mean '{meant}'"):
        getattr(session, typo)


def test_a_strangers_name_is_never_advised(session: EdgeSession) -> None:
    with pytest.raises(AttributeError) as raised:
        session.quantum  # type: ignore[attr-defined]  # noqa: B018
    assert "install" not in str(raised.value)


def test_private_names_cost_no_scan(session: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_core.installed._distributions", lambda: pytest.fail("the metadata was scanned"))
    for name in ("_repr_html_", "__deepcopy__", "_ipython_canary_method_should_not_exist_"):
        assert not hasattr(session, name)


def test_two_distributions_with_the_same_name_are_a_conflict_the_configuration_can_settle(
    distribute: Distribute, session: EdgeSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribute("lab-plugin", "1.2", points=LAB, lab_plugin=LAB_SOURCE)
    distribute("other-lab", "0.3", points="[edge.namespaces]\nlab = other_lab:Lab\n", other_lab=LAB_SOURCE)

    with pytest.raises(PluginError) as raised:
        session.lab  # type: ignore[attr-defined]  # noqa: B018
    for part in ("lab-plugin 1.2", "other-lab 0.3", "[plugins]", "lab = "):
        assert part in str(raised.value)
    assert {record.status for record in session.namespaces() if record.name == "lab"} == {"conflict"}

    config = tmp_path / "config.ini"
    config.write_text("[plugins]\nlab = Other_Lab\n")
    config.chmod(0o600)
    monkeypatch.setenv("EDGE_CONFIG_FILE", str(config))
    session.reload_plugins()
    assert type(session.lab).__module__ == "other_lab"  # type: ignore[attr-defined]
    assert record(session, "lab", "lab-plugin").status == "blocked"


@pytest.mark.parametrize("name", ["get", "whoami", "hooks", "search", "login", "_lab", "Lab", "la-b"])
def test_a_name_that_is_the_sessions_own_or_no_name_is_blocked(
    name: str, distribute: Distribute, session: EdgeSession
) -> None:
    distribute("lab-plugin", points=f"[edge.namespaces]\n{name} = lab_plugin:Lab\n", lab_plugin=LAB_SOURCE)
    refused = record(session, name)
    assert refused.status == "blocked"
    assert refused.error is not None
    assert "lab-plugin" in refused.error
    assert name not in session.__dict__


@pytest.mark.usefixtures("without_billing")
def test_a_stranger_takes_no_documented_name_unless_configured(
    distribute: Distribute, session: EdgeSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribute("lab-plugin", points="[edge.namespaces]\nbilling = lab_plugin:Lab\n", lab_plugin=LAB_SOURCE)
    with pytest.raises(PluginError, match="belongs to edge-billing"):
        session.billing  # noqa: B018

    config = tmp_path / "config.ini"
    config.write_text("[plugins]\nbilling = lab-plugin\n")
    config.chmod(0o600)
    monkeypatch.setenv("EDGE_CONFIG_FILE", str(config))
    session.reload_plugins()
    assert type(session.billing).__module__ == "lab_plugin"


def test_a_distribution_on_the_path_twice_counts_once_and_the_first_wins(
    distribute: Distribute, session: EdgeSession
) -> None:
    distribute("lab-plugin", "1.0", points=LAB, lab_plugin=LAB_SOURCE, path="later")
    distribute("lab-plugin", "2.0", points=LAB, lab_plugin=LAB_SOURCE, path="earlier")
    assert record(session, "lab").version == "2.0"


def test_an_older_copy_further_down_the_path_adds_no_names(distribute: Distribute, session: EdgeSession) -> None:
    distribute("lab-plugin", "1.0", points=LAB, lab_plugin=LAB_SOURCE, path="later")
    distribute("lab-plugin", "2.0", points="[edge.namespaces]\nbench = lab_plugin:Lab\n", path="earlier")
    assert {record.name for record in session.namespaces()} & {"lab", "bench"} == {"bench"}


def test_damaged_metadata_hides_nothing_else(distribute: Distribute, session: EdgeSession) -> None:
    distribute("bad-plugin", points="[edge.namespaces]\nno equals sign here\n", path="bad")
    distribute("lab-plugin", points=LAB, lab_plugin=LAB_SOURCE)
    assert session.lab  # type: ignore[attr-defined]


def test_a_circular_request_is_an_error_of_the_moment_only(distribute: Distribute, session: EdgeSession) -> None:
    source = """
    plugin_api = 1
    ready = False
    def Lab(session):
        return session.bench if not ready else object()
    def Bench(session):
        return session.lab if not ready else object()
    """
    points = "[edge.namespaces]\nlab = lab_plugin:Lab\nbench = lab_plugin:Bench\n"
    distribute("lab-plugin", points=points, lab_plugin=source)
    with pytest.raises(PluginError, match="used while it was being loaded"):
        session.lab  # type: ignore[attr-defined]  # noqa: B018
    assert record(session, "lab").status == "available"
    sys.modules["lab_plugin"].ready = True  # type: ignore[attr-defined]
    assert session.lab  # type: ignore[attr-defined]
    assert session.bench  # type: ignore[attr-defined]


def test_threads_that_touch_a_slow_plugin_together_get_the_same_object(
    distribute: Distribute, session: EdgeSession
) -> None:
    source = "import time; time.sleep(0.05)\n" + LAB_SOURCE
    distribute("lab-plugin", points=LAB, lab_plugin=source)
    barrier = threading.Barrier(8)
    seen: list[object] = []

    def touch() -> None:
        barrier.wait()
        seen.append(session.lab)  # type: ignore[attr-defined]

    threads = [threading.Thread(target=touch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(seen) == 8
    assert len(set(map(id, seen))) == 1


def test_plugins_that_import_each_others_modules_from_two_threads_do_not_deadlock(
    distribute: Distribute, session: EdgeSession
) -> None:
    """Importing under a lock of ours would deadlock against the lock Python holds on each module."""
    slow = "import time; time.sleep(0.05)\nimport {other}\nplugin_api = 1\ndef Lab(session): return object()\n"
    distribute(
        "two-plugins",
        points="[edge.namespaces]\none = plugin_one:Lab\ntwo = plugin_two:Lab\n",
        plugin_one=slow.format(other="plugin_two"),
        plugin_two=slow.format(other="plugin_one"),
    )
    threads = [threading.Thread(target=getattr, args=(session, name), daemon=True) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()


def test_reload_finds_what_was_installed_since_and_makes_everything_anew(
    distribute: Distribute, session: EdgeSession
) -> None:
    distribute("lab-plugin", points=LAB, lab_plugin=LAB_SOURCE)
    old = session.lab  # type: ignore[attr-defined]
    distribute("bench-plugin", points="[edge.namespaces]\nbench = bench_plugin:Lab\n", bench_plugin=LAB_SOURCE)
    assert "bench" not in dir(session)
    session.reload_plugins()
    assert session.bench  # type: ignore[attr-defined]
    assert session.lab is not old  # type: ignore[attr-defined]


def test_sessions_share_no_plugin_objects(distribute: Distribute, session: EdgeSession) -> None:
    distribute("lab-plugin", points=LAB, lab_plugin=LAB_SOURCE)
    other = EdgeSession("edg_y", "http://127.0.0.1:9", "default")
    assert session.lab is not other.lab  # type: ignore[attr-defined]


def test_get_finds_a_namespace_by_its_class(distribute: Distribute, session: EdgeSession) -> None:
    source = """
    from edge_core.plugin import Namespace
    class Lab(Namespace):
        namespace = "lab"
        plugin_api = 1
    """
    distribute("lab-plugin", points=LAB, lab_plugin=source)
    lab = session.lab  # type: ignore[attr-defined]
    assert session.get(type(lab)) is lab

    class Impostor(Namespace):
        namespace = "lab"

    with pytest.raises(PluginError, match="not the class Impostor"):
        session.get(Impostor)


def test_other_groups_load_the_same_way(distribute: Distribute) -> None:
    distribute("lab-plugin", points="[edge.commands]\nlab = lab_plugin:Lab\n", lab_plugin=LAB_SOURCE)
    registry = Registry("edge.commands")
    assert registry.load("lab").__name__ == "Lab"
    with pytest.raises(KeyError):
        registry.load("nothing")


@pytest.mark.usefixtures("without_billing")
def test_a_plugin_named_by_a_missing_import_path_says_which_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    import edge.api
    import edge.edge_billing

    class Missing:
        """Does what Python does where the package cannot be found."""

        def find_spec(self, name: str, *_: object) -> None:
            if name == "edge_billing":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(ImportError, match="install the distribution edge-billing") as raised:
        edge.api.EdgeBilling  # noqa: B018
    assert isinstance(raised.value, PluginError)
    with pytest.raises(ImportError, match="edge-billing"):
        edge.edge_billing.BillingCloudUsage  # noqa: B018
    with pytest.raises(AttributeError):
        edge.api.S3Conection  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.usefixtures("without_billing")
def test_a_broken_distribution_behind_an_import_path_is_named_with_its_version(
    distribute: Distribute, tmp_path: Path
) -> None:
    site = distribute("edge-billing", "3.1")
    (site / "edge_billing").mkdir()
    (site / "edge_billing" / "__init__.py").write_text("raise RuntimeError('no licence')")
    import edge.edge_billing

    with pytest.raises(ImportError, match=r"edge-billing 3\.1 failed with RuntimeError: no licence"):
        edge.edge_billing.BillingCloudUsage  # noqa: B018


# --- off switches ---------------------------------------------------------------------------------


def test_a_distribution_is_switched_off_by_its_name(
    distribute: Distribute, session: EdgeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribute("Lab_Plugin", points=LAB, lab_plugin="raise SystemExit('imported')")
    monkeypatch.setenv("EDGE_DISABLE_PLUGINS", "other-plugin, lab.plugin")
    with pytest.raises(PluginAttributeError, match="EDGE_DISABLE_PLUGINS switches Lab_Plugin off; take it out"):
        session.lab  # type: ignore[attr-defined]  # noqa: B018
    assert record(session, "lab").status == "blocked"
    assert "lab" not in dir(session)
    assert session.files.list  # the others stay


@pytest.mark.parametrize(("enabled", "works"), [("", False), ("other", False), ("edge-files lab-plugin", True)])
def test_only_some_distributions_are_switched_on(
    enabled: str, works: bool, distribute: Distribute, session: EdgeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribute("lab-plugin", points=LAB, lab_plugin=LAB_SOURCE)
    monkeypatch.setenv("EDGE_ENABLE_PLUGINS", enabled)
    assert hasattr(session, "lab") is works
    assert hasattr(session, "files") is works
    if not works:
        with pytest.raises(PluginAttributeError, match="EDGE_ENABLE_PLUGINS does not name edge-files; add it"):
            session.files  # noqa: B018


def test_of_two_that_claim_a_name_either_is_switched_off(
    distribute: Distribute, session: EdgeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribute("lab-plugin", points=LAB, lab_plugin=LAB_SOURCE)
    distribute("twin-plugin", points=LAB.replace("lab_plugin", "twin"), path="twin", twin="raise SystemExit(3)")
    assert not hasattr(session, "lab")
    monkeypatch.setenv("EDGE_DISABLE_PLUGINS", "twin-plugin")
    session.reload_plugins()
    assert session.lab  # type: ignore[attr-defined]


@pytest.mark.parametrize("broken", ["raise KeyError(7)", "def Lab(session): return 1"])
def test_strictly_the_first_plugin_that_fails_raises(
    broken: str, distribute: Distribute, session: EdgeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribute("lab-plugin", points=LAB, lab_plugin=broken)
    assert not hasattr(session, "lab")
    monkeypatch.setenv("EDGE_STRICT_PLUGINS", "1")
    with pytest.raises(EdgeError, match=r"lab-plugin .*\(EDGE_STRICT_PLUGINS is set\)"):
        hasattr(session, "lab")
    with pytest.raises(EdgeError, match="lab-plugin"):
        session.files  # noqa: B018  # one that is known to be broken is passed over nowhere
    assert session.namespaces(), "listing never raises"


def test_strictly_two_that_claim_a_name_raise_at_the_first_look(
    distribute: Distribute, session: EdgeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribute("lab-plugin", points=LAB, lab_plugin=LAB_SOURCE)
    distribute("twin-plugin", points=LAB.replace("lab_plugin", "twin"), path="twin", twin=LAB_SOURCE)
    monkeypatch.setenv("EDGE_STRICT_PLUGINS", "1")
    with pytest.raises(EdgeError, match="both claim 'lab'"):
        session.files  # noqa: B018
    monkeypatch.setenv("EDGE_DISABLE_PLUGINS", "twin-plugin")
    session.reload_plugins()
    assert session.files.list


def test_strictly_a_broken_hook_is_no_warning(distribute: Distribute, monkeypatch: pytest.MonkeyPatch) -> None:
    points = "[edge.hooks]\nlab = lab_hooks\n"
    source = "from edge_core.hooks import hookimpl\nplugin_api = 1\n@hookimpl\ndef edge_respond(): pass\n"
    distribute("lab-hooks", points=points, lab_hooks=source)
    monkeypatch.setenv("EDGE_STRICT_PLUGINS", "1")
    strict = EdgeSession("edg_x", "http://127.0.0.1:9", "default")
    with pytest.raises(EdgeError, match=r"edge_respond.*\(EDGE_STRICT_PLUGINS is set\)"):
        strict.whoami()
