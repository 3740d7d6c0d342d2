"""What errors advise, in the words of who calls: Python's arguments, or the options of a command."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Mapping

_PYTHON: Mapping[str, str] = {
    "allow_empty": "allow_empty=True deletes them all the same",
    "exist_ok": "exist_ok=True returns a folder that exists",
    "localpath": "give another name by localpath=",
    "merge": "overwrite=True copies into it, where files of the same names are replaced",
    "overwrite": "overwrite=True replaces it",
    "recursive": "recursive=True deletes it and everything in it",
    "strict": "leave strict out to skip it",
}

_in_force: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar("advice", default=_PYTHON)


def advice(on: str) -> str:
    """Return the end of a sentence that says what to do.

    Args:
        on: what is advised, such as ``"overwrite"``.

    >>> advice("overwrite")
    'overwrite=True replaces it'
    """
    return _in_force.get()[on]


@contextlib.contextmanager
def worded(words: Mapping[str, str]) -> Iterator[None]:
    """Have errors advise in other words than Python's, in this context.

    Args:
        words: what is advised, with the end of the sentence; what is not named keeps its words.

    >>> with worded({"overwrite": "--overwrite replaces it"}):
    ...     print(advice("overwrite"))
    --overwrite replaces it
    """
    before = _in_force.set({**_in_force.get(), **words})
    try:
        yield
    finally:
        _in_force.reset(before)
