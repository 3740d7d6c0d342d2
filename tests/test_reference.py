"""The installed packages hold what is documented of the API, and the kept reference lists just that."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from edge_core.documented import EXPORTS, NAMESPACES
from edge_core.session import EdgeSession
from tests import test_reference_calls
from tests.reference import inspection, table
from tests.reference.members import SECTIONS, Class, Section, method
from tests.reference.watch import Watch

ROOT = Path(__file__).parent.parent

each_section = pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)


def test_every_documented_namespace_has_a_section() -> None:
    assert {section.namespace for section in SECTIONS if section.namespace} == set(NAMESPACES)


@each_section
def test_what_is_documented_is_there(section: Section) -> None:
    assert list(inspection.problems(section)) == []


@each_section
def test_the_data_name_every_public_member(section: Section) -> None:
    for entry in section.classes:
        public = inspection.public_members(inspection.load(entry.path))
        assert public - {member.name for member in entry.members} == set(), entry.path


@each_section
def test_every_member_says_what_it_is(section: Section) -> None:
    for entry in section.classes:
        kind = inspection.load(entry.path)
        silent = [
            member.name
            for member in entry.members
            if member.kind != "value" and not inspection.sentence_of_member(kind, member)
        ]
        assert silent == [], entry.path


def test_every_import_path_of_an_installed_distribution_is_used() -> None:
    documented = {path for section in SECTIONS for entry in section.classes for path in entry.paths}
    exported = {f"{module}.{name}" for module, names in EXPORTS.items() for name in names}
    assert exported - documented == set()


def test_each_section_has_its_test() -> None:
    tests = {name for name in vars(test_reference_calls) if name.startswith("test_")}
    assert {section.test for section in SECTIONS} == tests


def test_the_kept_reference_is_current() -> None:
    kept = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert kept == table.text(), "run python -m tests.reference.table docs/reference.md"


def test_the_reference_has_a_line_for_each_member() -> None:
    lines = table.text().splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    sections = SECTIONS
    classes = [entry for section in sections for entry in section.classes]
    openers = [opener for section in sections for opener in section.openers]
    assert len(rows) == sum(len(entry.members) for entry in classes) + len(openers)
    assert [line for line in lines if line.startswith("### ")] == [f"### {entry.name}" for entry in classes]


# --- the checks themselves


@pytest.mark.parametrize(
    ("documented", "actual", "difference"),
    [
        ("name, open_with=None", "name, open_with=None, *, more=1", None),
        ("name", "name, more=None", None),
        ("*, name, title", "title=None, name=None", None),
        ("name", "title", "has no parameter name"),
        ("name, title", "title, name", "its parameter 1 is not name"),
        ("name, title", "name, *, title", "its parameter 2 is not title"),
        ("name=None", "name=1", "name is 1 by default, documented as None"),
        ("name", "name, title", "needs title, which is not documented"),
        ("*args", "", "takes no *args"),
    ],
)
def test_a_signature_that_breaks_documented_calls_is_noticed(documented: str, actual: str, difference: str) -> None:
    assert inspection._difference(documented, inspect.signature(eval(f"lambda {actual}: None"))) == difference


def test_missing_members_and_other_values_are_noticed() -> None:
    (statuses,) = [entry for entry in _classes() if entry.name == "OrganizationStatusEnum"]
    other = statuses._replace(
        members=(statuses.members[0]._replace(value="other"), statuses.members[1]._replace(name="Lost"))
    )
    lost = Class(("edge.api.Folder",), "seen", (method("lose", "", "seen"),))
    nowhere = Class(("edge.api.Nowhere",), "seen")
    sentences = list(inspection.problems(Section("x", "test_x", (other, lost, nowhere), (("EDGE_LOST", "seen"),))))
    assert sentences == [
        "EDGE_LOST is not read",
        "edge.admin.organization.OrganizationStatusEnum.Active: is 'active', documented as 'other'",
        "edge.admin.organization.OrganizationStatusEnum.Lost: the member is missing",
        "edge.api.Folder.lose: the method is missing",
        "edge.api.Nowhere cannot be imported: module 'edge.api' has no attribute 'Nowhere'",
    ]


def _classes() -> list[Class]:
    return [entry for section in SECTIONS for entry in section.classes]


def test_only_what_the_test_itself_uses_counts(edge_session: EdgeSession) -> None:
    (section,) = [section for section in SECTIONS if section.title == "session.admin"]
    watch = Watch(section, __file__)
    try:
        from edge.admin.user import User
        from edge.api import EdgeAdmin

        user = User("test-user-1", "Bob", "User", "bob@user.com")
        user.to_dict()  # which reads every field
        _ = user.user_name
        _ = EdgeAdmin.list_users  # is not called
        assert user.user_name == "test-user-1"
    finally:
        watch.close()
    assert watch.used == {
        "edge.admin.user.User",
        "edge.admin.user.User()",
        "edge.admin.user.User.to_dict",
        "edge.admin.user.User.user_name",
        "edge.api.EdgeAdmin",
    }


def test_watching_leaves_nothing_behind(edge_session: EdgeSession) -> None:
    kinds = [inspection.load(entry.path) for section in SECTIONS for entry in section.classes]
    before = [(dict(vars(kind)), type(kind)) for kind in kinds]
    for section in SECTIONS:
        Watch(section, __file__).close()
    assert [(dict(vars(kind)), type(kind)) for kind in kinds] == before


def test_no_test_of_calls_skips() -> None:
    source = ast.parse(inspect.getsource(test_reference_calls))
    skips = [
        node for node in ast.walk(source) if isinstance(node, ast.Attribute) and node.attr in ("skip", "importorskip")
    ]
    assert not skips
