"""The contract kit catches what it is for: for each rule a plugin that breaks it and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests  # noqa: F401  # here, since pytester unloads what its runs load, and it cannot be loaded twice

from edge_testing.contract import PluginContract
from tests.conftest import Distribute

pytest_plugins = ["pytester"]

RULES = sorted(name for name in vars(PluginContract) if name.startswith("test_"))

NAMESPACE = """
from edge_core.plugin import Namespace
from edge_core.records import Record

class Note(Record):
    name: str
    text: str = ""

class Lab(Namespace):
    namespace = "lab"
    plugin_api = 1

    def read(self) -> Note:
        return Note.from_answer(self.http.get("/notes/n1"))

    def list(self) -> object:
        return self.http.items("/notes", make=Note.from_answer)
"""

POINTS = """
[edge.namespaces]
lab = lab_plugin.namespace:Lab
"""

TEST = """
from pathlib import Path
from edge_testing.contract import Call, Listing, PluginContract
from lab_plugin.namespace import Lab

class TestContract(PluginContract):
    distribution = "lab-plugin"
    kind = Lab
    project = PROJECT
    calls = [
        Call("read", lambda lab: lab.read(), {"name": "n1", "text": "rinsed"}),
        Listing("list", lambda lab: lab.list(), lambda n: {"name": f"n{n}"}),
    ]
"""

SETUP = """
[metadata]
name = lab-plugin
version = 1.0

[options]
packages = find:

[options.package_data]
lab_plugin = py.typed
"""


BUILD = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
"""


class Plugin(NamedTuple):
    """What differs from a plugin that keeps every rule.

    Attributes:
        rule: the one it breaks, without ``test_``; empty for none.
        what: how.
        change: text of the good module -> what stands there instead.
        points: further entry points.
        site: further files beside the installed package; None takes one away.
        project: the same of the folder its wheel is built from.
        kit: further lines of its contract test.
        also: a rule that cannot but break with it.
    """

    rule: str
    what: str
    change: tuple[str, str] = ("", "")
    points: str = ""
    site: dict[str, str | None] = {}
    project: dict[str, str | None] = {}
    kit: str = ""
    also: str = ""


READ = 'return Note.from_answer(self.http.get("/notes/n1"))'
LIST = 'return self.http.items("/notes", make=Note.from_answer)'
HEAD = "from edge_core.plugin import Namespace"
API = "    plugin_api = 1\n"

PLUGINS = [
    Plugin("", "keeps every rule"),
    Plugin(
        "everything_it_brings_loads",
        "a command that states no contract",
        points="[edge.commands]\nlab = lab_plugin.cli:lab\n",
        site={"lab_plugin/cli.py": "def lab(): pass\n"},
    ),
    Plugin("its_names_follow_the_rules", "one of ours, of three names", kit="first_party = True"),
    Plugin(
        "its_openers_can_be_used",
        "a save that takes the value first and nothing else",
        points="[edge.openers]\nfasta = lab_plugin.openers:FastaOpener\n",
        site={
            "lab_plugin/openers.py": """
plugin_api = 1

class FastaOpener:
    suffixes = (".fasta",)

    def open(self, file, encoding="ascii"):
        return file.read().decode(encoding)

    def save(self, value):
        pass
"""
        },
    ),
    Plugin(
        "it_is_typed", "a method without types", change=("def read(self) -> Note", "def read(self, which=None) -> Note")
    ),
    Plugin("it_is_typed", "installed without py.typed", site={"lab_plugin/py.typed": None}),
    Plugin(
        "get_gives_its_class",
        "a class that states another name",
        change=('namespace = "lab"', 'namespace = "lims"'),
    ),
    Plugin(
        "listing_imports_nothing",
        "imports itself when Python starts",
        site={"sitecustomize.py": "import lab_plugin\n"},
    ),
    Plugin("importing_loads_nothing_heavy", "numpy at import", change=(HEAD, f"import numpy\n{HEAD}")),
    Plugin(
        "the_second_access_is_a_plain_attribute",
        "one object for all sessions",
        change=(
            API,
            f"""{API}
    _only = None
    def __new__(cls, session):
        cls._only = cls._only or super().__new__(cls)
        return cls._only
""",
        ),
    ),
    Plugin(
        "touching_it_asks_the_server_nothing",
        "greets the server when touched",
        change=(
            API,
            f"""{API}
    def __init__(self, session):
        super().__init__(session)
        try:
            self.http.get("/hello")
        except Exception:
            pass
""",
        ),
        also="lists_are_lazy",
    ),
    Plugin(
        "it_imports_no_other_plugin",
        "the server, inside a method",
        change=(READ, f"import edge_server.base.clock\n        {READ}"),
    ),
    Plugin("it_imports_no_other_plugin", "another namespace", change=(HEAD, f"import edge_files\n{HEAD}")),
    Plugin(
        "only_errors_of_edge_come_out",
        "trusts the answer's form",
        change=(READ, f'self.http.get("/notes/n1")["name"]\n        {READ}'),
    ),
    Plugin(
        "only_errors_of_edge_come_out",
        "calls requests by itself",
        change=(
            READ,
            """import requests
        answer = requests.get(f"{self.session.config.service_url}/v1/orgs/kit/lab/notes/n1", timeout=60)
        answer.raise_for_status()
        return Note.from_answer(answer.json())""",
        ),
    ),
    Plugin(
        "a_refusal_is_not_swallowed",
        "an empty record for an error",
        change=(READ, f"try:\n            {READ}\n        except Exception:\n            return Note(name='')"),
    ),
    Plugin(
        "unknown_fields_are_kept",
        "copies the fields it knows",
        change=(READ, f"note = {READ[7:]}\n        return Note(name=note.name, text=note.text)"),
    ),
    Plugin(
        "the_session_pickles_and_comes_back",
        "a lock among the settings",
        change=(READ, f"import threading\n        self.session._arguments['lock'] = threading.Lock()\n        {READ}"),
    ),
    Plugin(
        "what_calls_give_pickles",
        "a function within a record",
        change=(READ, f"note = {READ[7:]}\n        note.text = lambda: None\n        return note"),
    ),
    Plugin(
        "lists_are_complete_at_every_page_size",
        "asks for two items at most",
        change=(LIST, LIST.replace(")", ", max_items=2)")),
    ),
    Plugin("lists_are_lazy", "makes a list at once", change=(LIST, f"return list({LIST[7:]})")),
    Plugin(
        "the_wheel_holds_what_it_should",
        "ships its tests",
        project={"tests/__init__.py": "", "tests/test_lab.py": ""},
    ),
    Plugin("the_wheel_holds_what_it_should", "ships edge/", project={"edge/__init__.py": ""}),
    Plugin(
        "the_wheel_holds_what_it_should",
        "leaves py.typed behind",
        project={"setup.cfg": SETUP.replace("options.package_data", "options.exclude_package_data")},
    ),
]


def test_each_rule_is_broken_by_some_plugin() -> None:
    assert sorted({f"test_{plugin.rule}" for plugin in PLUGINS if plugin.rule}) == RULES


@pytest.mark.slow
@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: f"{plugin.rule}: {plugin.what}".strip(": "))
def test_the_kit_catches_what_breaks_a_rule_and_nothing_else(
    plugin: Plugin, distribute: Distribute, pytester: pytest.Pytester, tmp_path: Path
) -> None:
    site = distribute("lab-plugin", points=POINTS + plugin.points)
    old, new = plugin.change
    assert old in NAMESPACE
    package: dict[str, str | None] = {
        "lab_plugin/__init__.py": "",
        "lab_plugin/py.typed": "",
        "lab_plugin/namespace.py": NAMESPACE.replace(old, new) if old else NAMESPACE,
    }
    _write(site, {**package, **plugin.site})
    _write(tmp_path / "project", {**package, "setup.cfg": SETUP, "pyproject.toml": BUILD, **plugin.project})
    wheel = plugin.rule in ("", "the_wheel_holds_what_it_should")
    kit = f"{plugin.kit}\n    checks_wheel = {wheel}\n    project = Path({str(tmp_path / 'project')!r})"
    path = pytester.makepyfile(test_lab=TEST.replace("project = PROJECT", kit))

    unused = ("cacheprovider", "edge_server", "anyio", "hypothesispytest", "schemathesis")
    ran = pytester.inline_run(path, *(f"-pno:{name}" for name in unused), "-q")

    outcomes: tuple[Any, ...] = ran.listoutcomes()  # type: ignore[no-untyped-call]
    failed = {report.nodeid.rpartition("::test_")[2]: report for report in outcomes[2]}
    assert len(outcomes[0]) + len(outcomes[1]) + len(failed) == len(RULES)
    assert set(failed) == {plugin.rule, plugin.also} - {""}
    reason = str(failed[plugin.rule].longrepr).strip().splitlines()[-1] if failed else "nothing"
    print(f"\n{plugin.rule or '-':<40} {plugin.what:<36} caught: {', '.join(failed) or reason}")


def _write(folder: Path, files: dict[str, str | None]) -> None:
    for name, text in files.items():
        if text is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
