"""The pages on security: each promise names a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
TESTS = {
    f"{path.stem}.{name}"
    for folder in (ROOT / "tests", *ROOT.glob("plugins/*/tests"))
    for path in folder.rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+\.test_\w+)`", PAGE))))
def test_what_holds_a_promise_is_there(name: str) -> None:
    assert name in TESTS, "the test was renamed or removed; does the promise still hold?"


def test_every_promise_names_what_holds_it() -> None:
    rows = re.findall(r"^\| (.*) \| (.*) \|$", PAGE.partition("## Tokens")[2], re.MULTILINE)
    promises = [(promise, tests) for promise, tests in rows if promise not in ("promise", "---")]
    assert len(promises) > 40
    assert [promise for promise, tests in promises if "`test_" not in tests] == []


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/security.md"])
def test_its_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text(encoding="utf-8")):
        assert ((ROOT / page).parent / target).exists(), target


def test_a_report_has_a_private_way_and_no_address_that_nobody_reads() -> None:
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "private security report" in page
    assert "@" not in page
