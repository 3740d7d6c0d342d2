"""What a limited token may do: its scopes.

A token without scopes may do all that its user may. Scopes only take away, and those of different
kinds take away from each other:

- ``read``: nothing is changed;
- ``org:NAME``: in this organization alone; several of them, in these;
- ``NAMESPACE``, as in ``files``: this part of the API alone; several of them, these.
  ``NAMESPACE:read`` lets it be read and not changed.

So ``files:read org:lab`` reads the files of one organization, and ``read files`` is ``files:read``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

READ = "read"
ORGANIZATION = "org:"
READING = ":read"

WORDS = frozenset({READ, ORGANIZATION.rstrip(":")})
"""What no namespace can be called, since a scope says it already."""

_LONGEST_SHOWN = 60


class UnknownScope(ValueError):
    """A text is not a scope."""


@dataclasses.dataclass(frozen=True)
class Scopes:
    """What a token is limited to; None in one of its places is no limit of that kind.

    Attributes:
        organizations: short names of those it may be used in.
        reads: the namespaces it may read.
        writes: the namespaces in which it may change something; they are among `reads`.
    """

    organizations: frozenset[str] | None = None
    reads: frozenset[str] | None = None
    writes: frozenset[str] | None = None

    def texts(self) -> list[str] | None:
        """The scopes in words, each limit said once; None for no limit at all."""
        if self == UNLIMITED:
            return None
        texts = [f"{ORGANIZATION}{name}" for name in self.organizations or ()]
        if self.reads is not None:
            texts += [name if name in (self.writes or ()) else f"{name}{READING}" for name in self.reads]
        elif self.writes is not None:
            texts.append(READ)
        return sorted(texts)

    def within(self, others: Scopes) -> bool:
        """Whether a token with these may do nothing that one with `others` may not."""
        return (
            _is_within(self.organizations, others.organizations)
            and _is_within(self.reads, others.reads)
            and _is_within(self.writes, others.writes)
        )

    def lacking(self, namespace: str, *, writes: bool) -> str | None:
        """The scope that is lacking for something in a namespace; None if none is.

        Args:
            namespace: where it belongs.
            writes: whether it changes something.
        """
        if self.reads is not None and namespace not in self.reads:
            return namespace if writes else f"{namespace}{READING}"
        if writes and self.writes is not None and namespace not in self.writes:
            return namespace
        return None

    def lacking_organization(self, name: str) -> str | None:
        """The scope that is lacking for something in an organization; None if none is."""
        return None if self.organizations is None or name in self.organizations else f"{ORGANIZATION}{name}"


UNLIMITED = Scopes()
"""Of a token that may do all that its user may."""


def parse(texts: Collection[str], namespaces: Collection[str] | None = None) -> Scopes:
    """What scopes in words say.

    Args:
        texts: the scopes; there is at least one.
        namespaces: those there are; None takes any, since one of a plugin that is gone allows nothing.

    Raises:
        UnknownScope: one of them is no scope, or there is none; the sentence names those there are.
    """
    organizations, reads, writes = set(), set(), set()
    for text in texts:
        namespace = text.removesuffix(READING)
        if text == READ:
            continue
        if text.startswith(ORGANIZATION) and text != ORGANIZATION:
            organizations.add(text.removeprefix(ORGANIZATION))
        elif namespaces is None or namespace in namespaces:
            reads.add(namespace)
            if namespace == text:
                writes.add(namespace)
        else:
            raise UnknownScope(f"{text[:_LONGEST_SHOWN]!r} is not a scope; {_known(namespaces)}")
    if not texts:
        raise UnknownScope(f"leave them out for a token without limits, or give one; {_known(namespaces or ())}")
    if READ in texts:
        writes.clear()
    limited_writes = reads or READ in texts
    return Scopes(
        frozenset(organizations) if organizations else None,
        frozenset(reads) if reads else None,
        frozenset(writes) if limited_writes else None,
    )


def _is_within(names: frozenset[str] | None, others: frozenset[str] | None) -> bool:
    return others is None or (names is not None and names <= others)


def _known(namespaces: Collection[str]) -> str:
    return (
        f"they are {READ}, {ORGANIZATION}NAME for an organization, and {', '.join(sorted(namespaces))}, "
        f"each of these also as in {next(iter(sorted(namespaces)), 'files')}{READING}"
    )
