"""`edge plugins new`: what it makes, and what it refuses."""

from __future__ import annotations

import compileall
import configparser
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_cli.main import cli
from edge_cli.new import create
from edge_core.errors import EdgeError

TEMPLATE = Path(__file__).parents[2] / "edge-template"


def files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not {"__pycache__", ".pytest_cache"} & set(path.parts) and ".egg-info" not in str(path)
    }


@pytest.mark.parametrize(
    ("name", "folder", "package", "kind"),
    [
        ("lims", "edge-lims", "edge_lims", "Lims"),
        ("plate_reader", "edge-plate-reader", "edge_plate_reader", "PlateReader"),
    ],
)
def test_a_new_plugin_is_the_template_under_another_name(
    name: str, folder: str, package: str, kind: str, tmp_path: Path
) -> None:
    done = CliRunner().invoke(cli, ["plugins", "new", name, "--in", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0
    assert f"cd {tmp_path / folder} && python -m pip install -e . && python -m pytest" in done.output
    names = {path.replace("edge_template", package).replace("template", name) for path in files(TEMPLATE)}
    assert files(tmp_path / folder) == names
    for path in (tmp_path / folder).rglob("*.*"):
        assert "template" not in path.read_text().lower(), path
    assert compileall.compile_dir(tmp_path / folder, quiet=1)
    config = configparser.ConfigParser(interpolation=None)
    config.read(tmp_path / folder / "setup.cfg")
    assert config["metadata"]["name"] == folder
    assert config["options.entry_points"]["edge.namespaces"].strip() == f"{name} = {package}.namespace:{kind}"
    assert "options.data_files" not in config, "its wheel needs no copy of its source"


@pytest.mark.parametrize("name", ["", "Lims", "2lims", "my-lims", "../lims", "_lims", "lïms", "class", "match"])
def test_what_cannot_be_an_attribute_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="choose"):
        create(name, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["files", "billing", "whoami", "get", "template", "core", "server", "cli", "meta"])
def test_a_name_that_is_taken_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="taken"):
        create(name, tmp_path)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "edge-lims").mkdir()
    with pytest.raises(EdgeError, match="exists already"):
        create("lims", tmp_path)
    assert not list((tmp_path / "edge-lims").iterdir())
