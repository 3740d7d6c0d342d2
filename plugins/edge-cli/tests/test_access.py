"""Logging in, tokens and administration from the command line."""

from __future__ import annotations

import json
import os
import secrets
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_core.session import EdgeSession
from edge_server.data.database import SERVER
from edge_server.testing.local_server import EdgeServer

pytestmark = pytest.mark.slow

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `edge` with arguments, with a profile file of the test's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EDGE_", "JUPYTERHUB_"))}
    environment = {**kept, "EDGE_CONFIG_FILE": str(tmp_path / "edge" / "config.ini")}

    def call(*words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from edge_cli.main import main; main()", *words]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, input=text or "", capture_output=True, text=True, timeout=60
        )

    return call


def good(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def root(run: Run, edge_server: EdgeServer) -> Run:
    """Run `edge` with arguments, logged in as the first server admin."""
    token = edge_server.create_token("admin", note="cli")
    good(run("login", edge_server.url, "--organization", "default", text=token + "\n"))
    return run


def test_login_with_a_pasted_token_writes_a_profile_that_only_its_user_can_read(
    run: Run, edge_session: EdgeSession, tmp_path: Path
) -> None:
    settings = edge_session.config
    sentence = good(run("login", settings.service_url, text=settings.api_token + "\n"))
    assert settings.api_token not in sentence
    assert settings.organization in sentence
    path = tmp_path / "edge" / "config.ini"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert edge_session.whoami().user_name in good(run("whoami"))
    # Another profile beside it, from a file; the first one stays as it is.
    path.write_text("# mine\n" + path.read_text() + "\n[plugins]\nlab = lab-plugin\n")
    (tmp_path / "token").write_text(settings.api_token + "\n")
    good(run("--profile", "lab", "login", settings.service_url + "/", "--token-file", "token"))
    text = path.read_text()
    assert text.startswith("# mine\n[default]\n")
    assert "[plugins]\nlab = lab-plugin\n" in text
    assert text.count(settings.api_token) == 2
    assert edge_session.whoami().user_name in good(run("--profile", "lab", "whoami"))
    # Again, in place.
    good(run("login", settings.service_url, text=settings.api_token))
    assert path.read_text() == text


def test_login_by_an_invitation(root: Run, edge_server: EdgeServer, run: Run, tmp_path: Path) -> None:
    lab, ada = f"lab-{secrets.token_hex(4)}", f"ada-{secrets.token_hex(4)}"
    good(root("admin", "organizations", "add", lab, "--title", "The lab"))
    code = good(root("admin", "invite", ada, "--role", "admin", "--organization", lab)).strip()
    assert code.startswith("edi_")
    listed = json.loads(good(root("admin", "invitations", "list", "--organization", lab, "--json")))
    assert [(row["user_name"], row["roles"]) for row in listed] == [(ada, ["admin"])]
    assert "code" not in listed[0]
    sentence = good(run("--profile", "ada", "login", edge_server.url, "--invitation", code))
    assert f"Logged in to {lab} as {ada}" in sentence
    assert ada in good(run("--profile", "ada", "whoami"))
    again = run("--profile", "ada", "login", edge_server.url, "--invitation", "-", text=code + "\n")
    assert again.returncode == 1
    assert "accepted already" in again.stderr
    assert code not in again.stderr
    good(run("--profile", "ada", "admin", "invite", f"bob-{secrets.token_hex(4)}"))
    invitations = json.loads(good(run("--profile", "ada", "admin", "invitations", "list", "--json")))
    good(run("--profile", "ada", "admin", "invitations", "remove", invitations[-1]["id"]))
    assert len(good(run("--profile", "ada", "admin", "invitations", "list")).splitlines()) == 1
    other = edge_server.create_organization()
    token = edge_server.create_token(edge_server.create_user("carol-by-cli", organization=other))
    good(run("--profile", "carol", "login", edge_server.url, text=token + "\n"))
    for answer in ("decline", "accept"):
        added = run("--profile", "ada", "admin", "members", "add", "carol-by-cli", "--role", "developer")
        assert "carol-by-cli is invited" in added.stderr
        (invited,) = json.loads(good(run("--profile", "carol", "admin", "invitations", "own", "--json")))
        assert f"{invited['id']}  {lab}  [developer]  by {ada}" in good(
            run("--profile", "carol", "admin", "invitations", "own")
        )
        sentence = good(run("--profile", "carol", "admin", "invitations", answer, invited["id"]))
    assert sentence == f"You are a member of {lab} now\n"
    shown = good(
        run("--profile", "ada", "admin", "audit", "--since", "2024-01-31", "--user", ada, "--limit", "4")
    ).splitlines()
    assert [line.split()[3:5] for line in shown[2:]] == [
        ["invitations.remove", f"invitation={invitations[-1]['id']}"],
        ["invitations.create", f"invitation={invitations[-1]['id']}"],
    ]
    lines = json.loads(good(run("--profile", "ada", "admin", "audit", "--action", "invitations.remove", "--json")))
    assert [(line["user_name"], line["organization_name"]) for line in lines] == [(ada, lab)]
    for filters in (["--until", "2024-01-31T08:00Z"], ["--user", "nosuch"]):
        nothing = run("--profile", "ada", "admin", "audit", *filters)
        assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "No changes.\n")
        as_json = run("--profile", "ada", "admin", "audit", *filters, "--json")
        assert (as_json.returncode, as_json.stdout, as_json.stderr) == (0, "[]\n", "")
    mistyped = run("--profile", "ada", "admin", "audit", "--action", "member")
    assert mistyped.returncode == 1
    assert "perhaps 'members' is meant" in mistyped.stderr
    wrong = run("--profile", "ada", "admin", "audit", "--since", "yesterday")
    assert "write a time such as" in wrong.stderr
    good(root("admin", "users", "revoke-addresses", ada))
    good(run("--profile", "ada", "admin", "members", "revoke-addresses", ada))
    (line,) = json.loads(good(root("admin", "audit", "--server", "--limit", "1", "--json")))
    assert (line["action"], line["about"]) == ("admin.users.revoke_addresses", {"user_name": ada})
    dave = edge_server.create_user(organization=other)
    edge_server.create_token(dave)
    code = good(run("--profile", "ada", "admin", "invite", dave)).strip()
    refused = run("--profile", "dave", "login", edge_server.url, "--invitation", code)
    assert "you have an account on this server already, so accept with a token of yours: add --token-file" in (
        refused.stderr
    )
    ended = run("--profile", "ada", "admin", "members", "revoke-addresses", ada)
    assert ended.stderr == f"All addresses that {ada} had signed in {lab} are ended, and their open uploads there.\n"


@pytest.mark.parametrize(
    ("words", "text", "sentence"),
    [
        ([], "", "there is no token"),
        ([], "edg_wrong\n", "mistyped"),
        ([], "two words\n", "the API token has a space"),
        (["--invitation", "nonsense"], "", "invitation"),
        (["--token-file", "missing"], "", "missing"),
    ],
)
def test_a_login_that_fails_is_a_sentence_and_writes_nothing(
    run: Run, edge_server: EdgeServer, tmp_path: Path, words: list[str], text: str, sentence: str
) -> None:
    done = run("login", edge_server.url, *words, text=text)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "edge").exists()


def test_who_is_in_several_organizations_says_which(run: Run, edge_server: EdgeServer) -> None:
    organizations = sorted(edge_server.create_organization() for _ in range(2))
    user = edge_server.create_user(organization=organizations[0])
    token = edge_server.create_token(user)
    good(run("login", edge_server.url, text=token))
    from edge_server.identity import directory

    with edge_server.database.write(SERVER) as session:
        user_row = directory.find_user(session, user)
        second = directory.find_organization(session, organizations[1])
        assert user_row is not None
        assert second is not None
        directory.add_member(session, user_row, second)
    done = run("login", edge_server.url, text=token)
    assert f"one of {', '.join(organizations)}" in done.stderr
    good(run("login", edge_server.url, "--organization", organizations[1], text=token))
    done = run("login", edge_server.url, "--organization", "default", text=token)
    assert "is not in the organization 'default'" in done.stderr
    done = run("login", edge_server.url, text=edge_server.create_token(edge_server.create_user()))
    assert "in no organization yet" in done.stderr


def test_tokens_are_listed_created_and_removed(run: Run, edge_session: EdgeSession, tmp_path: Path) -> None:
    settings = edge_session.config
    good(run("login", settings.service_url, text=settings.api_token))
    value = good(run("tokens", "create", "--note", "job\u202e", "--expires-in", "3600")).strip()
    assert value.startswith("edg_")
    shown = good(run("tokens", "list"))
    assert value not in shown
    assert "job\\u202e" in shown
    assert "expires 2" in shown
    good(run("tokens", "create", "--output", "value"))
    assert stat.S_IMODE((tmp_path / "value").stat().st_mode) == 0o600
    assert (tmp_path / "value").read_text().startswith("edg_")
    again = run("tokens", "create", "--output", "value")
    assert again.returncode == 1
    assert "value: File exists" in again.stderr
    listed: list[dict[str, Any]] = json.loads(good(run("tokens", "list", "--json")))
    assert [row["note"] for row in listed] == ["edge_session", "job\u202e", None]
    assert all("token" not in row for row in listed)
    created = json.loads(good(run("tokens", "create", "--json")))
    assert created["token"].startswith(created["prefix"])
    good(run("tokens", "remove", listed[1]["id"]))
    assert listed[1]["id"] not in good(run("tokens", "list"))
    assert run("tokens", "remove", listed[1]["id"]).returncode == 1


def test_a_token_is_limited_and_renewed(run: Run, edge_session: EdgeSession, tmp_path: Path) -> None:
    settings = edge_session.config
    good(run("login", settings.service_url, text=settings.api_token))
    words = ("tokens", "create", "--scope", "tokens", "--scope", "files:read", "--expires-in", "3600")
    value = good(run(*words)).strip()
    assert "files:read, tokens" in good(run("tokens", "list"))
    assert ", which expires 2" in good(run("tokens", "create", "--output", "t1", "--expires-in", "3600"))
    assert ", which never expires\n" in good(run("tokens", "create", "--output", "t2"))
    refused = run("tokens", "create", "--scope", "file")
    assert "'file' is not a scope" in refused.stderr
    # As it would be in life: kept in a profile, looked at, and renewed.
    done = run("--profile", "ci", "login", settings.service_url, text=value)
    good(done)
    assert "make a new one before that" in done.stderr
    shown = run("--profile", "ci", "whoami")
    assert "token limited to files:read, tokens\ntoken expires 2" in good(shown)
    assert "This token expires 2" in shown.stderr
    assert "make a new one before that" in shown.stderr
    before = (tmp_path / "edge" / "config.ini").read_text()
    sentence = good(run("--profile", "ci", "login", "--renew"))
    assert "has a new value in the profile [ci]" in sentence
    assert "as the old one did" in sentence
    after = (tmp_path / "edge" / "config.ini").read_text()
    assert value in before
    assert value not in after
    assert stat.S_IMODE((tmp_path / "edge" / "config.ini").stat().st_mode) == 0o600
    assert "files:read" in good(run("--profile", "ci", "whoami"))
    assert run("login", "--renew", settings.service_url).returncode == 2
    assert run("login").returncode == 2
    assert "no token to renew" in run("--profile", "nobody", "login", "--renew").stderr


def test_administration(root: Run) -> None:
    lab, bob = f"lab-{secrets.token_hex(4)}", f"bob-{secrets.token_hex(4)}"
    good(root("admin", "organizations", "add", lab))
    good(root("admin", "organizations", "update", lab, "--title", "L", "--disable-launch", "--status", "disable_apps"))
    (organization,) = [
        row for row in json.loads(good(root("admin", "organizations", "list", "--json"))) if row["name"] == lab
    ]
    assert (organization["title"], organization["disable_launch"], organization["status"]) == (
        "L",
        True,
        "disable_apps",
    )
    assert "may hold 1.0 kB\n" in good(root("admin", "organizations", "quota", lab, "--set", "1000"))
    assert json.loads(good(root("admin", "organizations", "quota", lab, "--json")))["storage_bytes"] == 1000
    assert "may hold any number of bytes, the server's default\n" in good(
        root("admin", "organizations", "quota", lab, "--default")
    )
    assert f"{lab}: L [disable_apps]" in good(root("admin", "organizations", "list"))
    good(root("admin", "users", "add", bob, "--first-name", "Bob", "--home-org", lab))
    good(root("admin", "users", "update", bob, "--license", "Edge Developer"))
    (user,) = [row for row in json.loads(good(root("admin", "users", "list", "--json"))) if row["user_name"] == bob]
    assert (user["first_name"], user["home_org"], user["license_name"]) == ("Bob", lab, "Edge Developer")
    good(root("admin", "members", "add", bob, "--organization", lab))
    shown = good(root("admin", "members", "roles", bob, "--role", "developer", "--organization", lab))
    assert shown == f"{bob} [developer]\n"
    assert good(root("admin", "members", "roles", bob, "--organization", lab)) == shown
    assert good(root("admin", "members", "roles", bob, "--none", "--organization", lab)) == f"{bob} [member]\n"
    good(root("admin", "members", "roles", bob, "--role", "developer", "--organization", lab))
    assert good(root("admin", "members", "list", "--organization", lab)) == f"{bob} [developer]\n"
    ended = root("admin", "users", "revoke-addresses", bob)
    assert f"All addresses that {bob} had signed are ended" in ended.stderr
    good(root("admin", "members", "remove", bob, "--organization", lab))
    assert good(root("admin", "members", "list", "--organization", lab, "--json")) == "[]\n"
    assert root("admin", "users", "remove", bob, text="n\n").stderr.endswith("Interrupted.\n")
    for unasked in (["users", "remove", bob], ["organizations", "remove", lab]):
        done = root("admin", *unasked)
        assert done.returncode == 2
        assert done.stderr.endswith("there is no terminal, where someone could answer; give --yes\n")
    good(root("admin", "users", "remove", bob, "--yes"))
    assert "its data is being removed" in good(root("admin", "organizations", "remove", lab, "--yes"))
    refused = root("admin", "users", "remove", bob, "--yes")
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: ")
    assert "user" in refused.stderr
