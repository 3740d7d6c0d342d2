"""The environment of an application: from where its packages come, and when it is built anew."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from edge_applications import app_config
from edge_applications.develop import edge_packages, environment, image
from edge_core.errors import BadEntry, ConfigurationError

BEGINNING = 'app_id: viewer\napp_version: "1.0.0"\n'


def configured(folder: Path, more: str = "") -> app_config.AppConfig:
    (folder / "app_config.yaml").write_text(BEGINNING + more)
    return app_config.read(folder)


def lab_tools(folder: Path) -> Path:
    """The source of a distribution with a module."""
    source = folder / "lab"
    source.mkdir()
    (source / "setup.cfg").write_text("[metadata]\nname = lab-tools\nversion = 1\n[options]\npy_modules = lab\n")
    (source / "pyproject.toml").write_text('[build-system]\nrequires = ["setuptools>=77"]\n')
    (source / "lab.py").write_text("wells = 96\n")
    return source


@pytest.mark.slow
@pytest.mark.parametrize("with_uv", [True, False], ids=["uv", "venv"])
def test_it_is_built_with_and_without_uv_and_anew_if_the_configuration_changes(
    with_uv: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_uv:
        monkeypatch.setattr(environment, "_uv", lambda: [])
    lab = lab_tools(tmp_path)  # in place of an index: a package that is built here
    folder = tmp_path / "viewer"
    folder.mkdir()
    config = configured(folder, f'app_deps: {{pip: ["lab-tools @ {lab.as_uri()}"]}}\n')
    assert environment.existing(folder, config) is None

    built, warnings = environment.build(folder, config)

    wells = [built.python, "-c", "import lab; print(lab.wells)"]
    assert subprocess.run(wells, capture_output=True, text=True, check=True, env=built.variables()).stdout == "96\n"
    assert warnings == []
    assert environment.existing(folder, config) == built
    assert environment.existing(folder, configured(folder, "app_deps: {pip: [numpy]}\n")) is None


@pytest.mark.slow
def test_a_wheel_for_an_image_leaves_nothing_beside_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = lab_tools(tmp_path)
    (lab / "build" / "lib").mkdir(parents=True)
    (lab / "build" / "lib" / "old.py").write_text("")  # what an earlier build has left
    before = sorted(lab.rglob("*"))
    monkeypatch.setattr(edge_packages, "source", lambda _name: lab)

    image._add_wheel("lab-tools", tmp_path / "wheels", tmp_path, False)

    assert sorted(lab.rglob("*")) == before
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        assert [name for name in content.namelist() if "/" not in name] == ["lab.py"]


def test_a_distribution_of_edge_comes_from_where_it_came_here_with_all_it_needs() -> None:
    needed = edge_packages.with_requirements([Requirement("edge-files")])

    assert set(needed) == {"edge-core", "edge-files", "edge-vfs"}
    assert all((edge_packages.source(name) / "setup.cfg").is_file() for name in needed)


def test_wheels_come_from_the_folder_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "edge_core-0.1.0-py3-none-any.whl"
    wheel.touch()
    (tmp_path / "no wheel.whl").touch()
    monkeypatch.setenv("EDGE_WHEELS", str(tmp_path))

    assert edge_packages.source("edge-core") == wheel
    with pytest.raises(ConfigurationError, match="has no wheel of edge-files; build the wheels of Edge again"):
        edge_packages.source("edge-files")


def test_what_is_not_here_cannot_be_installed_for_an_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.distributions", lambda **_: [])
    with pytest.raises(ConfigurationError, match="name their folder in EDGE_WHEELS"):
        edge_packages.source("edge-core")


def test_no_distribution_of_edge_comes_from_an_index(tmp_path: Path) -> None:
    needed = environment.needs(
        configured(tmp_path, "app_deps: {edm: [enthought_edge], pip: [flask]}\n"), development=True
    )

    assert [str(line) for line in needed.others] == ["flask"]
    assert {"edge-core", "edge-files", "edge-vfs"} <= set(needed.ours)


def test_what_working_on_it_needs_is_not_in_its_image(tmp_path: Path) -> None:
    config = configured(tmp_path, "app_deps: {pip: [flask]}\nenv_deps: {pip: [pytest]}\n")

    assert [str(line) for line in environment.needs(config, development=True).others] == ["flask", "pytest"]
    assert [str(line) for line in environment.needs(config, development=False).others] == ["flask"]


def test_a_python_that_edge_does_not_run_with_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadEntry, match="3.8 is older than 3.11, the oldest that Edge runs with; run edge app upgrade"):
        environment.needs(configured(tmp_path, 'python_version: "3.8"\n'), development=True)


def test_a_variable_of_another_python_does_not_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")

    variables = environment.Environment(Path(sys.prefix)).variables()

    assert "PYTHONHOME" not in variables
    assert variables["PATH"].startswith(f"{sys.prefix}/bin:")
