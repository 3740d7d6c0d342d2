"""What is in each wheel, file by file.

After a change that was meant: EDGE_UPDATE_CONTENTS=1 python -m pytest tests/wheels/test_contents.py
writes the lists anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.wheels.environments import Wheel
from tools.set_version import setup_files

CONTENTS = Path(__file__).parent / "contents"
DISTRIBUTIONS = ["edge-core", *(path.parent.name for path in setup_files()[1:])]

pytestmark = pytest.mark.slow

# What the build tool writes for itself.
NOISE = re.compile(r".*\.dist-info/(RECORD|WHEEL|top_level\.txt)")


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_wheel_holds_exactly_the_listed_files(name: str, wheels: dict[str, Wheel]) -> None:
    files = [re.sub(r"-[^/]*(?=\.dist-info/)", "", file) for file in wheels[name].files if not NOISE.fullmatch(file)]
    text = "".join(f"{file}\n" for file in sorted(files))
    listed = CONTENTS / f"{name}.txt"
    if os.environ.get("EDGE_UPDATE_CONTENTS"):
        listed.parent.mkdir(exist_ok=True)
        listed.write_text(text)

    assert text.splitlines() == listed.read_text().splitlines()


def test_every_distribution_is_built_and_listed(wheels: dict[str, Wheel]) -> None:
    assert sorted(wheels) == sorted(DISTRIBUTIONS) == sorted(path.stem for path in CONTENTS.glob("*.txt"))


def test_only_the_core_owns_the_package_edge(wheels: dict[str, Wheel]) -> None:
    assert [name for name, wheel in wheels.items() if any(file.startswith("edge/") for file in wheel.files)] == [
        "edge-core"
    ]


def test_the_core_needs_four_libraries(wheels: dict[str, Wheel]) -> None:
    needed = {re.split(r"[<>=!~]", requirement)[0]: requirement for requirement in wheels["edge-core"].requirements}

    assert sorted(needed) == ["marshmallow", "pluggy", "requests"]
    assert needed["pluggy"] == "pluggy>=1.7"
    assert needed["marshmallow"] == "marshmallow<5,>=3.26"


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_wheel_is_typed_and_says_what_it_is(name: str, wheels: dict[str, Wheel]) -> None:
    wheel = wheels[name]

    assert f"{name.replace('-', '_')}/py.typed" in wheel.files
    assert wheel.metadata["License"] == "BSD-3-Clause"
    assert str(wheel.metadata.get_payload()).startswith("# "), "the README is its description"
