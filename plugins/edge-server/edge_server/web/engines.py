"""The engines a server runs on, held by the app: what keeps its data, its keys and its time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol, cast

import flask
from sqlalchemy.orm import Session

from edge_server.base import at_hand
from edge_server.base.audit import AuditLog
from edge_server.base.background import Background
from edge_server.base.configuration import Configuration
from edge_server.data.database import Database, Transaction
from edge_server.data.store import Store
from edge_server.identity.kinds import Identity
from edge_server.identity.token_use import TokenUse
from edge_server.keys.keepers import Keepers
from edge_server.keys.signing import Signer
from edge_server.web.client_address import TrustedProxies
from edge_server.web.leases import Leases
from edge_server.web.lifecycle import Lifecycle
from edge_server.web.machines import Machines
from edge_server.web.rates import Rates
from edge_server.web.space import Space
from edge_server.web.stored_content import StoredContent

_NAME = "edge_server.engines"


Paths = Callable[[Session, Collection[str]], Mapping[str, str]]
"""The paths of things by their uid; one that is not among them cannot be found any more."""


class NameIndex(Protocol):
    """Where names are kept that search finds. Each change belongs to the transaction that changes the name."""

    def add_all(self, transaction: Transaction, organization_id: int, kind: str, names: Mapping[str, str], /) -> None:
        """Index the names of new things, by their uids."""
        ...

    def rename(self, transaction: Transaction, kind: str, uid: str, name: str, /) -> None:
        """Index another name of something that is indexed."""
        ...

    def remove(self, transaction: Transaction, kind: str, uids: Collection[str], /) -> None:
        """Take names out of the index; those that are not in it are passed over."""
        ...


@dataclasses.dataclass
class Threads:
    """The threads of each process that answer requests; known when it starts to serve."""

    count: int = 16


@dataclasses.dataclass(frozen=True)
class Engines:
    """What every subsystem works with, by its context.

    Attributes:
        folder: the data folder, where the operator's files are.
        database: metadata.
        store: content.
        signer: signs addresses.
        sealer: seals secrets.
        identity: tells whose a token is.
        audit: the audit log.
        configuration: the operator's settings.
        names: the index that search looks into.
        kinds: the kinds of things in it, and what tells where those are that have a path.
        stored: the subsystems' columns of keys of content.
        token_use: the uses of tokens that are not written yet.
        background: what goes on beside answering.
        leases: the claims on what this process is at.
        lifecycle: what happens when an organization or a user comes or goes.
        threads: how many threads answer requests.
        rates: how often what is limited was asked for.
        proxies: the proxies that are believed where a request comes from.
        space: tells what an organization holds.
        machines: tells what an app profile gives, and counts app hours.
    """

    folder: Path
    database: Database
    store: Store
    signer: Signer
    sealer: Keepers
    identity: Identity
    audit: AuditLog
    configuration: Configuration
    names: NameIndex
    kinds: dict[str, Paths | None]
    stored: list[StoredContent]
    token_use: TokenUse
    background: Background
    leases: Leases
    lifecycle: Lifecycle
    threads: Threads
    rates: Rates
    proxies: TrustedProxies
    space: Space
    machines: Machines


def install(app: flask.Flask, engines: Engines) -> None:
    """Give `app` its engines."""
    app.extensions[_NAME] = engines


def engines() -> Engines:
    """The engines of the app that answers the request at hand."""
    return engines_of(at_hand.app())


def engines_of(app: flask.Flask) -> Engines:
    """The engines of `app`."""
    return cast(Engines, app.extensions[_NAME])
