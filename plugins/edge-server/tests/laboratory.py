"""A plugin as somebody else writes it, which uses all that the context gives: plots of a laboratory.

`test_context.py` installs the text of this file as the distribution lab-plugin, with its migration.
"""

import contextlib
import datetime as dt
import hashlib
import secrets
from pathlib import Path

import flask
import marshmallow
from sqlalchemy import BigInteger, Integer, LargeBinary, String, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from edge_core.records import Record, field

plugin_api = 1

RowId = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    pass


class Plot(Base):
    __tablename__ = "lab_plots"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True)
    organization_id: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String(100))
    password: Mapped[bytes | None] = mapped_column(LargeBinary)
    content: Mapped[str | None] = mapped_column(String(40))


class Badge(Base):
    """Keeps of a code only the digest, as the server does of a token."""

    __tablename__ = "lab_badges"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True)
    organization_id: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(String(64))


class Event(Base):
    """What happened, one row each."""

    __tablename__ = "lab_events"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    text: Mapped[str] = mapped_column(String(100))


class NewPlot(Record):
    name: str
    password: str
    content: str


class LabPlot(Record):
    uid: str
    name: str


class Text(Record):
    text: str


class LabBadge(Record):
    uid: str
    code: str


class Address(Record):
    seconds: int = field(default=60)
    path: str | None = field(default=None)


class Settings(marshmallow.Schema):
    paper = marshmallow.fields.String(load_default="A4")


class Inks(marshmallow.Schema):
    inks = marshmallow.fields.List(marshmallow.fields.String())

    @marshmallow.post_load
    def listing(self, loaded, **_):
        return loaded["inks"]


def server(context):
    routes = context.routes()
    public = context.routes("/v1/lab", group="lab plots")
    passwords = context.sealed(Plot.password)
    context.stored(Plot.content)
    settings = context.settings(Settings())
    inks = context.operator_file("lab-inks.toml", Inks(), ["black"])

    def paths(session, uids):
        rows = session.scalars(select(Plot).where(Plot.uid.in_(uids), Plot.name != "hidden"))
        return {row.uid: f"plots/{row.name}" for row in rows}

    names = context.names("lab plot", paths)
    badge_names = context.names("lab badge")

    def find(session, uid):
        mine = Plot.organization_id == context.member().organization_id
        row = session.scalar(select(Plot).where(mine, Plot.uid == uid))
        if row is None:
            raise context.not_found("the plot cannot be found; list the plots")
        return row

    def note(text):
        with context.write(context.SERVER) as session:
            session.add(Event(text=text))

    @routes.operation("lab.plots.add", "POST", "/plots", who="developer")
    @routes.arguments(NewPlot.schema())
    @routes.response(201, LabPlot.schema())
    def add(plot, org):
        key = context.store.new_key()
        context.store.write(key, [plot.content.encode()])
        organization_id = context.member().organization_id
        row = Plot(uid=secrets.token_hex(18), organization_id=organization_id, name=plot.name, content=key)
        password = passwords.prepare(row, plot.password.encode())
        with context.write() as session:
            passwords.keep(row, password)
            session.add(row)
            names.add(session, organization_id, row.uid, row.name)
            context.audit(plot=row.name)
            return context.answer(LabPlot(uid=row.uid, name=row.name), status=201)

    @routes.operation("lab.plots.rename", "PUT", "/plots/<uid>/name", who="developer")
    @routes.arguments(Text.schema())
    @routes.response(200, LabPlot.schema())
    def rename(name, org, uid):
        with context.write() as session:
            row = find(session, uid)
            row.name = name.text
            names.rename(session, uid, row.name)
            return context.answer(LabPlot(uid=row.uid, name=row.name))

    @routes.operation("lab.plots.remove", "DELETE", "/plots/<uid>", who="developer")
    @routes.response(204)
    def remove(org, uid):
        with context.write() as session:
            row = find(session, uid)
            names.remove(session, [uid])
            session.delete(row)
        context.store.remove(row.content)
        return context.nothing()

    @routes.operation("lab.plots.password", "GET", "/plots/<uid>/password", who="member")
    @routes.response(200, Text.schema())
    def password(org, uid):
        with context.read() as session:
            row = find(session, uid)
        context.audit(plot=row.name)
        return context.answer(Text(text=passwords.open(row).decode()))

    @routes.operation("lab.plots.address", "POST", "/plots/<uid>/address", who="member", secret_answer=True)
    @routes.arguments(Address.schema())
    @routes.response(201, Text.schema())
    def address(query, org, uid):
        with context.read() as session:
            row = find(session, uid)
        path = query.path or f"v1/lab/plots/{uid}"
        expires_at = context.now() + dt.timedelta(seconds=query.seconds)
        signed = context.signed_address("GET", path, expires_at, {"as": row.name})
        return context.secret_answer(Text(text=signed), status=201)

    @public.operation("lab.content", "GET", "/plots/<uid>", who="anyone")
    @public.response(200)
    def content(uid):
        query = context.signed_query()
        with context.read() as session:
            row = session.scalar(select(Plot).where(Plot.uid == uid))
        if row is None:
            raise context.not_found("the plot cannot be found; ask for another address")
        reader = context.optional_caller()
        context.audit(plot=row.name, reader="nobody known" if reader is None else reader.user_name)
        context.charge(row.organization_id)
        with contextlib.closing(context.store.open(row.content)) as opened:
            return flask.Response(b"".join(opened), headers={"X-Name": query["as"]})

    @public.operation("lab.content.replace", "POST", "/plots/<uid>", who="anyone")
    @public.response(204)
    def replace(uid):
        context.signed_query()
        return context.nothing()

    @routes.operation("lab.badges.create", "POST", "/badges", who="member", secret_answer=True)
    @routes.response(201, LabBadge.schema())
    def create_badge(org):
        code = secrets.token_hex(8)
        digest = hashlib.sha256(code.encode()).hexdigest()
        with context.write() as session:
            uid = context.issued_before()
            if uid is None:
                organization_id = context.member().organization_id
                row = Badge(uid=secrets.token_hex(18), organization_id=organization_id, digest=digest)
                session.add(row)
                badge_names.add(session, organization_id, row.uid, "badge of the laboratory")
                context.issued(row.uid)
            else:
                row = session.scalars(select(Badge).where(Badge.uid == uid)).one()
                row.digest = digest
            return context.secret_answer(LabBadge(uid=row.uid, code=code), status=201)

    @routes.operation("lab.badges.check", "PUT", "/badges", who="member")
    @routes.arguments(Text.schema())
    @routes.response(200, Text.schema())
    def check_badge(code, org):
        digest = hashlib.sha256(code.text.encode()).hexdigest()
        with context.read() as session:
            matching = session.scalar(select(func.count()).select_from(Badge).where(Badge.digest == digest))
            there = session.scalar(select(func.count()).select_from(Badge))
        return context.answer(Text(text=f"{matching} of {there}"))

    @routes.operation("lab.clean", "POST", "/clean", who="org_admin")
    @routes.response(204)
    def clean(org):
        context.wake("clean")
        return context.nothing()

    @routes.operation("lab.settings", "GET", "/settings", who="member")
    @routes.response(200, Text.schema())
    def show_settings(org):
        return context.answer(Text(text=f"{settings['paper']} {','.join(inks.read())}"))

    @routes.operation("lab.events", "GET", "/events", who="member")
    @routes.response(200, Text.schema())
    def events(org):
        with context.read() as session:
            return context.answer(Text(text="\n".join(session.scalars(select(Event.text).order_by(Event.id)))))

    def added(session, organization_id):
        # Its own table can be read here, and no other.
        count = session.scalar(select(func.count()).select_from(Plot).where(Plot.organization_id == organization_id))
        session.add(Event(text=f"organization added with {count} plots"))

    def closing(session, organization_id):
        session.add(Event(text="organization closing"))

    attempts = []

    def removed(organization_id):
        attempts.append(organization_id)
        if len(attempts) == 1:
            raise ConnectionError("the laboratory's other system does not answer")
        note("organization removed")

    def user_removed(session, user_id):
        session.add(Event(text="user removed"))

    def counted(request):
        # Called after the answer: it writes at once here, which a busy plugin leaves to a task.
        note(f"request {request.bytes_in} {request.bytes_out}")

    context.on_organization_added(added)
    context.on_organization_closing(closing)
    context.on_organization_removed(removed)
    context.on_user_removed(user_removed)
    context.on_user_gone(lambda user_id: note("user gone"))
    context.before_start(lambda: note("before start"))
    context.every(3600, "clean", lambda: note("cleaned"), alone=True)
    context.on_request(counted)
    return context.subsystem(
        routes, public, metadata=Base.metadata, migrations=Path(__file__).parent / "lab_migrations"
    )
