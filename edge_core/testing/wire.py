"""The former place of `edge_testing.wire`."""

import sys
from typing import TYPE_CHECKING

from edge_core.testing import moved

if TYPE_CHECKING:
    from edge_testing.wire import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]

sys.modules[__name__] = moved("wire")
