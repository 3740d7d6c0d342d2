"""What goes wrong around an application: a sentence each, and nothing half registered."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_applications.cli import env
from edge_applications.develop import environment, image, known_apps
from edge_applications.develop.environment import Environment
from edge_core.errors import EdgeError
from edge_core.session import EdgeSession

from .commands import Run
from .engine import Engine

CONFIG = """\
app_id: viewer
framework: generic
app_version: "1.0.0"
repository: quay.io
organisation: lab
"""

DEAD = "raise SystemExit('no table')"
DEAF = "import signal; signal.pause()"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An application's folder, which is the working folder, in an environment that is there."""
    folder = tmp_path / "viewer"
    folder.mkdir()
    (folder / "app_config.yaml").write_text(CONFIG)
    (folder / "app.py").write_text(DEAF)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("EDGE_CONFIG_FILE", str(tmp_path / "config.ini"))
    monkeypatch.setattr(environment, "existing", lambda _folder, _config: Environment(Path(sys.prefix)))
    return folder


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The only engine there is."""
    engine = Engine(tmp_path / "engine")
    monkeypatch.setenv("PATH", str(engine.folder))
    monkeypatch.delenv("EDGE_REGISTRY_USERNAME", raising=False)
    monkeypatch.delenv("EDGE_REGISTRY_PASSWORD", raising=False)
    return engine


def sentence(result: Result) -> str:
    """The sentence of the error that a command ends with."""
    assert result.exit_code != 0, result.output
    text = str(result.exception) if isinstance(result.exception, EdgeError) else result.output
    assert "Traceback" not in text
    return text


def test_no_configuration(run: Run, folder: Path) -> None:
    (folder / "app_config.yaml").unlink()

    for command in ("run", "check", "shell", "build", "unregister"):
        assert "APP_ID is missing; give it, or run this in an application's folder" in sentence(run(command))
    assert "the folder of viewer is not known; run this in it, or: edge app register viewer" in sentence(
        run("run", "viewer")
    )
    assert "app_config.yaml does not exist" in sentence(run("publish"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('app_version: "1.0.1"\n', "app_version: app_config.yaml has it twice; remove one of the entries"),
        ("organization: other\n", "organisation: app_config.yaml has organisation: lab and organization: other"),
        ("framework: flask\n", "framework: app_config.yaml has it twice"),
        ("python_version: 3.10\n", "python_version: without quotes, 3.10 is the number 3.1"),
        ("python_version: three\n", "python_version: 'three' has not two numbers"),
        ("app_deps: [numpy]\n", "app_deps: it has no lists"),
        ("app_deps: {pip: numpy}\n", "app_deps: pip: it is not a list of texts"),
        ("command: python app.py\n", "command: it is not a list of texts"),
    ],
)
def test_a_configuration_that_says_two_things_or_none(more: str, words: str, run: Run, folder: Path) -> None:
    (folder / "app_config.yaml").write_text(CONFIG + more)

    assert words in sentence(run("check"))


def test_two_configurations(run: Run, folder: Path) -> None:
    (folder / "app_config.yml").write_text(CONFIG)
    assert "app_config.yml is there beside app_config.yaml; remove one of them" in sentence(run("check"))

    (folder / "app_config.yaml").unlink()
    assert "app_config.yml is there; rename it to app_config.yaml" in sentence(run("check"))


def test_an_unknown_framework(run: Run, folder: Path) -> None:
    (folder / "app_config.yaml").write_text(CONFIG.replace("generic", "flask"))

    assert "framework: 'flask' is unknown; use one of generic, panel, plotly-dash, react, streamlit" in sentence(
        run("check")
    )
    assert "'flask' is not one of 'generic', 'panel'" in sentence(run("init", "other", "--framework", "flask"))


def test_a_port_in_use(run: Run, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port, other = str(taken.getsockname()[1]), str(free.getsockname()[1])
        free.close()

        assert f"port {port} of 127.0.0.1 cannot be had (Address already in use)" in sentence(
            run("run", "--port", port, "--app-port", other)
        )
        assert f"port {port} of 127.0.0.1, where the application is to listen, cannot be had" in sentence(
            run("run", "--port", "0", "--app-port", port)
        )


def test_an_application_that_never_listens(run: Run, folder: Path) -> None:
    text = sentence(run("check", "--timeout", "0.5"))

    assert "the application does not answer after" in text
    assert "It has to listen at 127.0.0.1:" in text


def test_an_application_that_dies(run: Run, folder: Path) -> None:
    (folder / "app.py").write_text(DEAD)

    result = run("check")

    assert "the application has ended with exit code 1" in sentence(result)
    assert "no table" in result.output
    assert getattr(result.exception, "__notes__", []) == [f"its log is {folder / '.edge' / 'run.log'}"]
    assert (folder / ".edge" / "run.log").read_text() == "no table\n"


def test_nothing_that_starts_it(run: Run, folder: Path) -> None:
    (folder / "app.py").unlink()
    assert "command: app_config.yaml does not have it" in sentence(run("check"))

    (folder / "app_config.yaml").write_text(f"{CONFIG}command: [streamlut, run]\n")
    assert "streamlut cannot be started" in sentence(run("check"))


def test_a_name_with_a_space(run: Run, folder: Path, developer: EdgeSession, engine: Engine) -> None:
    assert "app_id: 'my viewer' cannot be an id" in sentence(run("init", "my viewer", "--framework", "generic"))
    assert not (folder / "my viewer").exists()

    (folder / "app_config.yaml").write_text(CONFIG.replace("viewer", "my viewer"))
    assert "app_id: 'my viewer' cannot be an id" in sentence(run("publish", "--image", "quay.io/lab/viewer:1"))
    assert developer.applications.list_application_ids() == []


def test_a_folder_that_cannot_be_written_to(
    run: Run, folder: Path, developer: EdgeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run("init", "other", "--framework", "generic", "--target", "/proc/other")
    assert "/proc/other cannot be made" in sentence(result)
    assert developer.applications.list_application_ids() == []
    assert known_apps.read() == {}

    monkeypatch.setattr("os.access", lambda _path, _mode: False)  # root may write everywhere
    built = CliRunner().invoke(env, ["build"])
    assert f"{folder} is read-only" in sentence(built)


def test_a_folder_with_something_else(run: Run, folder: Path, developer: EdgeSession) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "notes.txt").touch()

    assert "other has something else in it" in sentence(run("init", "other", "--framework", "generic"))
    assert developer.applications.list_application_ids() == []


@pytest.mark.slow
def test_no_network_for_packages(
    run: Run, folder: Path, tmp_path: Path, developer: EdgeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)

    result = run("init", "other", "--framework", "generic")

    text = sentence(result)
    assert "installing packages failed: the registry of packages could not be reached" in text
    assert "the whole log is" in text
    assert developer.applications.list_application_ids() == []
    assert known_apps.read() == {}


@pytest.mark.parametrize(
    ("failures", "words"),
    [
        (
            {"image": "Error: quay.io/lab/viewer:1.0.0: image not known"},
            "quay.io/lab/viewer:1.0.0 is not here; build it with: edge app build",
        ),
        (
            {"image": "Cannot connect to the Docker daemon at unix:///var/run/docker.sock."},
            "docker is here, but its engine does not run; start it",
        ),
        (
            {"push": "unauthorized: access to the requested resource is not authorized"},
            "quay.io does not let this user push quay.io/lab/viewer:1.0.0; log in with: docker login quay.io",
        ),
        ({"push": "dial tcp: lookup quay.io: server misbehaving"}, "quay.io cannot be reached"),
        ({"push": "blob upload unknown"}, "docker ended with exit code 1; the whole log is"),
    ],
)
def test_a_registry_that_refuses(
    failures: dict[str, str], words: str, run: Run, folder: Path, engine: Engine, developer: EdgeSession
) -> None:
    engine.fail(failures)

    assert words in sentence(run("publish"))
    assert developer.applications.list_application_ids() == []


def test_a_login_that_is_refused_or_half_there(
    run: Run, folder: Path, engine: Engine, developer: EdgeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_REGISTRY_USERNAME", "lab+robot")
    assert "EDGE_REGISTRY_PASSWORD is not set" in sentence(run("publish"))

    monkeypatch.setenv("EDGE_REGISTRY_PASSWORD", "s3cret-of-the-registry")
    for written in (
        "Error response from daemon: unauthorized: incorrect username or password",
        'Error: logging into "quay.io": invalid username/password',
    ):
        engine.fail({"login": written})
        result = run("publish")
        assert "logging in at quay.io failed: quay.io does not let this user push" in sentence(result)
        assert "s3cret-of-the-registry" not in result.output + str(result.exception)
    assert developer.applications.list_application_ids() == []


def test_no_engine(run: Run, folder: Path, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "podman is not here; install one of docker and podman" in sentence(run("publish", "--engine", "podman"))

    monkeypatch.setenv("PATH", str(tmp_path))
    assert "neither docker nor podman is here; install one of docker and podman" in sentence(run("publish"))
    assert "neither docker nor podman is here" in sentence(run("build"))


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (
            'initializing source docker://nothing:1: pinging container registry registry-1.docker.io: Get "https://'
            'registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: server misbehaving',
            "the image that Containerfile begins with cannot be fetched; see that FROM names one",
        ),
        (
            "pull access denied for nothing, repository does not exist or may require 'docker login'",
            "the image that Containerfile begins with cannot be fetched; see that FROM names one",
        ),
        ("mkdir: cannot create directory '/x': Permission denied", "docker ended with exit code 1"),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "its engine does not run; start it"),
    ],
)
def test_what_an_image_is_not_built_for(
    written: str, words: str, run: Run, folder: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_applications.develop.image.prepare", lambda *_, **__: [])
    engine.fail({"build": written})

    shown = sentence(run("build"))

    assert words in shown
    assert "push" not in shown


def test_podman_builds_where_the_engine_of_docker_does_not_run(engine: Engine, tmp_path: Path) -> None:
    podman = Engine(tmp_path / "podman", "podman")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.pathsep.join([str(engine.folder), str(podman.folder)]))
        assert image.find_engine(None).name == "docker"

        engine.fail({"version": "Cannot connect to the Docker daemon at unix:///var/run/docker.sock."})
        assert image.find_engine(None).name == "podman"
        assert image.find_engine("docker").name == "docker"

        podman.fail({"version": "it does not run either"})
        assert image.find_engine(None).name == "docker"


def test_an_engine_that_fails_to_build(run: Run, folder: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_applications.develop.image.prepare", lambda *_, **__: [])
    engine.fail({"build": "step 4\nERROR: process did not complete successfully: exit code: 1"})

    result = run("build")

    assert "building quay.io/lab/viewer:1.0.0 failed: docker ended with exit code 1; the whole log is" in sentence(
        result
    )
    assert "step 4" in result.output
    assert "(built, not published)" not in run("versions", "viewer").output


def test_a_version_that_exists(run: Run, folder: Path, engine: Engine) -> None:
    assert run("publish").exit_code == 0
    calls = len(engine.calls)

    assert "viewer 1.0.0 is registered already with quay.io/lab/viewer:1.0.0" in sentence(run("publish"))
    assert run("publish", "--skip-existing").exit_code == 0
    assert len(engine.calls) == calls


def test_a_token_without_the_role(
    run: Run, folder: Path, engine: Engine, member: EdgeSession, developer: EdgeSession
) -> None:
    text = sentence(run("publish", by=member))

    assert text.startswith(f"publishing needs the role developer or admin in {member.organization}")
    assert engine.calls == []
    assert developer.applications.list_application_ids() == []


def test_an_image_that_is_none(run: Run, folder: Path, developer: EdgeSession) -> None:
    assert "is not a whole reference" in sentence(run("publish", "--image", "quay.io/Lab/viewer"))
    assert developer.applications.list_application_ids() == []


def test_an_icon_that_is_none(run: Run, folder: Path, engine: Engine, developer: EdgeSession) -> None:
    (folder / "icon.png").write_text("no picture")

    assert "icon: it cannot be read as PNG or JPEG" in sentence(run("publish", "--icon", "icon.png"))
    assert developer.applications.list_application_ids() == []


def test_folders_are_known_until_they_are_forgotten(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("register", "viewer").exit_code == 0
    monkeypatch.chdir("/")
    assert run("shell", "viewer", "--", "true").exit_code == 0
    assert run("shell", "viewer", "--", "false").exit_code == 1
    assert run("unregister", "viewer").exit_code == 0

    assert "the folder of viewer is not known" in sentence(run("shell", "viewer"))
    assert "viewer is not known here" in sentence(run("unregister", "viewer"))
