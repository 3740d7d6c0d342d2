"""A profile is written so that every session can use it, and nothing else of the file changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_core.config import ENVIRONMENT, Settings, plugin_choices
from edge_core.errors import ConfigurationError
from edge_core.session import EdgeSession
from edge_tokens.profile import save_profile

URL = "https://edge.example.com/services/api"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of whoever runs it."""
    for name in (variable for variables in ENVIRONMENT.values() for variable in variables):
        monkeypatch.delenv(name, raising=False)


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


def save(name: str = "default", **changes: str) -> str:
    values = {"api_token": "edg_new", "service_url": URL, "organization": "lab", **changes}
    return save_profile(name, **values)


def test_a_saved_profile_is_what_a_session_finds_and_only_its_user_can_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "home" / ".edge" / "config.ini"
    monkeypatch.setenv("EDGE_CONFIG_FILE", str(path))
    assert save(service_url=f"{URL}/") == str(path)
    assert settings() == Settings("edg_new", URL, "lab")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["config.ini"]


def test_a_saved_profile_leaves_the_rest_of_the_file_alone(profiles: Path) -> None:
    before = "# kept\n" + profiles.read_text().replace("[other]", "; kept as well\n\n[other]") + "[plugins]\nlab = x\n"
    profiles.write_text(before)
    save("other")
    assert settings(profile="other") == Settings("edg_new", URL, "lab")
    assert settings() == Settings("edg_profile", URL, "lab")
    assert plugin_choices() == {"lab": "x"}
    text = profiles.read_text()
    assert text.startswith("# kept\n[default]\n")
    assert "; kept as well\n\n[other]\n" in text
    save("other")
    assert profiles.read_text() == text
    save("third")
    assert profiles.read_text().startswith(text)
    assert settings(profile="third").api_token == "edg_new"


def test_a_profile_is_replaced_in_a_file_that_begins_with_a_byte_order_mark(profiles: Path) -> None:
    profiles.write_text(profiles.read_text(), encoding="utf-8-sig")
    save()
    assert settings() == Settings("edg_new", URL, "lab")
    assert profiles.read_text().count("[default]") == 1


def test_a_file_that_others_could_read_is_closed_by_saving(profiles: Path) -> None:
    profiles.chmod(0o644)
    save()
    assert settings().api_token == "edg_new"


@pytest.mark.parametrize("name", ["", "plugins", "DEFAULT", "a]b", " a", "a\nb"])
def test_a_profile_has_a_plain_name(profiles: Path, name: str) -> None:
    before = profiles.read_text()
    with pytest.raises(ConfigurationError, match="no name for a profile"):
        save(name)
    assert profiles.read_text() == before


@pytest.mark.parametrize(
    "arguments",
    [{"api_token": "a b"}, {"api_token": "a\n[x]"}, {"service_url": "ftp://x"}, {"organization": "a/b"}],
)
def test_a_profile_that_no_session_could_use_is_not_saved(profiles: Path, arguments: dict[str, str]) -> None:
    before = profiles.read_text()
    with pytest.raises(ConfigurationError) as refused:
        save(**arguments)
    assert "a b" not in str(refused.value)
    assert profiles.read_text() == before


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGE_CONFIG_FILE", str(tmp_path / "file" / "config.ini"))
    with pytest.raises(ConfigurationError, match=r"config.ini cannot be written"):
        save()
