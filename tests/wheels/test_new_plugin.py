"""`edge plugins new`, from the wheels alone: what it makes installs, gets a column, and its tests pass."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from tests.wheels.environments import BUILD, UV, Install, run

pytestmark = pytest.mark.slow


def test_a_new_plugin_installs_and_passes_at_once(install: Install, tmp_path: Path) -> None:
    environment = install("edge-template", "edge-cli", "edge-server", "edge-testing", "setuptools")
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("EDGE_", "PYTHON"))}
    before = time.monotonic()

    code = "from edge_cli.main import main; main()"
    run(environment.python, "-c", code, "plugins", "new", "lims", cwd=tmp_path, env=outside)
    folder = tmp_path / "edge-lims"
    run(*UV, "pip", "install", *BUILD, "--python", environment.python, "-e", folder, cwd=tmp_path)
    models = folder / "edge_lims" / "models.py"
    text = "    text: Mapped[str] = mapped_column(Text)\n"
    assert models.read_text().count(text) == 1
    models.write_text(models.read_text().replace(text, f"{text}    reviewed_by: Mapped[str | None]\n"))
    migration = run(
        environment.python, "-c", code, "plugins", "migration", "lims", "-m", "Reviews.", cwd=tmp_path, env=outside
    )
    assert f"{folder / 'edge_lims' / 'migrations' / 'v0002_reviews.py'} is written." in migration
    report = run(environment.python, "-m", "pytest", "-q", cwd=folder, env=outside)

    print(f"from `edge plugins new lims` to a passing test run: {time.monotonic() - before:.1f} s\n{report}")
    assert re.search(r"\d+ passed", report)
    assert "skipped" not in report
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if "__pycache__" not in path.parts]
    assert not [name for name in names if "template" in name]
