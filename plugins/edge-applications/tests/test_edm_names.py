"""What packages of EDM are called at PyPI, and which are left out with a warning."""

from __future__ import annotations

import pytest

from edge_applications.develop.edm_names import parse_pip, translate
from edge_core.errors import BadEntry


@pytest.mark.parametrize(
    ("edm", "pip"),
    [
        ("numpy", "numpy"),
        ("numpy == 1.26.4-2", "numpy==1.26.4"),
        ("numpy ^= 1.26.4", "numpy==1.26.4"),
        ("numpy >= 1.26, < 2", "numpy<2,>=1.26"),
        ("scikit_learn", "scikit-learn"),
        ("pillow_simd", "pillow"),
        ("pytables ^= 3.9.1", "tables==3.9.1"),
        ("opencv_python", "opencv-python-headless"),
        ("PyYAML", "pyyaml"),
    ],
)
def test_a_package_has_the_name_and_versions_it_has_at_pypi(edm: str, pip: str) -> None:
    translation = translate([edm])

    assert [str(line) for line in translation.requirements] == [pip]
    assert translation.warnings == []


def test_edge_is_what_is_installed_here() -> None:
    requirements = [str(line) for line in translate(["enthought_edge ^= 2.16.0", "edge_cli"]).requirements]

    assert "edge-files" in requirements
    assert "edge-cli" in requirements
    assert "enthought-edge" not in requirements
    assert [str(line) for line in parse_pip(["enthought_edge"])] == requirements[:-1]


def test_what_may_be_somebody_elses_at_pypi_is_left_out_with_a_warning() -> None:
    translation = translate(["lab_internal", "mkl", "numpy"])

    assert [str(line) for line in translation.requirements] == ["numpy"]
    unknown, unneeded = translation.warnings
    assert unknown.startswith("lab_internal is left out: no package at PyPI is known to be the same")
    assert unneeded.startswith("mkl is left out: it has no package at PyPI")


@pytest.mark.parametrize("line", ["--index-url https://evil.org", "-r other.txt", "numpy; import os", "", "a b"])
def test_an_option_is_no_requirement(line: str) -> None:
    with pytest.raises(BadEntry, match="is no requirement"):
        parse_pip([line])


@pytest.mark.parametrize("line", ["--index-url https://evil.org", "", "numpy ~ 1"])
def test_what_is_no_requirement_of_edm_is_refused(line: str) -> None:
    with pytest.raises(BadEntry, match="is no requirement"):
        translate([line])
