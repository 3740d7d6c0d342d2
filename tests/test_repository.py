"""What must be the same in every distribution: the version, the pins, the names, the folders."""

from __future__ import annotations

import configparser
import re
import shutil
from pathlib import Path

import pytest

from tools.set_version import PIN, ROOT, VERSION, minor_line, set_version, setup_files

PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/setup.cfg"))
BUILD_SYSTEM_ONLY = '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'

each_plugin = pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)


def _versions(root: Path) -> set[str]:
    return {version for path in setup_files(root) for version in VERSION.findall(path.read_text())}


def _pins(root: Path) -> set[str]:
    return {line for path in setup_files(root) for _, line in PIN.findall(path.read_text())}


def _config(path: Path) -> configparser.ConfigParser:
    config = configparser.ConfigParser(interpolation=None)
    config.read(path)
    return config


def _lines(config: configparser.ConfigParser, section: str) -> list[str]:
    values = config[section].values() if config.has_section(section) else ()
    return [line for value in values for line in value.splitlines() if line]


def test_all_distributions_have_the_same_version() -> None:
    assert len(_versions(ROOT)) == 1


def test_our_distributions_require_each_other_on_the_line_of_that_version() -> None:
    (version,) = _versions(ROOT)

    assert _pins(ROOT) == {minor_line(version)}


@pytest.mark.parametrize("path", setup_files(), ids=lambda path: path.parent.name)
def test_no_distribution_of_ours_is_required_without_its_line(path: Path) -> None:
    ours = {"edge-core", *(folder.name for folder in PLUGINS)}
    config = _config(path)

    required = [*_lines(config, "options"), *_lines(config, "options.extras_require")]
    named = [line for line in required if re.split(r"[^\w-]", line)[0] in ours]

    assert [line for line in named if not PIN.fullmatch(line)] == []


def test_set_version_moves_every_version_and_pin(tmp_path: Path) -> None:
    for path in setup_files():
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)

    set_version("7.8.9", tmp_path)

    assert _versions(tmp_path) == {"7.8.9"}
    assert _pins(tmp_path) == {"7.8.0"}


@pytest.mark.parametrize("version", ["", "1", "1.2", "1.2.3rc1", "v1.2.3"])
def test_set_version_takes_three_numbers_only(version: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="three numbers"):
        set_version(version, tmp_path)


@each_plugin
def test_folder_distribution_package_and_namespace_have_the_same_name(folder: Path) -> None:
    short = folder.name.removeprefix("edge-")
    package = f"edge_{short}"
    config = _config(folder / "setup.cfg")
    points = config.get("options.entry_points", "edge.namespaces", fallback="")
    namespaces = [line.partition("=")[0].strip() for line in points.split("\n") if line]

    assert folder.name == f"edge-{short}" == config["metadata"]["name"]
    assert config["options.packages.find"]["include"].split() == [package, f"{package}.*"]
    assert namespaces in ([], [short])


@each_plugin
def test_every_plugin_folder_looks_the_same(folder: Path) -> None:
    package = folder / folder.name.replace("-", "_")

    assert (folder / "pyproject.toml").read_text() == BUILD_SYSTEM_ONLY
    assert (folder / "README.md").read_text().startswith(f"# {folder.name}\n")
    assert (package / "__init__.py").is_file()
    assert (package / "py.typed").is_file()
    assert list((folder / "tests").glob("test_*.py"))
    # A second package called `tests` would take the first one's place; relative imports work without.
    assert not (folder / "tests" / "__init__.py").exists()


@each_plugin
def test_every_plugin_is_installed_for_development(folder: Path) -> None:
    lines = (ROOT / "requirements-dev.txt").read_text().splitlines()

    assert [line for line in lines if re.split(r"\[", line)[0] == f"-e ./plugins/{folder.name}"]


def test_every_plugin_is_among_everything_there_is() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    named = [re.split(r"\[", line)[0] for line in lines if line.startswith("./plugins/")]

    # The template is to be copied: installed, it would add a subsystem that nobody uses. Tests need pytest.
    for_authors = {"edge-template", "edge-testing"}
    assert sorted(named) == [f"./plugins/{folder.name}" for folder in PLUGINS if folder.name not in for_authors]


def test_ruff_has_the_same_version_everywhere() -> None:
    files = ["requirements-dev.txt", "tox.ini", ".pre-commit-config.yaml"]
    pins = {name: set(re.findall(r"ruff==([\d.]+)", (ROOT / name).read_text())) for name in files}

    assert len(set.union(*pins.values())) == 1
    assert all(pins.values())


def test_no_distribution_but_the_core_ships_anything_under_edge() -> None:
    assert not list(ROOT.glob("plugins/*/edge/**/*.py"))
