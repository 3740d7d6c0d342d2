"""When two names are the same: `Ada` and `ada` are, however their letters are composed.

What people read as one name must not be two users, or two organizations: an invitation or a role would go to the wrong
one of them.
"""

from __future__ import annotations

import unicodedata

LENGTH = 400
"""Most characters of the key of a name of 100: a letter can become up to three, and decompose."""


def name_key(name: str) -> str:
    """What is the same for names that differ by case or composition alone (Unicode, section 3.13, D145).

    >>> name_key("Ada") == name_key("ADA"), name_key("Ada") == name_key("Eda")
    (True, False)
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
