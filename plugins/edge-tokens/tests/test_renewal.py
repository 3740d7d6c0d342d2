"""`edge login --renew`: a new value in the profile, and never none that works."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edge_cli.main import cli
from edge_core import config
from edge_core.errors import ConfigurationError, EdgeError, Unauthenticated
from edge_core.session import EdgeSession
from edge_core.whoami import CurrentToken, WhoAmI, end_hint
from edge_server.data.database import SERVER
from edge_server.identity import directory
from edge_server.testing.local_server import EdgeServer
from edge_tokens import login
from edge_tokens.profile import save_profile

_PLACE = "service_url = http://127.0.0.1:1\norganization = lab\n"
DAY = dt.timedelta(days=1)


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "edge" / "config.ini"
    monkeypatch.setenv("EDGE_CONFIG_FILE", str(path))
    for name in ("EDGE_API_TOKEN", "JUPYTERHUB_API_TOKEN", "EDGE_API_SERVICE_URL", "EDGE_API_ORG"):
        monkeypatch.delenv(name, raising=False)
    return path


@pytest.fixture
def old(edge_server: EdgeServer, edge_session: EdgeSession, profiles: Path) -> str:
    """The token in the profile: of those that can be renewed, with a day left of 90."""
    name = edge_session.whoami().user_name
    with edge_server.database.write(SERVER) as session:
        user = directory.find_user(session, name)
        assert user is not None
        token, value = directory.add_token(session, user, note="first-start", expires_in=90 * DAY, renewable=True)
        assert token.expires_at is not None
        token.expires_at -= 89 * DAY
    save_profile("default", api_token=value, service_url=edge_server.url, organization=edge_session.organization)
    profiles.write_text(f"# mine\n{profiles.read_text()}\n[other]\napi_token = kept\n")
    return value


def works(token: str, session: EdgeSession) -> bool:
    try:
        with EdgeSession(token, session.config.service_url, session.organization) as other:
            other.whoami()
    except Unauthenticated:
        return False
    return True


def kept() -> str:
    return config.read_profile("default")["api_token"]


def test_a_renewed_token_has_a_new_value_and_a_new_end(edge_session: EdgeSession, old: str, profiles: Path) -> None:
    before = profiles.read_text()
    renewed = login.renew("default")
    assert renewed.me.token is not None
    assert renewed.me.token.expires_at is not None
    assert renewed.me.token.renewable
    assert renewed.me.token.expires_at - dt.datetime.now(dt.UTC) > 89 * DAY
    assert kept() != old
    assert profiles.read_text() == before.replace(old, kept()), "the rest of the file is as it was"
    assert stat.S_IMODE(profiles.stat().st_mode) == 0o600
    assert works(kept(), edge_session)
    assert not works(old, edge_session)
    assert [token.note for token in edge_session.tokens.list()] == ["edge_session", "first-start"]
    login.renew("default")
    assert works(kept(), edge_session)


@pytest.mark.parametrize("expires_in", [None, 3600])
def test_another_token_gets_a_new_value_and_keeps_its_end(
    edge_session: EdgeSession, profiles: Path, expires_in: int | None
) -> None:
    old = edge_session.tokens.create(expires_in=expires_in, scopes=["tokens", "files"])
    settings = edge_session.config
    save_profile("ci", api_token=old.token or "", service_url=settings.service_url, organization=settings.organization)
    token = login.renew("ci").me.token
    assert token is not None
    assert (token.expires_at, token.scopes) == (old.expires_at, old.scopes)
    assert not works(old.token or "", edge_session)


def test_a_profile_that_cannot_be_written_keeps_the_old_token_good(
    edge_session: EdgeSession, old: str, profiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise ConfigurationError("config.ini cannot be written (No space left on device)")

    monkeypatch.setattr(login, "save_profile", full)
    with pytest.raises(ConfigurationError, match="No space left.*still good"):
        login.renew("default")
    assert kept() == old
    assert works(old, edge_session)
    monkeypatch.undo()
    monkeypatch.setenv("EDGE_CONFIG_FILE", str(profiles))
    login.renew("default")
    assert works(kept(), edge_session)
    assert len(edge_session.tokens.list()) == 2, "the one that nobody has is gone"


@pytest.mark.parametrize("at", ["before", "after"])
def test_a_renewal_that_is_killed_leaves_a_token_that_works(
    edge_session: EdgeSession, old: str, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def killed(*arguments: Any, **named: Any) -> str:
        if at == "after":
            save_profile(*arguments, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(login, "save_profile", killed)
    with pytest.raises(KeyboardInterrupt):
        login.renew("default")
    assert works(old, edge_session), "until the new one is used"
    assert works(kept(), edge_session)
    assert works(old, edge_session) == (kept() == old)


def test_a_server_that_goes_away_after_the_profile_was_written_is_no_loss(
    edge_session: EdgeSession, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[[EdgeSession], WhoAmI] = EdgeSession.whoami

    def fails(session: EdgeSession) -> WhoAmI:
        if session.config.api_token != old:
            raise EdgeError("connection refused")
        return real(session)

    monkeypatch.setattr(EdgeSession, "whoami", fails)
    with pytest.raises(EdgeError, match="could not be tried"):
        login.renew("default")
    monkeypatch.setattr(EdgeSession, "whoami", real)
    assert kept() != old
    assert works(kept(), edge_session)


def test_two_renewals_at_once_leave_a_token_that_works(edge_session: EdgeSession, old: str) -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for renewal in [pool.submit(login.renew, "default") for _ in range(2)]:
            renewal.result()
    assert works(kept(), edge_session)
    assert not works(old, edge_session)
    assert len(edge_session.tokens.list()) == 2


def test_a_token_in_the_environment_stays_and_the_note_says_so(
    edge_session: EdgeSession, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_API_TOKEN", old)
    renewed = login.renew("default")
    note = login.ambient_note(renewed)
    assert note is not None
    assert "EDGE_API_TOKEN of the environment" in note
    assert "not renewed in place" in note
    assert old not in note
    assert works(kept(), edge_session)


def test_a_profile_without_a_token_has_nothing_to_renew(profiles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"no token to renew.*edge --profile lab login SERVICE_URL"):
        login.renew("lab")
    monkeypatch.setenv("EDGE_API_TOKEN", "edg_secret")
    with pytest.raises(ConfigurationError, match="the token in EDGE_API_TOKEN is not renewed in place") as refused:
        login.renew("default")
    assert "edg_secret" not in str(refused.value)
    # A token is sent to the service that the profile names, and to no other.
    monkeypatch.setenv("EDGE_API_SERVICE_URL", "https://elsewhere.example.org")
    profiles.parent.mkdir()
    profiles.write_text("[default]\napi_token = edg_secret\n")
    profiles.chmod(0o600)
    with pytest.raises(ConfigurationError, match="has no service_url, organization"):
        login.renew("default")


@pytest.mark.parametrize(
    ("left", "renewable", "profile", "hint"),
    [
        (None, False, None, None),
        (15 * DAY, True, None, None),
        (13 * DAY, True, None, "renew it: edge login --renew"),
        (13 * DAY, True, "default", "renew it: edge login --renew"),
        (13 * DAY, True, "five", "renew it: edge --profile five login --renew"),
        (13 * DAY, True, "my lab", "renew it: edge --profile 'my lab' login --renew"),
        (13 * DAY, False, "five", "make a new one before that"),
    ],
)
def test_a_near_end_brings_a_hint(
    left: dt.timedelta | None, renewable: bool, profile: str | None, hint: str | None
) -> None:
    end = None if left is None else dt.datetime.now(dt.UTC) + left
    text = end_hint(CurrentToken("t1", expires_at=end, renewable=renewable), profile)
    assert text is None if hint is None else text is not None and text.endswith(f"; {hint}")
    assert end_hint(None) is None


def test_a_token_of_the_environment_is_not_renewed_in_place() -> None:
    end = dt.datetime.now(dt.UTC) + DAY
    text = end_hint(CurrentToken("t1", expires_at=end, renewable=True), "five", "EDGE_API_TOKEN")
    assert text is not None
    assert text.endswith("; make a new one before that, and set EDGE_API_TOKEN to it")


@pytest.mark.parametrize(("words", "named"), [((), ""), (("--profile", "five"), "--profile five ")])
def test_whoami_names_the_profile_that_it_looked_at(
    profiles: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], named: str
) -> None:
    near = CurrentToken("t1", expires_at=dt.datetime.now(dt.UTC) + DAY, renewable=True)
    monkeypatch.setattr(EdgeSession, "whoami", lambda _session: WhoAmI("ada", token=near))
    profiles.parent.mkdir(exist_ok=True)
    profiles.write_text("".join(f"[{name}]\napi_token = edg_a\n{_PLACE}" for name in ("default", "five")))
    profiles.chmod(0o600)
    shown = CliRunner().invoke(cli, [*words, "whoami"], catch_exceptions=False)
    assert shown.stderr.endswith(f"; renew it: edge {named}login --renew\n")


def test_an_expired_token_says_when_and_what_to_do(edge_session: EdgeSession) -> None:
    expired = edge_session.tokens.create(expires_in=0)
    with (
        pytest.raises(Unauthenticated, match=r"expired on \d{4}-\d\d-\d\d at .*make a new one.*edge login --renew"),
        EdgeSession(expired.token, edge_session.config.service_url, edge_session.organization) as session,
    ):
        session.whoami()
