"""Log books against a live server, which the fixtures `edge_server` and `edge_session` start."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from edge_cli.main import cli
from edge_core.errors import BadEntry, Conflict, Forbidden, NotFound
from edge_core.session import EdgeSession
from edge_template.namespace import Template

CliRunner = pytest.importorskip("click.testing").CliRunner


@pytest.fixture
def log(edge_session: EdgeSession) -> Template:
    return edge_session.get(Template)


@pytest.fixture
def member(edge_server, edge_session: EdgeSession) -> Iterator[Template]:  # type: ignore[no-untyped-def]
    """A plain member of the same organization."""
    organization = edge_session.organization
    token = edge_server.create_token(edge_server.create_user(organization=organization))
    with EdgeSession(token, edge_server.url, organization) as session:
        yield session.get(Template)


@pytest.fixture
def stranger(edge_server) -> Iterator[Template]:  # type: ignore[no-untyped-def]
    """Someone of another organization."""
    organization = edge_server.create_organization()
    token = edge_server.create_token(edge_server.create_user(organization=organization))
    with EdgeSession(token, edge_server.url, organization) as session:
        yield session.get(Template)


def test_an_entry_is_written_read_corrected_and_removed(log: Template) -> None:
    written = log.create("centrifuge-2", "New rotor.")
    assert (written.instrument, written.text) == ("centrifuge-2", "New rotor.")
    assert written.author == log.session.whoami().user_name
    read = log.read(written.uid)
    assert read == written
    read.text = "New rotor, balanced."
    corrected = log.update(read)
    assert corrected.text == "New rotor, balanced."
    assert corrected.modified_at >= corrected.created_at == written.created_at
    assert log.read(written.uid) == corrected
    log.delete(written.uid)
    with pytest.raises(NotFound, match="entry"):
        log.read(written.uid)


def test_entries_are_listed_the_oldest_first_and_by_instrument(log: Template) -> None:
    for n in range(5):
        log.create("freezer" if n % 2 else "centrifuge-2", f"Run {n}.")
    assert [entry.text for entry in log.list()] == [f"Run {n}." for n in range(5)]
    assert [entry.text for entry in log.list(instrument="freezer")] == ["Run 1.", "Run 3."]
    texts = log.http.items("/entries", params={"limit": 1}, make=lambda row: row["text"])
    assert list(texts) == [f"Run {n}." for n in range(5)]


def test_the_second_of_two_writers_gets_a_conflict(log: Template) -> None:
    first = log.read(log.create("freezer", "Defrosted.").uid)
    second = log.read(first.uid)
    first.text = "Defrosted and cleaned."
    log.update(first)
    second.text = "Defrosted, by me."
    with pytest.raises(Conflict):
        log.update(second)


def test_only_the_text_can_be_corrected(log: Template) -> None:
    entry = log.create("freezer", "Defrosted.")
    entry.author = "somebody else"
    with pytest.raises(BadEntry, match="author"):
        log.update(entry)


def test_members_read_and_write_and_do_not_correct(log: Template, member: Template) -> None:
    entry = member.create("freezer", "Defrosted.")
    assert log.read(entry.uid) == member.read(entry.uid)
    entry.text = "Nothing happened."
    with pytest.raises(Forbidden):
        member.update(entry)
    with pytest.raises(Forbidden):
        member.delete(entry.uid)


def test_search_leads_to_entries_by_their_words(log: Template) -> None:
    entry = log.create("centrifuge-2", "New rotor, balanced twice.")
    assert _matches(log, "balanced rotor") == [entry.uid]
    assert _matches(log, "centrifuge") == [entry.uid]
    entry.text = "Bearings oiled."
    log.update(entry)
    assert _matches(log, "balanced rotor") == []
    assert _matches(log, "bearings") == [entry.uid]
    log.delete(entry.uid)
    assert _matches(log, "bearings") == []


def test_corrections_and_removals_are_audited(log: Template, edge_server) -> None:  # type: ignore[no-untyped-def]
    entry = log.create("freezer", "Defrosted.")
    entry.text = "Defrosted and cleaned."
    log.update(entry)
    log.delete(entry.uid)
    lines = [json.loads(line) for line in (edge_server.data / "logs" / "audit.log").read_text().splitlines()]
    audited = [(line["action"], line["user"], line["instrument"]) for line in lines if line.get("entry") == entry.uid]
    author = entry.author
    assert audited == [
        ("template.entries.update", author, "freezer"),
        ("template.entries.delete", author, "freezer"),
    ]


def test_other_organizations_see_nothing(log: Template, stranger: Template) -> None:
    entry = log.create("freezer", "Defrosted.")
    assert list(stranger.list()) == []
    assert _matches(stranger, "defrosted") == []
    with pytest.raises(NotFound):
        stranger.read(entry.uid)


@pytest.mark.parametrize("instrument", ["", "a b", "x" * 101, "../freezer"])
def test_what_cannot_be_an_instrument_is_refused(log: Template, instrument: str) -> None:
    with pytest.raises(BadEntry):
        log.create(instrument, "Defrosted.")


def test_the_command_writes_and_lists(log: Template) -> None:
    run = CliRunner().invoke
    added = run(cli, ["template", "add", "freezer", "Defrosted."], env=_environment(log))
    assert added.exit_code == 0, added.output
    assert added.output.strip() == next(iter(log.list())).uid
    listed = run(cli, ["template", "list", "--instrument", "freezer"], env=_environment(log))
    assert listed.output.rstrip().endswith(f"freezer  {log.session.whoami().user_name}: Defrosted.")


def _matches(log: Template, words: str) -> list[str]:
    """The ids of the entries that search finds."""
    return [result.uid for result in log.session.search(words) if result.kind == "template entry"]


def _environment(log: Template) -> dict[str, str]:
    settings = log.session.config
    return {
        "EDGE_API_TOKEN": settings.api_token,
        "EDGE_API_SERVICE_URL": settings.service_url,
        "EDGE_API_ORG": settings.organization,
    }
