"""What happens when an organization or a user comes or goes.

Rows are added and removed in the transaction of the event. Content and calls to other systems come
afterwards and are repeated until they are done: for an organization by its removal, which goes on as
long as the organization's row is there; for a user by `departures`, which keeps a row for each
subsystem that is not done yet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

InTransaction = Callable[[Session, int], object]
"""Called with a writing transaction and the id of the organization or user."""

OfMember = Callable[[Session, int, int], object]
"""Called with a writing transaction, the id of the organization and that of the user."""

Afterwards = Callable[[int], object]
"""Called with the id of the organization or user, again and again until it does not raise."""


@dataclasses.dataclass
class Lifecycle:
    """What the subsystems do at each event, in the order they were loaded.

    Attributes:
        organization_added: in the transaction that adds an organization.
        organization_closing: in the transaction that closes one, from which on nobody gets in.
        organization_removed: after that, before its rows go.
        member_left: in the transaction in which a member leaves an organization, or an admin ends all
            that they have open there.
        user_removed: in the transaction that removes a user.
        user_gone: after that, by the subsystem's name.
    """

    organization_added: list[InTransaction] = dataclasses.field(default_factory=list)
    organization_closing: list[InTransaction] = dataclasses.field(default_factory=list)
    organization_removed: list[Afterwards] = dataclasses.field(default_factory=list)
    member_left: list[OfMember] = dataclasses.field(default_factory=list)
    user_removed: list[InTransaction] = dataclasses.field(default_factory=list)
    user_gone: dict[str, Afterwards] = dataclasses.field(default_factory=dict)


def tell(callbacks: Sequence[Callable[..., object]], session: Session, *subjects: int) -> None:
    """Call what is to be done in a transaction."""
    for callback in callbacks:
        callback(session, *subjects)
