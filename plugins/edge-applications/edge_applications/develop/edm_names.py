"""What packages of EDM are called at PyPI."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from edge_applications.develop.edge_packages import CLIENT
from edge_core.errors import BadEntry

_OURS = {"enthought-edge": CLIENT, "edge-cli": ("edge-cli",)}

_RENAMED = {
    "dateutil": "python-dateutil",
    "graphviz-python": "graphviz",
    "msgpack-python": "msgpack",
    "opencv": "opencv-python-headless",
    "opencv-python": "opencv-python-headless",
    "pillow-simd": "pillow",
    "pyqt": "PyQt5",
    "pytables": "tables",
    "pytorch": "torch",
    "sklearn": "scikit-learn",
}

_SAME = frozenset(
    """
    altair apptools attrs beautifulsoup4 black bokeh boto3 botocore certifi chaco click cryptography cython dash
    dash-ag-grid dash-bootstrap-components dask distributed docker enable envisage fastapi flake8 flask fsspec
    gunicorn h5py holoviews hvplot httpx idna imageio ipykernel ipython ipywidgets isort jinja2 joblib jsonschema
    jupyter jupyterlab keras lightgbm lxml mako markdown markupsafe marshmallow matplotlib mayavi mock mypy
    networkx nltk notebook numba numexpr numpy openpyxl packaging pandas panel param patsy pillow plotly polars
    psutil psycopg2 pyarrow pycparser pydantic pyface pygments pymysql pyparsing pyqt5 pyqt6 pyside6 pytest
    pytest-cov python-dateutil pytz pywavelets pyyaml pyzmq redis requests s3fs scikit-image scikit-learn scimath
    scipy seaborn setuptools shapely six sqlalchemy statsmodels streamlit sympy tables tensorflow toolz torch
    tornado tqdm traitlets traits traitsui typing-extensions urllib3 uvicorn vtk waitress websockets werkzeug
    wheel xarray xgboost xlrd xlsxwriter zarr
    """.split()  # noqa: SIM905 - a name a line would be a page
)
"""Packages that are the same at PyPI; others may be somebody else's there."""

_UNNEEDED = frozenset(
    """
    appinst edm freetype hdf5 intel-openmp intel-runtime libgfortran libjpeg libpng libxml2 libxslt mkl openssl pip
    qt sip swig tcl tk zlib
    """.split()  # noqa: SIM905
)
"""Parts of EDM, and libraries that wheels at PyPI carry with them."""

_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(.*)")


class Translation(NamedTuple):
    """Requirements of EDM as pip takes them.

    Attributes:
        requirements: the requirements.
        warnings: a sentence for each that is left out.
    """

    requirements: list[Requirement]
    warnings: list[str]


def translate(lines: Iterable[str]) -> Translation:
    """Translate requirements of EDM.

    >>> translate(["pytables ^= 3.9.1", "numpy == 1.26.4-2"]).requirements
    [<Requirement('tables==3.9.1')>, <Requirement('numpy==1.26.4')>]

    Raises:
        BadEntry: a line is no requirement.
    """
    requirements: list[Requirement] = []
    warnings: list[str] = []
    for line in lines:
        match = _REQUIREMENT.fullmatch(line.strip())
        if match is None:
            raise BadEntry(f"app_deps: edm: {line!r} is no requirement; write it as in numpy ^= 1.26")
        name, versions = canonicalize_name(match[1]), _versions(match[2])
        if name in _OURS:
            # The version was that of another library, which does the same.
            requirements += map(Requirement, _OURS[name])
        elif name in _RENAMED or name in _SAME:
            requirements.append(_requirement(f"{_RENAMED.get(name, name)}{versions}", line))
        elif name in _UNNEEDED:
            warnings.append(f"{match[1]} is left out: it has no package at PyPI and none is needed there.")
        else:
            warnings.append(
                f"{match[1]} is left out: no package at PyPI is known to be the same; if there is one, add it to "
                "app_deps: pip, and remove it from edm."
            )
    return Translation(requirements, warnings)


def parse_pip(lines: Iterable[str]) -> list[Requirement]:
    """Read requirements of pip; names of EDM's packages of Edge are those of our distributions.

    Raises:
        BadEntry: a line is no requirement; options, such as another index, are none.
    """
    requirements: list[Requirement] = []
    for line in lines:
        requirement = _requirement(line, line)
        ours = _OURS.get(canonicalize_name(requirement.name))
        requirements += map(Requirement, ours) if ours else [requirement]
    return requirements


def _requirement(text: str, line: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement:
        raise BadEntry(f"app_deps: {line!r} is no requirement; write it as in numpy>=1.26") from None


def _versions(text: str) -> str:
    """`^= 1.2` is that version in any build, and `-3` a build."""
    return re.sub(r"-[0-9]+(?=\s|,|$)", "", text.replace("^=", "==")).replace(" ", "")
