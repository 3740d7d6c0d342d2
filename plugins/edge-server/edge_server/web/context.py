"""The one door: what a subsystem of the server is given, and what it gives back.

A subsystem is a callable that takes a `Context` and returns `Parts`. The server's own are entered
here, and so is the server half that a plugin brings under the entry-point group ``edge.server``,
which imports nothing of the server:

    plugin_api = 1

    def server(context):
        routes = context.routes()

        @routes.operation("lab.status", "GET", "/status", who="member")
        @routes.response(200, Status.schema())
        def status(org):
            return context.answer(Status(text="open"))

        return context.subsystem(routes)

A subsystem keeps to its own name: its operations are called ``lab.…``, its addresses begin with
``/v1/orgs/<org>/lab``, its tables are called ``lab_…``. It sees its own tables, content and names,
and the organization of the request at hand, and nothing of another subsystem's.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import flask
import marshmallow
import sqlalchemy as sa
import sqlalchemy.event
from sqlalchemy.orm import InstrumentedAttribute, Session

from edge_core.records import Record
from edge_server.base import clock, pages, problems
from edge_server.base.background import Task
from edge_server.base.operator_files import OperatorFile
from edge_server.base.problems import Refusal
from edge_server.data.database import SERVER, session_of
from edge_server.data.store import Store
from edge_server.identity.models import Organization
from edge_server.keys.sealed_column import SealedColumn
from edge_server.keys.sealing import Place
from edge_server.web import (
    answers,
    auditing,
    counting,
    idempotency,
    permissions,
    signers,
    snapshot,
    throttling,
    updates,
)
from edge_server.web.answers import Revised
from edge_server.web.counting import Counter
from edge_server.web.engines import Engines, Paths
from edge_server.web.fence import fenced
from edge_server.web.lifecycle import Afterwards, InTransaction, OfMember
from edge_server.web.names import Names
from edge_server.web.parts import Parts
from edge_server.web.permissions import Caller, Member
from edge_server.web.rates import SIGNING
from edge_server.web.routes import Routes
from edge_server.web.stored_content import StoredContent

_R = TypeVar("_R", bound=Record)
_T = TypeVar("_T")
_P = ParamSpec("_P")


class Context:
    """What a subsystem works with.

    Args:
        name: the subsystem's name.
        engines: what the server runs on.
    """

    SERVER: Final = SERVER
    """What `write` takes where no single organization is touched."""

    def __init__(self, name: str, engines: Engines) -> None:
        self.name = name
        self._engines = engines
        self._store = engines.store.part(name)
        self._metadata: sa.MetaData | None = None
        self._sealed: list[SealedColumn] = []
        self._stored: list[StoredContent] = []
        self._tasks: list[Task] = []
        self._counters: list[Counter] = []
        self._before_start: list[Callable[[], object]] = []

    # --- at the start -----------------------------------------------------------------------------

    def routes(self, prefix: str | None = None, *, group: str | None = None) -> Routes:
        """A group of addresses; ``/v1/orgs/<org>/NAME`` unless `prefix` says otherwise.

        Its decorators are ``operation(id, method, address, who=, secret_answer=False, repeatable=False,
        max_json=65536)``, ``arguments(schema)``, ``response(status, schema)`` and ``merge_patch(record)``.
        A view gets what its arguments are, then what its address names.

        Args:
            prefix: what the addresses begin with.
            group: what the API description calls them; the subsystem's name by default.
        """
        return Routes(group or self.name, __name__, url_prefix=prefix or f"/v1/orgs/<org>/{self.name}")

    def subsystem(self, *routes: Routes, metadata: sa.MetaData | None = None, migrations: Path | None = None) -> Parts:
        """What the callable returns: its addresses and tables, and all that it has asked the context for.

        Args:
            routes: its groups of addresses.
            metadata: its tables, if it has any; their names begin with the subsystem's.
            migrations: folder of the Alembic revisions that build those tables.
        """
        self._metadata = metadata
        return Parts(
            routes,
            metadata,
            migrations,
            tuple(self._sealed),
            tuple(self._stored),
            tuple(self._tasks),
            tuple(self._counters),
            tuple(self._before_start),
        )

    def sealed(self, column: InstrumentedAttribute[Any], place: Callable[[Any], Place] | None = None) -> SealedColumn:
        """A column of encrypted content, to be read by its `open(row)`.

        It is filled in two steps, since the key may be on another machine, which nobody who writes shall wait for:
        `prepare(row, content)` before the writing transaction, and in it `keep(row, prepared)`. A rotation of the
        keys finds the column by this.

        Args:
            column: a nullable or other column of bytes; its table has an integer `id`.
            place: tells of a row where its content is sealed to: organization, owner, which begins
                with the name of the subsystem or of the table, and name. None of them may change
                while the row is there. By default the row's `organization_id` and `uid`, which it
                must have before something is sealed.
        """
        table = column.class_.__table__.name

        def own_place(row: Any) -> Place:
            if place is None:
                if row.uid is None or row.organization_id is None:
                    raise ValueError(f"a row of {table} needs its uid and organization_id before it is sealed")
                return Place(
                    organization=str(row.organization_id), owner=f"{self.name}/{table}/{column.key}", name=row.uid
                )
            where = place(row)
            if where["owner"].partition("/")[0] not in (self.name, table):
                raise ValueError(f"{table}.{column.key} is sealed to {where['owner']!r}; begin it with {self.name}/")
            return where

        sealed = SealedColumn(column, own_place, self._engines.sealer)
        self._sealed.append(sealed)
        return sealed

    def stored(self, column: InstrumentedAttribute[Any]) -> None:
        """Say that a column holds keys of content in `store`, which goes when its organization is removed.

        `edge server fsck` looks for the content of each row, and drops what no row names and is older than an hour.

        Args:
            column: a column of texts; its table has an integer `id`.
        """
        stored = StoredContent(column, self._store)
        self._stored.append(stored)
        self._engines.stored.append(stored)

    def names(self, kind: str, paths: Paths | None = None) -> Names:
        """Let search find things of a kind by their names.

        Args:
            kind: what search calls them.
            paths: called with a reading transaction and uids, tells the paths of those that can be
                found; None for things that have none.

        Raises:
            ValueError: another subsystem has things of this kind.
        """
        if kind in self._engines.kinds:
            raise ValueError(f"search finds things of the kind {kind!r} already; choose another name")
        self._engines.kinds[kind] = None if paths is None else self._keeping_to_own(paths)
        return Names(self._engines.names, kind)

    def every(
        self, seconds: float, name: str, run: Callable[[], object], *, alone: bool = False, at_end: bool = False
    ) -> None:
        """Do something again and again beside answering, in each process of the server.

        Args:
            seconds: between its end and its next begin; the first time is when the process starts.
            name: for the log, and to `wake` it; a word or a few, as no other of the subsystem's tasks.
            run: what to do. It may be killed in the middle, and goes on the next time. If it raises,
                that is logged and it is run again.
            alone: do it in one process at a time.
            at_end: do it once more when the server stops.
        """
        if self._task(name) in [task.name for task in self._tasks]:
            raise ValueError(f"{self.name} has a task {name!r} already; choose another name")
        self._tasks.append(Task(self._task(name), seconds, run, alone, at_end))

    def before_start(self, run: Callable[[], object]) -> None:
        """Do something once when a server starts, before it answers and, but for other hosts, while nobody writes."""
        self._before_start.append(run)

    def on_request(self, counter: Counter) -> None:
        """Be told of each request that was answered for an organization, with the bytes it moved."""
        self._counters.append(counter)

    def on_organization_added(self, run: InTransaction) -> None:
        """Do something in the transaction that adds an organization; called with it and the organization's id."""
        self._engines.lifecycle.organization_added.append(self._keeping_to_own(run))

    def on_organization_closing(self, run: InTransaction) -> None:
        """Do something in the transaction that closes an organization, from which on nobody gets in."""
        self._engines.lifecycle.organization_closing.append(self._keeping_to_own(run))

    def on_organization_removed(self, run: Afterwards) -> None:
        """Do something once an organization is closed and before its rows go, again until it does not raise.

        This is for content and for other systems. Rows go by themselves, if their foreign key says so
        (``ondelete="CASCADE"``).
        """
        self._engines.lifecycle.organization_removed.append(run)

    def on_member_left(self, run: OfMember) -> None:
        """Do something in the transaction in which a user leaves an organization; called with it and both ids.

        It is also called when an admin revokes what a member has signed: what goes on in their name ends then.
        """
        self._engines.lifecycle.member_left.append(self._keeping_to_own(run))

    def on_user_removed(self, run: InTransaction) -> None:
        """Do something in the transaction that removes a user; called with it and the user's id."""
        self._engines.lifecycle.user_removed.append(self._keeping_to_own(run))

    def on_user_gone(self, run: Afterwards) -> None:
        """Do something after a user was removed, again until it does not raise, also after a restart.

        This is for other systems. Rows go by themselves, if their foreign key says so.

        Raises:
            ValueError: the subsystem has asked for this before.
        """
        if self.name in self._engines.lifecycle.user_gone:
            raise ValueError(f"{self.name} does something after a user was removed already; do both in one function")
        self._engines.lifecycle.user_gone[self.name] = run

    def settings(self, schema: marshmallow.Schema) -> Any:
        """What the operator has set in the section of `server.toml` that is called as the subsystem.

        Args:
            schema: what can be set; it is loaded with an empty section where there is none.

        Raises:
            CannotStart: something in it is not known or not valid.
        """
        return self._engines.configuration.section(self.name, schema)

    def operator_file(self, name: str, schema: marshmallow.Schema, absent: _T | Path) -> OperatorFile[_T]:
        """A TOML file that the operator may write into the data folder, read again when it has changed.

        Args:
            name: the file's; it begins with the subsystem's, as in ``lab.toml`` and ``lab-prices.toml``.
            schema: loads what it states, numbers with a point as `decimal.Decimal`, and makes a value
                of it.
            absent: what counts where there is no file: a value, or the path of a file that comes with
                the subsystem.

        Raises:
            CannotStart: the file cannot be used.
        """
        if not self._may_read(name):
            raise ValueError(f"{name!r} is not a file of {self.name}; call it {self.name}.toml or {self.name}-….toml")
        file = OperatorFile(self._engines.folder / name, schema, absent)
        file.read()
        return file

    # --- data -------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads: one unchanging view, and never a wait."""
        snapshot.end()  # what a plugin waited for before the block, it sees in it
        with self._engines.database.read() as session, self._fenced(session):
            yield session

    @contextlib.contextmanager
    def write(self, organization_id: int | None = None) -> Iterator[Session]:
        """A transaction that writes, committed at the end of the block unless it raises.

        Args:
            organization_id: whose data it touches, since writers of one organization wait for each
                other; `SERVER` for what belongs to none. By default the organization of the request
                at hand, or `SERVER` where its address names none.
        """
        with self._write_rows(organization_id) as connection, session_of(connection) as session:
            with self._fenced(session):
                yield session
            session.flush()

    @property
    def store(self) -> Store:
        """Where the subsystem keeps content. Its keys stand in a column that `stored` names.

        Raises:
            ValueError: no column was named, so that nothing would ever find the content again.
        """
        if not self._stored:
            raise ValueError(f"{self.name} keeps no content; name the column of its keys by context.stored(column)")
        return self._store

    @contextlib.contextmanager
    def _write_rows(self, organization_id: int | None) -> Iterator[sa.Connection]:
        if organization_id is None:
            membership = permissions.member_at_hand()
            organization_id = SERVER if membership is None else membership.organization_id
        with self._engines.database.write_rows(organization_id) as connection, auditing.within(connection):
            yield connection

    def _fenced(self, session: Session) -> AbstractContextManager[None]:
        """Keep a plugin's statements to its own tables during a block, so that a slip shows at once."""
        return fenced(session, self.name, set(self._metadata.tables) if self._metadata is not None else set())

    def _keeping_to_own(self, run: Callable[Concatenate[Session, _P], _T]) -> Callable[Concatenate[Session, _P], _T]:
        """What the server calls with a transaction of its own, kept to the plugin's tables meanwhile."""

        def run_fenced(session: Session, /, *subjects: _P.args, **more: _P.kwargs) -> _T:
            with self._fenced(session):
                return run(session, *subjects, **more)

        return run_fenced

    # --- in a request -----------------------------------------------------------------------------

    def caller(self) -> Caller:
        """The user this request acts for: ``id``, ``user_name``, ``server_admin``, and what its token may do."""
        return permissions.caller()

    def optional_caller(self) -> Caller | None:
        """The user this request acts for, in an operation for anyone; None if it came without a token.

        Raises:
            Refusal: it came with a token that is not good.
        """
        return permissions.optional_caller()

    def member(self) -> Member:
        """What the caller is in the organization: ``organization_id``, ``developer``, ``admin``."""
        return permissions.member()

    def page(
        self, session: Session, rows: sa.Select[Any], key: InstrumentedAttribute[Any], query: pages.Query
    ) -> tuple[list[Any], str | None]:
        """The rows of one page in the order of `key`, and the cursor of the page after it, if there is one.

        Args:
            session: a transaction.
            rows: what selects all rows.
            key: a column that no two of them share; a number or text.
            query: the size of the page (``limit``), and where it begins (``cursor``).
        """
        return pages.page(session, rows, key, query)

    def answer(self, record: Record, row: Revised | None = None, status: int = 200) -> flask.Response:
        """A record as the answer. Where the view writes, this belongs inside its transaction.

        Args:
            record: what to send.
            row: the row it tells of, if that can be updated: it has a ``uid``, and a ``revision``
                that SQLAlchemy counts (``version_id_col``). The answer then says which state that is.
            status: HTTP status code.
        """
        return answers.answer(record, row, status)

    def secret_answer(self, record: Record, row: Revised | None = None, status: int = 200) -> flask.Response:
        """A record that holds a secret as the answer, which no cache keeps; of an operation with `secret_answer=True`.

        Args:
            record: what to send.
            row: as for `answer`.
            status: HTTP status code.
        """
        response = answers.answer(record, row, status)
        response.headers["Cache-Control"] = "no-store"
        return response

    def nothing(self) -> flask.Response:
        """The answer to a request that asked for nothing back. As of `answer`, its place is in the transaction.

        Where the request has effects beyond it, such as at a store, this comes after those.
        """
        return answers.nothing()

    def issued_before(self) -> str | None:
        """The uid of what this very request issued when it was run before, under the same Idempotency-Key.

        An answer that holds a secret is never kept. So the same request, sent again because its answer
        was lost, is run again: it gives what it issued another secret, and voids the one before.
        """
        return idempotency.issued_before()

    def issued(self, uid: str) -> None:
        """Note what the request issues, in the transaction that issues it and before the answer is made."""
        idempotency.issued(uid)

    def require_unchanged(self, row: Revised) -> None:
        """Refuse the request if it has seen another state of `row` than there is (``If-Match``)."""
        updates.require_unchanged(row)

    def patched(self, current: _R, patch: Mapping[str, Any], *, fixed: Collection[str] = ()) -> _R:
        """The record as a merge patch makes it, checked like one that was sent whole; `fixed` fields stay."""
        return updates.patched(current, patch, fixed=fixed)

    def audit(self, **about: str) -> None:
        """Write an audit line: who does what, at which time, in which request.

        The action is the operation at hand. The line is in the audit log (``logs/audit.log``) before this
        returns. In a transaction that writes it is part of that as well, so that admins read it
        (``edge admin audit``) exactly if the change was made. In an operation for anyone the user is
        ``(anyone)``, unless a token came with the request.

        Args:
            about: to which thing, never its content.

        Raises:
            OSError: the line cannot be written, so what it tells of must not happen.
        """
        auditing.note(self._engines.audit, about)

    def signed_address(
        self, method: str, path: str, expires_at: dt.datetime, query: Mapping[str, str] | None = None
    ) -> str:
        """An address that anyone can use for one thing until it expires, relative to the service URL.

        It ends earlier with what allowed to sign it: the token of the request at hand, and the membership
        and role that the operation at hand needs.

        Args:
            method: HTTP method.
            path: of an operation of this subsystem with ``who="anyone"``, such as ``v1/lab/plots/UID``.
            expires_at: when it ends; see `address_expiry`.
            query: parameters, which are signed as well.

        Raises:
            ValueError: the path is not the subsystem's.
            Refusal: the user asks for too many in a short time.
        """
        if not self._owns(re.sub("^v1/orgs/[^/]+/", "v1/orgs/<org>/", path)):
            raise ValueError(f"{path} is not an address of {self.name}; sign one of its own")
        if flask.has_request_context():
            user = permissions.caller_at_hand()
            throttling.spend(SIGNING, None if user is None else user.user_name)
        return self._engines.signer.address(method, path, expires_at, {**(query or {}), **signers.parameter()})

    def address_expiry(self, lifetime: dt.timedelta) -> dt.datetime:
        """When an address ends that is signed now for `lifetime`: no later than the token of the request at hand."""
        expires_at = self.now() + lifetime
        caller = permissions.caller_at_hand()
        if caller is not None and caller.token_expires_at is not None:
            expires_at = min(expires_at, caller.token_expires_at)
        return expires_at.replace(microsecond=0)

    def signed_query(self) -> dict[str, str]:
        """The parameters of the signed address that this request came to.

        Raises:
            Refusal: it is not as it was signed, it has expired, or who signed it may not do so any more.
        """
        request = flask.request
        method = "GET" if request.method == "HEAD" else request.method
        try:
            query = self._engines.signer.check(method, request.path.lstrip("/"), request.args.to_dict(flat=False))
        except Refusal as refusal:
            if refusal.code == "bad_signature":
                throttling.failed()
            raise
        signers.require_standing(query)
        return query

    def charge(self, organization_id: int) -> None:
        """Count this request for an organization; for one whose address is signed, and so names none."""
        counting.charge(organization_id)

    def wake(self, name: str) -> None:
        """Run a task of `every` now, if this process runs any."""
        self._engines.background.wake(self._task(name))

    @property
    def stopping(self) -> bool:
        """Whether the process is about to end, so that a long task shall leave the rest for later."""
        return self._engines.background.stopping

    def now(self) -> dt.datetime:
        """The time in UTC."""
        return clock.now()

    def _owns(self, path: str) -> bool:
        """Whether the path of an address, with ``<org>`` or without, is the subsystem's."""
        return address_is_within(f"/{path}", [self.name])

    def _task(self, name: str) -> str:
        """What the server calls a task of the subsystem's: no plugin wakes another's, or takes its lock."""
        return f"{self.name}-{name}"

    def _may_read(self, file: str) -> bool:
        """Whether an operator's file is the subsystem's."""
        return re.fullmatch(rf"{self.name}(-[\w-]+)?\.toml", file) is not None

    # Refusals are raised: ``raise context.not_found("the entry cannot be found; list …")``. Each is one
    # sentence: what happened, and what to do.

    def bad_entry(self, detail: str) -> Refusal:
        """What was sent cannot be (400)."""
        return problems.bad_entry(detail)

    def forbidden(self, detail: str) -> Refusal:
        """This caller may not (403), for what no rule on an operation can say."""
        return Refusal(403, "forbidden", detail)

    def not_found(self, detail: str) -> Refusal:
        """It cannot be found, or not by this caller (404)."""
        return problems.not_found(detail)

    def already_exists(self, detail: str) -> Refusal:
        """The name is taken (409)."""
        return problems.already_exists(detail)

    def conflict(self, detail: str) -> Refusal:
        """Things are not in a state that allows this (409)."""
        return problems.conflict(detail)


class OwnContext(Context):
    """What the server's own subsystems work with: the same door, over the tables they share.

    Args:
        name: the subsystem's name.
        engines: what the server runs on.
        claims: further names that its operations and addresses begin with.
    """

    def __init__(self, name: str, engines: Engines, claims: Collection[str]) -> None:
        super().__init__(name, engines)
        self._claims = claims

    @property
    def engines(self) -> Engines:
        """The engines themselves, for what runs the server rather than an organization's data."""
        return self._engines

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads: one unchanging view, and never a wait."""
        with self.read_rows() as connection, session_of(connection) as session:
            yield session

    @contextlib.contextmanager
    def read_rows(self) -> Iterator[sa.Connection]:
        """What `read` gives, as a connection for statements by columns; a session takes longer than some of them.

        The first such block of a request is in the transaction that has told who asks.
        """
        with snapshot.take(self._engines.database) as connection:
            yield connection

    def write_rows(self) -> AbstractContextManager[sa.Connection]:
        """What `write` gives for the request's organization, as a connection for statements by columns."""
        return self._write_rows(None)

    def audit_in(self, *organizations: Organization, about: Mapping[str, str], server: bool = False) -> None:
        """Write an audit line for organizations that the address does not name, or for the server, or both.

        Args:
            organizations: those whose admins are to read it.
            about: to which thing, never its content.
            server: whether server admins are to read it.
        """
        auditing.note(self._engines.audit, about, [*organizations, *([None] if server else [])])

    def settings(self, schema: marshmallow.Schema, section: str | None = None) -> Any:
        """What the operator has set in a section of `server.toml`, by default the one called as the subsystem."""
        return self._engines.configuration.section(section or self.name, schema)

    def _owns(self, path: str) -> bool:
        return address_is_within(f"/{path}", [self.name, *self._claims])

    def _task(self, name: str) -> str:
        return name

    def _may_read(self, file: str) -> bool:
        return True

    def _keeping_to_own(self, run: Callable[Concatenate[Session, _P], _T]) -> Callable[Concatenate[Session, _P], _T]:
        return run

    def _fenced(self, session: Session) -> AbstractContextManager[None]:
        """The server's subsystems refer to each other's tables by foreign keys, and join them."""
        return contextlib.nullcontext()


def address_is_within(address: str, names: Collection[str]) -> bool:
    """Whether an address is one of those that the subsystems of these names may have."""
    prefixes = [f"{start}/{name}" for name in names for start in ("/v1/orgs/<org>", "/v1/users/me", "/v1/admin", "/v1")]
    return any(address == prefix or address.startswith(f"{prefix}/") for prefix in prefixes)
