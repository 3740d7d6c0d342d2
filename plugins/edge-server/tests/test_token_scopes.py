"""What the scopes of a token say, by themselves."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_server.identity import token_scopes
from edge_server.identity.token_scopes import UNLIMITED, Scopes

at_any_speed = settings(deadline=None, suppress_health_check=list(HealthCheck))

SOME = st.frozensets(st.sampled_from(["files", "secrets"]))


@st.composite
def scopes_(draw: st.DrawFn) -> list[str]:
    texts = [f"org:{name}" for name in draw(st.frozensets(st.sampled_from(["lab", "shop"])))]
    texts += draw(SOME)
    texts += [f"{name}:read" for name in draw(SOME)]
    texts += ["read"] if draw(st.booleans()) else []
    return draw(st.permutations(texts))


def acts(scopes: Scopes) -> set[tuple[str, bool, str]]:
    """All that a token with these may do, among a few namespaces and organizations, "other" standing for the rest."""
    return {
        (namespace, writes, organization)
        for namespace, writes, organization in itertools.product(
            ("files", "secrets", "other"), (False, True), ("lab", "shop", "other")
        )
        if scopes.lacking(namespace, writes=writes) is None and scopes.lacking_organization(organization) is None
    }


@at_any_speed
@given(scopes_(), scopes_())
def test_scopes_are_within_others_if_they_allow_nothing_more(texts: list[str], others: list[str]) -> None:
    narrow = token_scopes.parse(texts) if texts else UNLIMITED
    wide = token_scopes.parse(others) if others else UNLIMITED
    assert narrow.within(wide) == (acts(narrow) <= acts(wide))
    assert narrow.within(UNLIMITED)
    kept = narrow.texts()
    assert (UNLIMITED if kept is None else token_scopes.parse(kept)) == narrow, "kept as it was meant"


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        (["read", "files"], ["files:read"]),
        (["files", "files:read"], ["files"]),
        (["org:lab", "files", "files"], ["files", "org:lab"]),
        (["org:read"], ["org:read"]),
    ],
)
def test_each_limit_is_kept_once(texts: list[str], kept: list[str]) -> None:
    assert token_scopes.parse(texts).texts() == kept


MISSING = "leave them out for a token without limits, or give one"
KNOWN = "they are read, org:NAME for an organization, and {}, each of these also as in {}:read"


@pytest.mark.parametrize(
    ("texts", "namespaces", "sentence"),
    [
        (["file"], ["secrets", "files"], f"'file' is not a scope; {KNOWN.format('files, secrets', 'files')}"),
        (["files", "org:"], ["files"], f"'org:' is not a scope; {KNOWN.format('files', 'files')}"),
        (["x" * 61], ["files"], f"'{'x' * 60}' is not a scope; {KNOWN.format('files', 'files')}"),
        (
            [],
            ["secrets"],
            f"{MISSING}; {KNOWN.format('secrets', 'secrets')}",
        ),
        ([], None, f"{MISSING}; {KNOWN.format('', 'files')}"),
    ],
)
def test_what_is_no_scope_is_refused_by_those_there_are(
    texts: list[str], namespaces: list[str] | None, sentence: str
) -> None:
    with pytest.raises(token_scopes.UnknownScope) as refused:
        token_scopes.parse(texts, namespaces)
    assert str(refused.value) == sentence


def test_a_namespace_that_is_gone_is_still_a_scope_of_a_token_that_has_it() -> None:
    assert token_scopes.parse(["gone:read"]).lacking("gone", writes=False) is None
    with pytest.raises(token_scopes.UnknownScope):
        token_scopes.parse(["gone:read"], ["files"])


@pytest.mark.parametrize(
    ("texts", "namespace", "writes", "lacking"),
    [
        (["files"], "files", True, None),
        (["files"], "files", False, None),
        (["files"], "secrets", True, "secrets"),
        (["files"], "secrets", False, "secrets:read"),
        (["files:read"], "files", True, "files"),
        (["files:read"], "files", False, None),
        (["read"], "files", True, "files"),
        (["read"], "files", False, None),
        (["org:lab"], "files", True, None),
    ],
)
def test_the_scope_that_is_lacking_is_the_least_that_would_do(
    texts: list[str], namespace: str, writes: bool, lacking: str | None
) -> None:
    assert token_scopes.parse(texts).lacking(namespace, writes=writes) == lacking


def test_the_organization_that_is_lacking_is_named() -> None:
    scopes = token_scopes.parse(["org:lab", "org:shop", "files"])
    assert [scopes.lacking_organization(name) for name in ("lab", "shop", "far")] == [None, None, "org:far"]
    assert token_scopes.parse(["files"]).lacking_organization("far") is None


def test_the_words_that_are_no_namespace() -> None:
    assert {"read", "org"} == token_scopes.WORDS
    assert UNLIMITED.texts() is None
