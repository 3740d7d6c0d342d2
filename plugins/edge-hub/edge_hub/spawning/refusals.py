"""Why a server is not started."""

from __future__ import annotations


class Refused(Exception):
    """A server is not started.

    Attributes:
        status: of the hub's answer. Below 500, as a hub that counts failures of spawners would end itself else.
        sentence: for who has started it.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
