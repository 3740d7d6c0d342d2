"""The image of an application, by docker or podman."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

from edge_applications.app_config import AppConfig
from edge_applications.develop import edge_packages, environment, steps, templates
from edge_applications.develop.environment import OWN_FOLDER
from edge_applications.develop.running import PORT, command_of
from edge_core.errors import ConfigurationError

ENGINES = ("docker", "podman")

USERNAME_VARIABLE = "EDGE_REGISTRY_USERNAME"
PASSWORD_VARIABLE = "EDGE_REGISTRY_PASSWORD"  # noqa: S105 - a name

_ALWAYS_EXCLUDED = (OWN_FOLDER, ".git", "__pycache__", "node_modules", ".pytest_cache")

_BUILT = "built.json"

_REFUSED = (
    "unauthorized",
    "denied",
    "incorrect username or password",
    "invalid username/password",
    "forbidden",
)
"""What docker and podman write where a registry does not let somebody in."""

_NOT_FETCHED = (
    "pinging container registry",
    "initializing source docker://",
    "reading manifest",
    "failed to resolve source metadata",
    "pull access denied",
    "manifest unknown",
)
"""What they write where the image to begin with is not to be had; commands of a Containerfile write anything else."""


class Engine(NamedTuple):
    """A command that builds and pushes images.

    Attributes:
        name: `docker` or `podman`.
        path: the command.
    """

    name: str
    path: str


def find_engine(name: str | None) -> Engine:
    """The engine that is here; of several, the first that runs.

    Args:
        name: one that was chosen; None for any.

    Raises:
        ConfigurationError: there is none.
    """
    here = [
        Engine(candidate, path) for candidate in ((name,) if name else ENGINES) if (path := shutil.which(candidate))
    ]
    if not here:
        raise ConfigurationError(
            f"{name or 'neither docker nor podman'} is {'not ' if name else ''}here; install one of docker and podman, "
            "or build the image elsewhere and register it with: edge app publish --image IMAGE"
        )
    # The command of docker is often there without its engine; one that is alone says itself what it lacks.
    return here[0] if len(here) == 1 else next(filter(_runs, here), here[0])


def _runs(engine: Engine) -> bool:
    quiet = subprocess.DEVNULL
    return subprocess.run([engine.path, "version"], stdout=quiet, stderr=quiet, check=False).returncode == 0  # noqa: S603


def built(folder: Path) -> dict[str, str]:
    """Version -> image of what was built here."""
    try:
        images = json.loads((folder / OWN_FOLDER / _BUILT).read_text())
    except (OSError, ValueError):
        return {}
    return {str(version): str(image) for version, image in images.items()}


def build(
    folder: Path, config: AppConfig, image: str, engine: Engine, *, force: bool = False, verbose: bool = False
) -> list[str]:
    """Build the image of a version, and return warnings on what was left out of it.

    Args:
        folder: folder of the application.
        config: its configuration.
        image: the whole reference of the image.
        engine: what builds it.
        force: do not take layers of earlier builds.
        verbose: show what the engine writes.

    Raises:
        ConfigurationError: a distribution of Edge that the image needs is not here.
        StepFailed: the engine cannot build it.
    """
    context = folder / OWN_FOLDER / "image"
    warnings = prepare(folder, config, context, verbose=verbose)
    command = [engine.path, "build", "--tag", image, "--file", str(context / "Containerfile")]
    steps.run(
        f"Building {image}",
        [*command, *(["--no-cache"] if force else []), str(context)],
        log=folder / OWN_FOLDER / "image.log",
        folder=folder,
        verbose=verbose,
        failure=lambda text: _stopped(text, engine) or _base_missing(text, engine),
    )
    (folder / OWN_FOLDER / _BUILT).write_text(json.dumps({**built(folder), config.version: image}))
    return warnings


def prepare(folder: Path, config: AppConfig, context: Path, *, verbose: bool = False) -> list[str]:
    """Make the folder that the image is built in, and return warnings on what was left out.

    Args:
        folder: folder of the application.
        config: its configuration.
        context: the folder; what was there is removed.
        verbose: show what building the wheels writes.
    """
    needed = environment.needs(config, development=False)
    proxy = edge_packages.with_requirements([Requirement("edge-hub[app]")])
    shutil.rmtree(context, ignore_errors=True)
    wheels = context / "wheels"
    wheels.mkdir(parents=True)
    for name in sorted({*needed.ours, *proxy}):
        _add_wheel(name, wheels, folder, verbose)
    app = [str(line) for line in needed.others] + [_in_image(line, wheels) for line in needed.ours.values()]
    (context / "app.txt").write_text("".join(f"{line}\n" for line in app))
    (context / "proxy.txt").write_text("".join(f"{_in_image(line, wheels)}\n" for line in proxy.values()))
    command = command_of(config.framework, port=PORT, command=config.command)
    containerfile = templates.add_containerfile(folder, python_version=needed.python, command=command)
    shutil.copy(containerfile, context / containerfile.name)
    environment.build_frontend(folder, verbose=verbose)
    shutil.copytree(folder, context / "app", ignore=_excluded(folder, config.exclude))
    return needed.warnings


def push(folder: Path, image: str, engine: Engine, *, verbose: bool = False) -> None:
    """Push an image, with the credentials of EDGE_REGISTRY_USERNAME and EDGE_REGISTRY_PASSWORD, or the engine's own.

    Args:
        folder: folder of the application.
        image: the whole reference of the image.
        engine: what pushes it.
        verbose: show what the engine writes.

    Raises:
        ConfigurationError: the image is not here, or half of the credentials.
        StepFailed: the registry does not take it.
    """
    known = subprocess.run(  # noqa: S603 - an argument list
        [engine.path, "image", "inspect", image],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if known.returncode != 0:
        reason = _stopped(known.stderr, engine)
        raise ConfigurationError(reason or f"{image} is not here; build it with: edge app build")

    def failure(text: str) -> str | None:
        return _failure(text, engine, image)

    with _credentials(folder, image, engine) as variables:
        steps.run(
            f"Pushing {image}",
            [engine.path, "push", image],
            log=folder / OWN_FOLDER / "push.log",
            folder=folder,
            verbose=verbose,
            environment=variables,
            failure=failure,
        )


@contextlib.contextmanager
def _credentials(folder: Path, image: str, engine: Engine) -> Iterator[dict[str, str]]:
    """The environment of the engine in which it is logged in, for as long as it is needed."""
    username, password = os.environ.get(USERNAME_VARIABLE), os.environ.get(PASSWORD_VARIABLE)
    variables = {name: value for name, value in os.environ.items() if name != PASSWORD_VARIABLE}
    if not username and not password:
        yield variables
        return
    if not (username and password):
        missing = PASSWORD_VARIABLE if username else USERNAME_VARIABLE
        raise ConfigurationError(f"{missing} is not set, but its other half is; set both or none of them")
    registry = image.partition("/")[0]
    with tempfile.TemporaryDirectory() as logins:
        # Not among those of the person, where they would stay.
        variables |= {"DOCKER_CONFIG": logins, "REGISTRY_AUTH_FILE": str(Path(logins) / "auth.json")}
        steps.run(
            f"Logging in at {registry}",
            [engine.path, "login", "--username", username, "--password-stdin", registry],
            log=folder / OWN_FOLDER / "login.log",
            folder=folder,
            environment=variables,
            stdin=password,
            failure=lambda text: _failure(text, engine, image),
        )
        yield variables


def _failure(text: str, engine: Engine, image: str) -> str | None:
    """A sentence for what docker and podman write where they cannot log in or push."""
    registry, lower = image.partition("/")[0], text.lower()
    if reason := _stopped(text, engine):
        return reason
    if any(words in lower for words in _REFUSED):
        return (
            f"{registry} does not let this user push {image}; log in with: {engine.name} login {registry}, or set "
            f"{USERNAME_VARIABLE} and {PASSWORD_VARIABLE}"
        )
    if any(words in lower for words in ("connection refused", "i/o timeout", "dial tcp")):
        return f"{registry} cannot be reached; correct repository in app_config.yaml, or connect to the network"
    return None


def _stopped(text: str, engine: Engine) -> str | None:
    lower = text.lower()
    if "cannot connect to the docker daemon" in lower or "is the docker daemon running" in lower:
        return f"{engine.name} is here, but its engine does not run; start it"
    return None


def _base_missing(text: str, engine: Engine) -> str | None:
    if any(words in text.lower() for words in _NOT_FETCHED):
        return (
            "the image that Containerfile begins with cannot be fetched; see that FROM names one and that its registry "
            f"can be reached, or log in there with: {engine.name} login"
        )
    return None


def _add_wheel(name: str, wheels: Path, folder: Path, verbose: bool) -> None:
    source = edge_packages.source(name)
    if source.suffix == ".whl":
        shutil.copy(source, wheels)
        return
    command = environment.wheel_command(source, wheels)
    log = folder / OWN_FOLDER / "wheels.log"
    with tempfile.TemporaryDirectory() as elsewhere:
        # Beside the source, setuptools would leave what it builds, and take up what an earlier one has left.
        settings = Path(elsewhere, "setuptools.cfg")
        settings.write_text(f"[build]\nbuild_base = {elsewhere}/build\n[egg_info]\negg_base = {elsewhere}\n")
        steps.run(
            f"Building the wheel of {name}",
            command,
            log=log,
            folder=folder,
            verbose=verbose,
            environment={**os.environ, "DIST_EXTRA_CONFIG": str(settings)},
        )


def _in_image(requirement: Requirement, wheels: Path) -> str:
    (wheel,) = wheels.glob(f"{requirement.name.replace('-', '_')}-*.whl")
    return environment.located(requirement, Path("/opt/edge/wheels") / wheel.name)


def _excluded(folder: Path, patterns: tuple[str, ...]) -> Callable[[str, list[str]], set[str]]:
    def ignore(parent: str, names: list[str]) -> set[str]:
        inner = Path(parent).relative_to(folder)
        return {
            name
            for name in names
            for pattern in (*_ALWAYS_EXCLUDED, *patterns)
            if fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch((inner / name).as_posix(), pattern.rstrip("/"))
        }

    return ignore
