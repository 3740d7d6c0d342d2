"""The former place of `edge_testing.chaos`."""

import sys
from typing import TYPE_CHECKING

from edge_core.testing import moved

if TYPE_CHECKING:
    from edge_testing.chaos import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]

sys.modules[__name__] = moved("chaos")
