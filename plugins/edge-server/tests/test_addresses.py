"""Signed addresses as a view signs and reads them, over views that do nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from urllib.parse import parse_qsl

import pytest
import sqlalchemy as sa

from edge_server.base import clock
from edge_server.identity import directory, token_values
from edge_server.identity.models import Membership, Organization, Token
from edge_server.web.context import Context
from edge_server.web.permissions import Rule

from .guarded import Place, address, refusal

CHANGED = (403, "bad_signature", "this address is not as it was signed; ask for a new one and use it unchanged")
ENDED = (
    403,
    "expired",
    "this address has ended, as its signer left the organization or removed the token, or an admin ended it; "
    "ask for a new one",
)
LATE = (403, "expired", "this address has expired; ask for a new one")
THING = "v1/lab/things/1"


def signed_by(place: Place, path: str, user: str | None = None, *, seconds: float = 60, method: str = "GET") -> str:
    """The address of `THING`, signed in a request to `path`."""
    addresses: list[str] = []
    context = Context("lab", place.engines)

    def sign() -> None:
        expires_at = clock.now() + dt.timedelta(seconds=seconds)
        addresses.append(context.signed_address(method, THING, expires_at, {"as": "x y"}))

    place.view = sign
    answer = place.get(path, user)
    assert answer.status_code == 200, answer.text
    return f"/{addresses[0]}"


def signer_of(signed: str) -> str | None:
    return dict(parse_qsl(signed.partition("?")[2])).get("signer")


@pytest.fixture
def use(place: Place) -> Callable[..., object]:
    """Call a signed address: the parameters that its view reads, or the refusal."""

    def use(signed: str, method: str = "GET") -> object:
        queries: list[dict[str, str]] = []
        place.view = lambda: queries.append(Context("lab", place.engines).signed_query())
        answer = place.call(method, signed)
        if answer.status_code == 200:
            return queries[0]
        return answer.status_code if method == "HEAD" else refusal(answer)

    return use


def token_of(place: Place, user: str) -> str:
    with place.engines.database.read() as session:
        digest = token_values.digest(place.tokens[user])
        return session.scalars(sa.select(Token.uid).where(Token.digest == digest)).one()


def test_an_address_names_the_token_the_membership_and_the_rule(place: Place, use: Callable[..., object]) -> None:
    with place.engines.database.read() as session:
        mine = Membership.user_id == place.id_of_user("developer")
        signing_uid = session.scalars(sa.select(Membership.signing_uid).where(mine)).one()
    signed = signed_by(place, address(Rule.DEVELOPER), "developer")
    assert signer_of(signed) == f"{token_of(place, 'developer')}.{signing_uid}.developer"
    query = use(signed)
    assert isinstance(query, dict)
    assert set(query) == {"as", "expires", "signer"}
    assert (query["as"], query["signer"]) == ("x y", signer_of(signed))


@pytest.mark.parametrize(
    ("path", "user"),
    [(address(Rule.USER), "member"), (address(Rule.APPOINTER, "orphan"), "root"), ("/v1/anyone", None)],
)
def test_an_address_that_no_member_signs_names_the_token_alone_if_there_is_any(
    place: Place, use: Callable[..., object], path: str, user: str | None
) -> None:
    signed = signed_by(place, path, user)
    assert signer_of(signed) == (None if user is None else token_of(place, user))
    assert isinstance(use(signed), dict)


def test_an_address_that_the_server_signs_for_itself_names_nobody(place: Place, use: Callable[..., object]) -> None:
    signed = Context("lab", place.engines).signed_address("GET", THING, clock.now() + dt.timedelta(minutes=1))
    assert signer_of(f"/{signed}") is None
    assert isinstance(use(f"/{signed}"), dict)


def test_an_address_is_for_its_method_and_to_read_is_also_to_look(place: Place, use: Callable[..., object]) -> None:
    signed = signed_by(place, address(Rule.MEMBER), "member")
    assert isinstance(use(signed, "HEAD"), dict)
    assert use(signed, "PUT") == CHANGED
    assert use(f"{signed}&as=z") == CHANGED
    assert use(f"{signed}&more=1") == CHANGED
    assert use(signed.replace("things/1", "things/2")) == CHANGED
    assert use("/" + THING) == CHANGED
    written = signed_by(place, address(Rule.MEMBER), "member", method="PUT")
    assert isinstance(use(written, "PUT"), dict)
    assert (use(written), use(written, "HEAD")) == (CHANGED, 403)


def ends(place: Place, use: Callable[..., object], rule: Rule, user: str, change: sa.Executable) -> bool:
    """Whether an address that was signed under a rule ends with a change of the database."""
    signed = signed_by(place, address(rule), user)
    assert isinstance(use(signed), dict)
    place.change(change)
    outcome = use(signed)
    assert outcome == ENDED or isinstance(outcome, dict)
    return outcome == ENDED


@pytest.mark.parametrize("column", ["removed_at", "expires_at"])
@pytest.mark.parametrize("rule", [Rule.USER, Rule.MEMBER])
def test_an_address_ends_with_its_token(place: Place, use: Callable[..., object], rule: Rule, column: str) -> None:
    mine = Token.uid == token_of(place, "member")
    assert not ends(place, use, rule, "member", sa.update(Token).where(~mine).values({column: clock.now()}))
    assert ends(place, use, rule, "member", sa.update(Token).where(mine).values({column: clock.now()}))


@pytest.mark.parametrize("rule", [Rule.USER, Rule.MEMBER])
def test_an_address_goes_on_while_its_token_does(place: Place, use: Callable[..., object], rule: Rule) -> None:
    later = clock.now() + dt.timedelta(minutes=1)
    assert not ends(place, use, rule, "member", sa.update(Token).values(expires_at=later))


@pytest.mark.parametrize("values", [{"status": directory.DELETING}, {"active": False}], ids=str)
def test_an_address_ends_with_its_organization(
    place: Place, use: Callable[..., object], values: dict[str, object]
) -> None:
    others = sa.update(Organization).where(Organization.name != "lab").values(**values)
    assert not ends(place, use, Rule.MEMBER, "member", others)
    assert ends(place, use, Rule.MEMBER, "member", sa.update(Organization).values(**values))


def test_an_address_ends_with_the_membership_that_signed_it(place: Place, use: Callable[..., object]) -> None:
    mine = Membership.user_id == place.id_of_user("member")
    assert not ends(place, use, Rule.MEMBER, "member", sa.delete(Membership).where(~mine))
    assert ends(place, use, Rule.MEMBER, "member", sa.update(Membership).where(mine).values(signing_uid="another"))


@pytest.mark.parametrize(
    ("rule", "user", "needed"),
    [
        (Rule.MEMBER, "developer", False),
        (Rule.DEVELOPER, "developer", True),
        (Rule.MEMBER, "admin", False),
        (Rule.DEVELOPER, "admin", True),
        (Rule.ORG_ADMIN, "admin", True),
        (Rule.APPOINTER, "admin", True),
    ],
)
def test_an_address_ends_with_the_role_that_it_needed(
    place: Place, use: Callable[..., object], rule: Rule, user: str, needed: bool
) -> None:
    assert ends(place, use, rule, user, sa.update(Membership).values(admin=False, developer=False)) is needed


def test_an_address_of_another_subsystem_is_not_signed(place: Place) -> None:
    context = Context("lab", place.engines)
    for path in ("v1/files/x", "v1/orgs/lab/files/x", "lab/x", "v1/orgs/v1/x/lab/x"):
        with pytest.raises(ValueError, match="is not an address of lab") as refused:
            context.signed_address("GET", path, clock.now())
        assert str(refused.value) == f"{path} is not an address of lab; sign one of its own"
    for path in ("v1/lab/x", "v1/orgs/any-name/lab/x"):
        assert context.signed_address("GET", path, clock.now()).startswith(f"{path}?expires=")


def test_a_user_signs_no_more_than_the_limit_and_others_go_on(place: Place) -> None:
    for path, user in ((address(Rule.USER), "member"), (address(Rule.USER), "admin"), ("/v1/anyone", None)):
        for _ in range(2):
            signed_by(place, path, user)
        answer = place.get(path, user)
        assert refusal(answer)[:2] == (429, "too_many_requests")
        assert answer.json["detail"].startswith("you ask for more signed addresses than this server allows at once; ")
    context = Context("lab", place.engines)
    own = [context.signed_address("GET", THING, clock.now()) for _ in range(3)]
    assert len(own) == 3, "those that no request asks for are not counted"


def test_wrong_signatures_are_limited_and_those_that_ended_are_not(place: Place, use: Callable[..., object]) -> None:
    late = signed_by(place, address(Rule.MEMBER), "member", seconds=-1)
    for _ in range(101):
        assert use(late) == LATE
    for _ in range(100):
        assert use(f"{late}&more=1") == CHANGED
    limited = use(f"{late}&more=1")
    assert isinstance(limited, tuple)
    assert limited[:2] == (429, "too_many_requests")
    assert use(late) == LATE


def test_an_address_lives_no_longer_than_the_token_at_hand(place: Place) -> None:
    context = Context("lab", place.engines)
    expiries: list[dt.datetime] = []
    week, before = dt.timedelta(days=7), clock.now()
    place.view = lambda: expiries.append(context.address_expiry(week))
    place.get(address(Rule.USER), "member")
    place.get("/v1/anyone")
    expiries.append(context.address_expiry(week))
    assert len(expiries) == 3
    for expiry in expiries:
        assert before.replace(microsecond=0) + week <= expiry <= clock.now() + week
        assert expiry.microsecond == 0
    soon = (before + dt.timedelta(hours=1)).replace(microsecond=7)
    place.change(sa.update(Token).values(expires_at=soon))
    place.get(address(Rule.USER), "member")
    assert expiries[3] == soon.replace(microsecond=0)
