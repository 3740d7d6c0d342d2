"""What the server gives to a plugin by its context: each ability, used as somebody else's plugin uses it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import flask
import marshmallow
import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from edge_server.base import audit
from edge_server.base.problems import CannotStart
from edge_server.data.database import SERVER
from edge_server.data.store import MissingContent
from edge_server.identity import directory
from edge_server.identity.models import Token, User
from edge_server.run import app, start
from edge_server.web import receipts
from edge_server.web.context import Context
from edge_server.web.engines import Engines
from edge_server.web.fence import OutsideOwnTables

from .bringing import Bring

LABORATORY = (Path(__file__).parent / "laboratory.py").read_text(encoding="utf-8")

TABLES = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade():
    def owned():
        organization = sa.ForeignKey("organizations.id", ondelete="CASCADE")
        return sa.Column("organization_id", sa.BigInteger(), organization, nullable=False)

    op.create_table(
        "lab_plots",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("uid", sa.String(36), nullable=False, unique=True),
        owned(),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("password", sa.LargeBinary()),
        sa.Column("content", sa.String(40)),
    )
    op.create_table(
        "lab_badges",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("uid", sa.String(36), nullable=False, unique=True),
        owned(),
        sa.Column("digest", sa.String(64), nullable=False),
    )
    op.create_table(
        "lab_events", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("text", sa.String(100), nullable=False)
    )
"""

PLOT = {"name": "absorbance", "password": "quartz cuvette 77", "content": "0123456789"}


@dataclasses.dataclass
class Laboratory:
    """A server with the plugin, in this process, and a developer of the organization `default`."""

    folder: Path
    engines: Engines
    app: flask.Flask
    token: str

    def call(self, method: str, path: str, *, token: str | None = "", **options: Any) -> TestResponse:
        """What is answered; `path` is below the plugin's addresses unless it is absolute."""
        headers = options.pop("headers", {})
        if token is not None:
            headers["Authorization"] = f"Bearer {token or self.token}"
        address = path if path.startswith("/") else f"/v1/orgs/default/lab/{path}"
        # Buffered, as what is counted of a request is told when its answer was sent.
        return self.app.test_client().open(address, method=method, headers=headers, buffered=True, **options)

    def plot(self, **changed: str) -> str:
        """The uid of a new plot."""
        answer = self.call("POST", "plots", json={**PLOT, **changed})
        assert answer.status_code == 201, answer.text
        return str(answer.json["uid"])

    def address(self, uid: str, **query: Any) -> str:
        """A signed address of a plot's content."""
        answer = self.call("POST", f"plots/{uid}/address", json=query)
        assert answer.status_code == 201, answer.text
        return f"/{answer.json['text']}"

    def search(self, text: str) -> list[tuple[str, str | None]]:
        """Names and paths of what is found."""
        answer = self.call("GET", "/v1/orgs/default/search", query_string={"query": text})
        return [(result["name"], result["path"]) for result in answer.json["items"]]

    @property
    def events(self) -> list[str]:
        return str(self.call("GET", "events").json["text"]).splitlines()

    def wait_for(self, event: str) -> None:
        deadline = time.monotonic() + 60
        while event not in self.events:
            assert time.monotonic() < deadline, self.events
            time.sleep(0.01)

    @property
    def audited(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in (self.folder / "logs" / audit.FILE_NAME).read_text().splitlines()]


@pytest.fixture
def opened(bring: Bring, tmp_path: Path) -> Iterator[Callable[[], Laboratory]]:
    """Starts the server with the plugin."""
    with contextlib.ExitStack() as stack:

        def start_server() -> Laboratory:
            bring(LABORATORY, TABLES)
            folder = tmp_path / "data"
            folder.mkdir(exist_ok=True)
            engines, loaded, token = start.prepare(folder)
            stack.callback(engines.database.close)
            stack.callback(engines.background.stop)
            assert token is not None
            return Laboratory(folder, engines, app.build(engines, loaded), token)

        yield start_server


@pytest.fixture
def lab(opened: Callable[[], Laboratory]) -> Laboratory:
    return opened()


def test_a_sealed_column_is_rotated_with_the_servers_own(lab: Laboratory) -> None:
    uid = lab.plot()

    def sealed() -> bytes:
        with lab.engines.database.read() as session:
            return bytes(session.execute(sa.text("SELECT password FROM lab_plots")).scalar_one())

    before = sealed()
    assert b"quartz cuvette 77" not in before
    assert start.rotate_keys(lab.folder, kept=start.rotation.KEPT).resealed == 1
    assert sealed() != before
    assert lab.call("GET", f"plots/{uid}/password").json == {"text": "quartz cuvette 77"}


def test_what_is_sealed_does_not_open_in_another_row(lab: Laboratory) -> None:
    first, second = lab.plot(), lab.plot()
    with lab.engines.database.write(SERVER) as session:
        moved = "UPDATE lab_plots SET password = (SELECT password FROM lab_plots WHERE uid = :first)"
        session.execute(sa.text(moved), {"first": first})
    assert lab.call("GET", f"plots/{first}/password").status_code == 200
    answer = lab.call("GET", f"plots/{second}/password")
    assert (answer.status_code, "quartz cuvette 77" in answer.text) == (500, False)


def test_a_row_without_a_uid_is_not_sealed(lab: Laboratory) -> None:
    module = __import__("lab_plugin")
    column = Context("lab", lab.engines).sealed(module.Plot.password)
    with pytest.raises(ValueError, match="lab_plots needs its uid and organization_id before it is sealed"):
        column.prepare(module.Plot(organization_id=1), b"quartz cuvette 77")


def test_sealing_to_the_place_of_another_subsystem_is_refused(lab: Laboratory) -> None:
    module = __import__("lab_plugin")
    place = {"organization": "1", "owner": "secrets/organization", "name": "x"}
    column = Context("lab", lab.engines).sealed(module.Plot.password, lambda row: place)
    with pytest.raises(ValueError, match=r"sealed to 'secrets/organization'; begin it with lab/"):
        column.prepare(module.Plot(uid="u", organization_id=1), b"quartz cuvette 77")


def test_an_audit_line_says_who_does_what(lab: Laboratory) -> None:
    uid = lab.plot()
    answer = lab.call("GET", f"plots/{uid}/password")
    added, read = lab.audited
    assert added["action"] == "lab.plots.add"
    assert read["at"] >= added["at"]
    assert {**read, "at": ""} == {
        "at": "",
        "user": "admin",
        "action": "lab.plots.password",
        "organization": "default",
        "plot": "absorbance",
        "request_id": answer.headers["X-Request-ID"],
    }


def test_an_audit_line_of_an_operation_for_anyone_names_who_sent_a_token(lab: Laboratory) -> None:
    uid = lab.plot()
    address = "/" + lab.call("POST", f"plots/{uid}/address", json={"seconds": 60}).json["text"]
    assert lab.call("GET", address, token=None).status_code == 200
    assert lab.call("GET", address).status_code == 200
    unknown, known = lab.audited[-2:]
    assert (unknown["user"], unknown["reader"]) == ("(anyone)", "nobody known")
    assert (known["user"], known["reader"]) == ("admin", "admin")


def test_content_without_a_column_of_keys_is_refused(lab: Laboratory) -> None:
    with pytest.raises(ValueError, match="lab keeps no content; name the column of its keys"):
        Context("lab", lab.engines).store  # noqa: B018


def test_what_cannot_be_audited_does_not_happen(lab: Laboratory) -> None:
    (lab.folder / "logs" / audit.FILE_NAME).mkdir(parents=True)
    assert lab.call("POST", "plots", json=PLOT).status_code == 500
    with lab.engines.database.read() as session:
        assert session.execute(sa.text("SELECT count(*) FROM lab_plots")).scalar_one() == 0


def test_a_task_runs_at_the_start_and_when_it_is_woken(lab: Laboratory) -> None:
    lab.engines.background.start()
    lab.wait_for("cleaned")
    assert lab.call("POST", "clean").status_code == 204
    deadline = time.monotonic() + 60
    while lab.events.count("cleaned") < 2:
        assert time.monotonic() < deadline, lab.events
        time.sleep(0.01)
    assert lab.events[0] == "before start"
    with pytest.raises(KeyError):
        Context("lab", lab.engines).wake("usage")  # a task of the server's own


def test_two_tasks_of_the_same_name_are_refused(lab: Laboratory) -> None:
    context = Context("lab", lab.engines)
    context.every(1, "clean", lambda: None)
    with pytest.raises(ValueError, match="lab has a task 'clean' already"):
        context.every(1, "clean", lambda: None)


def test_search_finds_names_with_paths_and_without(lab: Laboratory) -> None:
    uid = lab.plot(name="chromatogram")
    assert lab.search("chromatogram") == [("chromatogram", "plots/chromatogram")]
    lab.call("PUT", f"plots/{uid}/name", json={"text": "voltammogram"})
    assert lab.search("chromatogram") == []
    assert lab.search("voltammogram") == [("voltammogram", "plots/voltammogram")]
    lab.call("PUT", f"plots/{uid}/name", json={"text": "hidden"})
    assert lab.search("hidden") == [], "its plugin gives no path for it"
    assert lab.call("POST", "badges").status_code == 201
    assert lab.search("badge laboratory") == [("badge of the laboratory", None)]
    assert lab.call("DELETE", f"plots/{uid}").status_code == 204
    kinds = lab.call("GET", "/v1/orgs/default/search", query_string={"query": "badge", "kind": "lab badge"})
    assert [result["kind"] for result in kinds.json["items"]] == ["lab badge"]


def test_what_a_plugin_has_done_elsewhere_is_answered_alike_when_it_is_sent_again(lab: Laboratory) -> None:
    uid, key = lab.plot(), {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
    answers = [lab.call("DELETE", f"plots/{uid}", headers=dict(key)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 204]
    assert [answer.headers.get("Idempotency-Replayed") for answer in answers] == [None, "true"]


FAILING = """    def rename(name, org, uid):
        try:
            with context.write() as session:
                row = find(session, uid)
                row.name = name.text
                names.rename(session, uid, row.name)
                context.answer(LabPlot(uid=row.uid, name=row.name))
                raise ConnectionError("the printer of labels is away")
        except ConnectionError:
            note("refused")
            raise context.conflict("the label could not be printed; nothing was changed") from None

"""


def test_an_answer_that_was_rolled_back_is_not_kept_with_what_is_written_next(bring: Bring, tmp_path: Path) -> None:
    begin, end = (LABORATORY.index(text) for text in ("    def rename(", '    @routes.operation("lab.plots.remove"'))
    bring(LABORATORY[:begin] + FAILING + LABORATORY[end:], TABLES)
    engines, loaded, token = start.prepare(tmp_path)
    with contextlib.closing(engines.database):
        lab = Laboratory(tmp_path, engines, app.build(engines, loaded), token)
        uid = lab.plot()
        for headers in ({}, {"Idempotency-Key": "one"}, {"Idempotency-Key": "one"}):
            answer = lab.call("PUT", f"plots/{uid}/name", json={"text": "b"}, headers=headers)
            assert (answer.status_code, answer.json["code"]) == (409, "conflict")
        engines.background.stop()


def test_what_was_done_is_done_though_its_receipt_cannot_be_kept(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [sa.exc.OperationalError("", {}, Exception("database is locked")), sa.exc.TimeoutError("none is free")]

    def fail(*_: object) -> None:
        raise failures.pop()

    monkeypatch.setattr(receipts._Keeping, "settle", fail)
    while failures:
        uid = lab.plot()
        assert lab.call("DELETE", f"plots/{uid}", headers={"Idempotency-Key": "one"}).status_code == 204
        assert "the receipt of request" in caplog.text
        caplog.clear()


def test_a_kind_that_search_finds_belongs_to_a_single_subsystem(lab: Laboratory) -> None:
    with pytest.raises(ValueError, match="search finds things of the kind 'file' already"):
        Context("lab", lab.engines).names("file")


def test_names_of_other_subsystems_are_out_of_reach(lab: Laboratory) -> None:
    answer = lab.call("PUT", "/v1/orgs/default/files/content", query_string={"path": "spectrum"}, data=b"x")
    assert answer.status_code == 201, answer.text
    context = Context("lab", lab.engines)
    names = context.names("lab event")
    with context.write(SERVER) as session:
        names.remove(session, [answer.json["uid"]])
        with pytest.raises(sa.exc.NoResultFound):
            names.rename(session, answer.json["uid"], "mine")
    assert lab.search("spectrum") == [("spectrum", "spectrum")]


def test_a_signed_address_serves_anyone_for_a_single_thing(lab: Laboratory) -> None:
    address = lab.address(lab.plot())
    answer = lab.call("GET", address, token=None)
    assert (answer.data, answer.headers["X-Name"]) == (b"0123456789", "absorbance")
    assert lab.call("HEAD", address, token=None).status_code == 200
    assert "request 0 10" in lab.events, "it counts for the plot's organization"
    for changed in (
        lab.call("POST", address, token=None),
        lab.call("GET", address.replace("absorbance", "absorbances"), token=None),
        lab.call("GET", f"{address}&more=1", token=None),
        lab.call("GET", address.replace(urlsplit(address).path, "/v1/lab/plots/other"), token=None),
        lab.call("GET", urlsplit(address).path, token=None),
    ):
        assert (changed.status_code, changed.json["code"]) == (403, "bad_signature")
    expired = lab.call("GET", lab.address(lab.plot(), seconds=-1), token=None)
    assert (expired.status_code, expired.json["code"]) == (403, "expired")


def test_an_address_of_another_subsystem_cannot_be_signed(lab: Laboratory) -> None:
    context = Context("lab", lab.engines)
    for path in ("v1/signed/content/x", "v1/orgs/default/files/entries", "healthz", "v1/labs/x", "v1/orgs/lab/files"):
        with pytest.raises(ValueError, match=f"{path} is not an address of lab"):
            context.signed_address("GET", path, context.now())
    assert lab.call("POST", f"plots/{lab.plot()}/address", json={"path": "v1/signed/content/x"}).status_code == 500
    assert context.signed_address("GET", "v1/orgs/default/lab/x", context.now()).startswith("v1/orgs/default/lab/x?")


def test_content_is_kept_apart_from_others(lab: Laboratory) -> None:
    store = lab.engines.store.part("lab")
    key = store.new_key()
    assert store.size(key) is None
    assert store.write(key, [b"01234", b"56789"]).size == 10
    with contextlib.closing(store.open(key, 2, 5)) as content:
        assert (b"".join(content), content.size) == (b"23456", 10)
    for other in (lab.engines.store, lab.engines.store.part("workshop")):
        assert other.size(key) is None
        with pytest.raises(MissingContent):
            other.open(key)
        other.remove(key)
    assert store.size(key) == 10
    store.remove(key)
    store.remove(key)
    assert store.size(key) is None


def test_content_that_breaks_off_leaves_nothing(lab: Laboratory) -> None:
    def broken() -> Iterator[bytes]:
        yield b"0"
        raise ConnectionError

    store = lab.engines.store.part("lab")
    key = store.new_key()
    with pytest.raises(ConnectionError):
        store.write(key, broken())
    assert store.size(key) is None


def test_a_secret_that_is_sent_again_is_new_and_of_the_same_row(lab: Laboratory) -> None:
    once = {"Idempotency-Key": "once"}
    first, second = (lab.call("POST", "badges", headers=dict(once)).json for _ in range(2))
    assert first["uid"] == second["uid"]
    assert first["code"] != second["code"]
    assert lab.call("PUT", "badges", json={"text": first["code"]}).json == {"text": "0 of 1"}, "voided"
    assert lab.call("PUT", "badges", json={"text": second["code"]}).json == {"text": "1 of 1"}
    with lab.engines.database.read() as session:
        kept = session.execute(sa.text("SELECT * FROM idempotency_keys")).mappings().one()
    assert second["code"] not in str(dict(kept))
    assert lab.call("POST", "badges").headers["Cache-Control"] == "no-store"


def test_the_operator_sets_the_plugins_section_and_writes_its_files(
    opened: Callable[[], Laboratory], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "server.toml").write_text('[lab]\npaper = "A3"\n', encoding="utf-8-sig")
    lab = opened()
    assert lab.call("GET", "settings").json == {"text": "A3 black"}
    (lab.folder / "lab-inks.toml").write_text('inks = ["cyan", "magenta"]', encoding="utf-8-sig")
    assert lab.call("GET", "settings").json == {"text": "A3 cyan,magenta"}


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("server.toml", '[lab]\npapers = "A3"\n', "lab.papers"),
        ("server.toml", "[lab]\npaper = 3\n", "lab.paper"),
        ("lab-inks.toml", "inks = 3", "lab-inks.toml: inks"),
    ],
)
def test_what_the_operator_wrote_wrongly_stops_the_start(
    file: str, text: str, sentence: str, opened: Callable[[], Laboratory], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / file).write_text(text)
    with pytest.raises(CannotStart, match=f"lab-plugin 1.0 cannot start: .*{sentence}"):
        opened()


def test_files_of_others_are_not_read(lab: Laboratory) -> None:
    for name in ("prices.toml", "../lab.toml", "lab/../server.toml", "server.toml", "laboratory.toml"):
        with pytest.raises(ValueError, match="is not a file of lab; call it lab.toml"):
            Context("lab", lab.engines).operator_file(name, marshmallow.Schema(), None)


def test_each_request_is_counted_with_its_bytes(lab: Laboratory) -> None:
    lab.plot()
    body = len(json.dumps(PLOT, separators=(",", ":")))
    added = [event for event in lab.events if event.startswith("request ")]
    assert int(added[0].split()[1]) >= body, lab.events
    assert int(added[0].split()[2]) > 0
    before = len(lab.events)
    lab.call("GET", "plots/x/password", token="edg_wrong")
    assert len([event for event in lab.events[before:] if event.startswith("request 0 ")]) == 1, "the list of events"


def reaches(model: Any) -> dict[str, Any]:
    """Statements that reach for a table that is not the plugin's."""
    module: Any = __import__("lab_plugin")
    table, plots = model.__table__, module.Plot.__table__
    return {
        "select": sa.select(model),
        "table": sa.select(table.c.id),
        "join": sa.select(plots.c.id).join(table, sa.true()),
        "alias": sa.select(table.alias("lab_plots").c.id),
        "subquery": sa.select(plots.c.id).where(plots.c.id.in_(sa.select(table.c.id))),
        "cte": sa.select(sa.select(table.c.id).cte("lab_plots").c.id),
        "union": sa.select(plots.c.id).union(sa.select(table.c.id)),
        "insert": sa.insert(table).values(id=1),
        "insert from": sa.insert(plots).from_select(["id"], sa.select(table.c.id)),
        "update": sa.update(table).values(id=1),
        "delete": sa.delete(model),
        "text": sa.text("DELETE FROM tokens"),
        "text within": sa.select(plots.c.id).where(sa.text("id IN (SELECT id FROM tokens)")),
    }


def test_statements_keep_to_the_plugins_own_tables(lab: Laboratory) -> None:
    module: Any = __import__("lab_plugin")
    context = Context("lab", lab.engines)
    context.subsystem(metadata=module.Base.metadata)
    names = context.names("lab event")
    for way, statement in reaches(Token).items():
        with context.write(SERVER) as session:
            session.execute(sa.insert(module.Event).values(text=way))
            names.add(session, 1, way, "own event")
            with pytest.raises(OutsideOwnTables, match="its own tables: lab_badges, lab_events, lab_plots"):
                session.execute(statement)
        assert way in lab.events


def test_a_row_of_another_subsystems_is_not_loaded(lab: Laboratory) -> None:
    context = Context("lab", lab.engines)
    with context.read() as session, pytest.raises(OutsideOwnTables):
        session.get(User, 1)


@pytest.mark.slow
def test_an_organization_that_goes_takes_rows_content_and_names_with_it(lab: Laboratory) -> None:
    with lab.engines.database.write(SERVER) as session:
        admin = directory.find_user(session, "admin")
        gone = directory.create_organization(session, lab.engines.lifecycle.organization_added, "gone")
        assert admin is not None
        directory.add_member(session, admin, gone, directory.ROLES)
    stays = lab.plot()
    answer = lab.call("POST", "/v1/orgs/gone/lab/plots", json=PLOT)
    assert answer.status_code == 201, answer.text
    with lab.engines.database.read() as session:
        chosen = sa.text("SELECT content FROM lab_plots WHERE uid = :uid")
        key = session.execute(chosen, {"uid": answer.json["uid"]}).scalar_one()
        kept = session.execute(chosen, {"uid": stays}).scalar_one()
    assert lab.call("DELETE", "/v1/admin/organizations/gone").status_code == 202
    assert "organization closing" in lab.events
    assert "organization removed" not in lab.events
    lab.engines.background.start()
    lab.wait_for("organization removed")  # at the second attempt, as the first raised
    deadline = time.monotonic() + 60
    while lab.call("GET", "/v1/admin/organizations/gone").status_code != 404:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    store = lab.engines.store.part("lab")
    assert (store.size(key), store.size(kept)) == (None, 10)
    with lab.engines.database.read() as session:
        assert session.execute(sa.text("SELECT uid FROM lab_plots")).scalars().all() == [stays]
        assert session.execute(sa.text("SELECT uid FROM search_names WHERE kind = 'lab plot'")).scalars().all() == [
            stays
        ]


@pytest.mark.slow
def test_a_user_that_goes_is_announced_at_once_and_afterwards(lab: Laboratory) -> None:
    with lab.engines.database.write(SERVER) as session:
        directory.create_user(session, "ada")
    assert lab.call("DELETE", "/v1/admin/users/ada").status_code in (202, 204)
    assert "user removed" in lab.events
    lab.engines.background.start()
    lab.wait_for("user gone")


def test_an_added_organization_is_announced_within_the_plugins_tables(lab: Laboratory) -> None:
    answer = lab.call("POST", "/v1/admin/organizations", json={"name": "new", "title": "New"})
    assert answer.status_code == 201, answer.text
    assert "organization added with 0 plots" in lab.events
    Context("lab", lab.engines).on_organization_added(lambda session, _: session.execute(sa.select(Token)))
    answer = lab.call("POST", "/v1/admin/organizations", json={"name": "newer", "title": "Newer"})
    assert answer.status_code == 500
    with lab.engines.database.read() as session:
        assert directory.find_organization(session, "newer") is None, "all of the transaction or nothing"
