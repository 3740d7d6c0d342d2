"""Settings: argument, then environment, then profile; everything missing is said at once."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from edge_core.config import ENVIRONMENT, Settings
from edge_core.errors import ConfigurationError
from edge_core.session import EdgeSession

URL = "https://edge.example.com/services/api"


def settings(**arguments: object) -> Settings:
    return EdgeSession(**arguments).config  # type: ignore[arg-type]


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.ini"
    path.write_text(
        f"[default]\napi_token = edg_profile\nservice_url = {URL}/\norganization = lab\n"
        "[other]\napi_token = edg_other\nservice_url = https://other.example.com\norganization = far\n"
        "[tokenless]\nservice_url = https://third.example.com\n"
    )
    path.chmod(0o600)
    monkeypatch.setenv("EDGE_CONFIG_FILE", str(path))
    return path


def test_arguments_by_position_and_by_keyword_are_the_same() -> None:
    assert settings(api_token="edg_a", service_url=URL, organization="lab") == EdgeSession("edg_a", URL, "lab").config


def test_the_environment_gives_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "hub")
    monkeypatch.setenv("EDGE_API_SERVICE_URL", f" {URL}/\n")
    monkeypatch.setenv("EDGE_API_ORG", "lab")
    assert settings()[:3] == ("hub", URL, "lab")
    monkeypatch.setenv("EDGE_API_TOKEN", "own")
    assert settings().api_token == "own", "named first, so first"
    monkeypatch.setenv("EDGE_API_TOKEN", "")
    assert settings().api_token == "hub", "an empty variable is not set"
    assert settings(organization="far").organization == "far", "an argument wins"


def test_all_that_is_missing_is_in_the_same_error_with_each_way_to_give_it() -> None:
    with pytest.raises(ConfigurationError) as raised:
        EdgeSession(organization="lab")
    message = str(raised.value)
    for part in ("api_token=", "EDGE_API_TOKEN or JUPYTERHUB_API_TOKEN", "EDGE_API_SERVICE_URL", "config.ini"):
        assert part in message
    assert "EDGE_API_ORG" not in message


def test_older_programs_catch_missing_settings_by_their_name_for_it() -> None:
    from edge.api import EdgeSessionError

    with pytest.raises(EdgeSessionError, match="api_token="):
        EdgeSession(organization="lab")


def test_a_profile_fills_what_is_missing(profiles: Path) -> None:
    assert settings()[:3] == ("edg_profile", URL, "lab")
    assert settings(profile="other")[:3] == ("edg_other", "https://other.example.com", "far")


def test_a_profile_that_is_named_and_overridden_says_so(profiles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_API_TOKEN", "edg_environment")
    monkeypatch.setenv("EDGE_API_SERVICE_URL", f"{URL}/")
    with pytest.warns(UserWarning, match=r"profile \[default\] is used without its api_token, since EDGE_API_TOKEN"):
        assert settings(profile="default").api_token == "edg_environment"
    with pytest.warns(UserWarning, match="without its api_token, service_url, since EDGE_API_TOKEN and EDGE_API_SERV"):
        settings(profile="other")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert settings(api_token="edg_a", profile="default").api_token == "edg_a", "an argument is meant to win"
        assert settings(organization="lab", service_url=URL).api_token == "edg_environment"


def test_a_profile_file_may_begin_with_a_byte_order_mark(profiles: Path) -> None:
    profiles.write_text(profiles.read_text(), encoding="utf-8-sig")
    assert settings()[:3] == ("edg_profile", URL, "lab")


def refused(**arguments: object) -> str:
    with pytest.raises(ConfigurationError) as raised:
        settings(**arguments)
    return str(raised.value)


MISSING = (
    "missing settings: api_token (argument api_token= or EDGE_API_TOKEN or JUPYTERHUB_API_TOKEN); a profile in {} can "
    "give them as well"
)


def test_a_profiles_token_goes_to_that_profiles_service_only(profiles: Path) -> None:
    for profile in (None, "default"):
        assert refused(service_url="https://evil.example.com", profile=profile) == (
            f"{MISSING.format(profiles)} (profile [default] has a token, but for another service_url)"
        )
    same = settings(service_url=f"{URL}/", profile="default")
    assert same.api_token == "edg_profile", "a slash at the end makes no other service"
    assert settings(service_url=URL, organization="far")[:3] == ("edg_profile", URL, "far")
    profiles.write_text(profiles.read_text().replace(f"{URL}/", f"{URL}/X/"))
    assert settings(service_url=f"{URL}/X").api_token == "edg_profile"


def test_a_profiles_token_without_its_service_goes_nowhere(profiles: Path) -> None:
    profiles.write_text("[default]\napi_token = edg_profile\norganization = lab\n")
    assert refused(service_url="https://evil.example.com") == (
        f"{MISSING.format(profiles)} (profile [default] has a token, but for another service_url)"
    )
    assert "missing settings: api_token (" in refused()


def test_a_profile_without_a_token_is_not_blamed_for_its_service(profiles: Path) -> None:
    assert refused(profile="tokenless", organization="lab") == MISSING.format(profiles)
    assert refused(profile="tokenless", organization="lab", service_url=URL) == MISSING.format(profiles)
    assert refused(profile="tokenless", api_token="edg_a") == (
        "missing settings: organization (argument organization= or EDGE_API_ORG); a profile in "
        f"{profiles} can give them as well"
    )
    assert settings(api_token="edg_a", profile="tokenless", organization="lab")[:2] == (
        "edg_a",
        "https://third.example.com",
    )


def test_a_profile_may_be_indented_and_spaced(profiles: Path) -> None:
    profiles.write_text(f"[default]\napi_token:   edg_profile  \nservice_url = {URL}//  \norganization = lab \n")
    assert settings()[:3] == ("edg_profile", URL, "lab")


def test_without_a_profile_nothing_is_missed_but_what_is_missing(profiles: Path) -> None:
    profiles.write_text("[other]\n")
    assert refused(service_url=URL, organization="lab") == MISSING.format(profiles)
    profiles.unlink()
    assert refused(service_url=URL, organization="lab") == MISSING.format(profiles)
    advice = "make it by `edge --profile other login SERVICE_URL`, or name another"
    sentence = f"there is no profile [other] in {profiles}; {advice}"
    assert refused(service_url=URL, organization="lab", profile="other") == sentence


def test_a_setting_that_a_profile_cannot_have_is_named(profiles: Path) -> None:
    profiles.write_text("[default]\nzeal = 1\ntoken = edg_secret\n")
    assert refused() == (
        f"profile [default] in {profiles} has no setting 'token'; it may hold api_token, service_url, organization"
    )


def test_a_profile_that_is_named_must_exist(profiles: Path) -> None:
    assert refused(api_token="edg_a", service_url=URL, organization="lab", profile="nowhere") == (
        f"there is no profile [nowhere] in {profiles}; make it by `edge --profile nowhere login SERVICE_URL`, "
        "or name another"
    )


def test_a_profile_file_others_can_read_is_refused(profiles: Path) -> None:
    for mode in (0o644, 0o640, 0o620, 0o601, 0o777):
        profiles.chmod(mode)
        assert refused() == (f"{profiles} may hold a token but other users can read it; run: chmod 600 {profiles}"), (
            oct(mode)
        )
    for mode in (0o600, 0o400, 0o700):
        profiles.chmod(mode)
        assert settings().api_token == "edg_profile"


@pytest.mark.parametrize(
    "text", ["edg_secret\n", "[default\n", "[default]\nedg_secret\n", "[default]\ntoken=edg_secret\n"]
)
def test_a_damaged_profile_file_is_a_sentence_without_its_content(profiles: Path, text: str) -> None:
    profiles.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        EdgeSession()
    assert "secret" not in str(raised.value)
    assert str(profiles) in str(raised.value)


def test_with_all_settings_present_no_file_is_read(profiles: Path) -> None:
    profiles.write_text("not an INI file")
    assert settings(api_token="edg_a", service_url=URL, organization="lab")


@pytest.mark.parametrize(
    "url",
    [
        "edge.example.com",
        "ftp://edge.example.com",
        "https://",
        "https://edge.example.com:port",
        "https://edge.example.com/?a=1",
        "https://edge.example.com/#top",
        "https://edge.example .com",
        "https://[::1",
        "https://user:pw@edge.example.com",
        "https://edge.example.com\\@evil.example.com",
    ],
)
def test_a_service_url_that_cannot_be_right_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="service URL") as raised:
        EdgeSession("edg_a", url, "lab")
    assert "pw" not in str(raised.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"api_token": "edg a"},
        {"api_token": "edg\r\nX-Evil: 1"},
        {"api_token": 42},
        {"organization": "../admin"},
        {"organization": ".."},
        {"organization": "a/b"},
        {"timeout": 0},
        {"timeout": (1, 2, 3)},
        {"timeout": "soon"},
        {"retries": -1},
        {"retries": True},
        {"ca_bundle": "no/such/file.pem"},
        {"user_agent": "app\r\nX-Evil: 1"},
    ],
    ids=str,
)
def test_a_value_that_cannot_be_right_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        settings(**{"api_token": "edg_a", "service_url": URL, "organization": "lab", **arguments})


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "127.8.8.8", "[::1]:80", "edge.localhost"])
def test_loopback_needs_no_tls(host: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        EdgeSession("edg_a", f"http://{host}", "lab")


def test_a_token_in_clear_over_the_network_is_a_warning_at_the_callers_line() -> None:
    with pytest.warns(UserWarning, match="travels in clear to edge.example.com") as caught:
        EdgeSession("edg_a", "http://edge.example.com", "lab")
    assert caught[0].filename == __file__


def test_timeouts_are_seconds_or_a_pair() -> None:
    common = {"api_token": "edg_a", "service_url": URL, "organization": "lab"}
    assert settings(**common).timeout == (5, 60)
    assert settings(**common, timeout=2).timeout == (2, 2)
    assert settings(**common, timeout=600).timeout == (5, 600)
    assert settings(**common, timeout=(1, 9)).timeout == (1, 9)


def test_the_version_number_of_old_code_is_accepted() -> None:
    assert settings(api_token="edg_a", service_url=URL, organization="lab", version_num=1)


def test_the_token_shows_nowhere() -> None:
    session = EdgeSession("edg_secret", URL, "lab")
    for shown in (repr(session), str(session), repr(session.config), f"{session.config}"):
        assert "secret" not in shown
        assert "lab" in shown


# --- any combination --------------------------------------------------------------------------------

VALUES = {
    "api_token": st.text("abcXYZ019_-", min_size=1, max_size=12),
    "service_url": st.sampled_from(
        ["https://a.example.com", "https://b.example.com/services/api", "http://127.0.0.1:9"]
    ),
    "organization": st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True),
}


def some_of_them() -> st.SearchStrategy[dict[str, str]]:
    return st.fixed_dictionaries({}, optional=VALUES)


@hypothesis.settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(arguments=some_of_them(), environment=some_of_them(), hub_token=st.booleans(), profile=some_of_them())
def test_each_value_comes_from_the_first_place_that_gives_it(
    tmp_path: Path,
    arguments: dict[str, str],
    environment: dict[str, str],
    hub_token: bool,
    profile: dict[str, str],
) -> None:
    path = tmp_path / "profiles.ini"
    path.write_text("[default]\n" + "".join(f"{name} = {value}\n" for name, value in profile.items()))
    path.chmod(0o600)
    variables = {ENVIRONMENT[name][0]: value for name, value in environment.items()}
    if hub_token:
        variables["JUPYTERHUB_API_TOKEN"] = "from-the-hub"
    expected: dict[str, str | None] = {}
    for name in VALUES:
        expected[name] = arguments.get(name) or environment.get(name)
    if hub_token:
        expected["api_token"] = expected["api_token"] or "from-the-hub"
    at_hub = hub_token and not arguments.get("api_token") and not environment.get("api_token")
    profiles_url = profile.get("service_url")
    # The default profile is none for a hub's token, if it has a token of its own or is of another service.
    if expected["service_url"] and profiles_url:
        is_another = expected["service_url"] != profiles_url
    else:
        is_another = bool(profile.get("api_token"))
    if not (at_hub and is_another):
        for name in ("service_url", "organization"):
            expected[name] = expected[name] or profile.get(name)
    if at_hub:
        expected["organization"] = expected["organization"] or ""
    # The profile's token goes to the profile's own service and to no other.
    if expected["service_url"] is not None and expected["service_url"] == profile.get("service_url"):
        expected["api_token"] = expected["api_token"] or profile.get("api_token")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_CONFIG_FILE", str(path))
        for name, value in variables.items():
            patch.setenv(name, value)
        missing = [name for name, value in expected.items() if value is None]
        if missing:
            with pytest.raises(ConfigurationError) as refused:
                EdgeSession(**arguments)
            message = str(refused.value)
            assert [name for name in VALUES if f"argument {name}=" in message] == missing
            assert not [token for token in (profile.get("api_token"),) if token and len(token) > 8 and token in message]
        else:
            config = EdgeSession(**arguments).config
            assert {name: getattr(config, name) for name in VALUES} == expected


@hypothesis.settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.one_of(
        st.none(),
        st.floats(allow_nan=True),
        st.integers(-5, 500),
        st.tuples(st.floats(), st.floats()),
        st.tuples(st.integers(1, 9)),
        st.text(max_size=3),
    )
)
def test_a_timeout_is_two_positive_numbers_or_refused(timeout: Any) -> None:
    try:
        seconds = EdgeSession("edg_x", "https://a.example.com", "lab", timeout=timeout).config.timeout
    except ConfigurationError:
        return
    assert all(isinstance(part, float) and 0 < part <= 86_400 for part in seconds)


REMEDY = "use an address such as https://edge.example.com/services/api"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("https://edge.example.com:port", f"the service URL is not valid; {REMEDY}"),
        ("https://[::1", f"the service URL is not valid; {REMEDY}"),
        *(
            (url, f"the service URL holds a user name or password, which would show in logs; {REMEDY}")
            for url in ("https://ada@edge.example.com", "https://:secret@edge.example.com", "https://@edge.example.com")
        ),
        *(
            (url, f"the service URL {url!r} is not valid; {REMEDY}")
            for url in (
                "edge.example.com",
                "ftp://edge.example.com",
                "https:///services/api",
                "https://edge.example.com/a b",
                "https://edge.example.com\\evil.example.com",
                "https://edge.example.com/\x7f",
            )
        ),
        *(
            (url, f"the service URL has a query or fragment, which no service has; {REMEDY}")
            for url in ("https://edge.example.com?a=1", "https://edge.example.com#a")
        ),
    ],
)
def test_a_service_url_that_is_refused_says_why(url: str, sentence: str) -> None:
    assert refused(api_token="edg_a", service_url=url, organization="lab") == sentence


@pytest.mark.parametrize("url", ["https://edge.example.com/", "http://127.0.0.1:8000//", "http://[::1]:8000"])
def test_a_service_url_is_kept_without_the_slash_at_its_end(url: str) -> None:
    assert settings(api_token="edg_a", service_url=url, organization="lab").service_url == url.rstrip("/")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("edge.localhost", True),
        ("[::1]", True),
        ("127.0.0.1", True),
        ("127.255.0.9", True),
        ("notlocalhost", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("127.0.0", False),
        ("128.0.0.1", False),
    ],
)
def test_a_token_in_clear_is_warned_of_unless_it_stays_on_this_machine(host: str, loopback: bool) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        EdgeSession("edg_a", f"http://{host}:8000", "lab")
    assert [str(warning.message) for warning in caught] == [
        f"the API token travels in clear to {host}, since the service URL begins with http://; use https://"
    ] * (not loopback)


@pytest.mark.parametrize("token", ["edg_a b", "edg_\x7f", "edg_\x1fa", "edg_\u00e4", "edg_a\nb"])
def test_a_token_with_a_character_that_no_token_has_is_refused(token: str) -> None:
    sentence = "the API token has a space or a character no token has; copy it again"
    assert refused(api_token=token, service_url=URL, organization="lab") == sentence


def test_a_token_of_another_server_may_have_any_visible_character() -> None:
    assert settings(api_token="!~", service_url=URL, organization="lab").api_token == "!~"


# --- in a server of a JupyterHub

HUB = "https://hub.example.com/jupyter/hub/"


def at_hub(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in {"JUPYTERHUB_API_TOKEN": "of-the-hub", **variables}.items():
        monkeypatch.setenv(name, value)


def test_the_variables_of_a_hub_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    at_hub(monkeypatch, JUPYTERHUB_PUBLIC_HUB_URL=HUB)
    assert settings()[:3] == ("of-the-hub", "https://hub.example.com/jupyter/services/api", "")
    monkeypatch.setenv("EDGE_API_SERVICE_URL", URL)
    monkeypatch.setenv("EDGE_API_ORG", "lab")
    assert settings()[:3] == ("of-the-hub", URL, "lab")


def test_a_hubs_address_is_for_the_hubs_token_alone(monkeypatch: pytest.MonkeyPatch, profiles: Path) -> None:
    at_hub(monkeypatch, JUPYTERHUB_PUBLIC_HUB_URL=HUB)
    assert settings()[:3] == ("of-the-hub", "https://hub.example.com/jupyter/services/api", "")
    assert settings(api_token="edg_own")[:3] == ("edg_own", URL, "lab")
    monkeypatch.setenv("EDGE_API_TOKEN", "edg_own")
    assert settings()[:3] == ("edg_own", URL, "lab")
    monkeypatch.delenv("EDGE_API_TOKEN")
    monkeypatch.delenv("JUPYTERHUB_API_TOKEN")
    assert settings()[:3] == ("edg_profile", URL, "lab")


def test_a_hubs_token_goes_to_no_service_of_a_profile_that_nobody_named(
    monkeypatch: pytest.MonkeyPatch, profiles: Path
) -> None:
    at_hub(monkeypatch, JUPYTERHUB_PUBLIC_HUB_URL="")
    with pytest.raises(ConfigurationError, match="missing settings: service_url"):
        settings()
    monkeypatch.setenv("EDGE_API_SERVICE_URL", URL)
    assert settings()[:3] == ("of-the-hub", URL, "lab"), "the profile is of the same service"
    monkeypatch.setenv("EDGE_API_SERVICE_URL", "https://hub.example.com/services/api")
    assert settings()[:3] == ("of-the-hub", "https://hub.example.com/services/api", "")
    monkeypatch.delenv("EDGE_API_SERVICE_URL")
    profiles.write_text(f"[default]\nservice_url = {URL}\norganization = lab\n")
    assert settings()[:3] == ("of-the-hub", URL, "lab"), "a user may write down where the service of the hub is"


@pytest.mark.parametrize(
    "address", ["", " ", "https://hub.example.com/elsewhere", "/hub", "ftp://hub.example.com/hub/"]
)
def test_without_the_hubs_address_the_sentence_names_the_operators_line(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    at_hub(monkeypatch, JUPYTERHUB_PUBLIC_HUB_URL=address)
    with pytest.raises(ConfigurationError) as raised:
        settings()
    if address.strip() in ("", "https://hub.example.com/elsewhere"):
        assert "c.JupyterHub.public_url" in str(raised.value)
        assert "EDGE_API_SERVICE_URL" in str(raised.value)
        assert "organization (" not in str(raised.value)
    assert "of-the-hub" not in str(raised.value)


def test_outside_of_a_hub_a_missing_organization_raises_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_API_TOKEN", "edg_own")
    monkeypatch.setenv("JUPYTERHUB_PUBLIC_HUB_URL", HUB)
    with pytest.raises(ConfigurationError) as raised:
        settings()
    assert "service_url" in str(raised.value)
    assert "organization" in str(raised.value)
