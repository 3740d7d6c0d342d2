"""Whose a token of a hub is, and which of them are good here, by what the hub says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from edge_server.base import clock
from edge_server.base.problems import Refusal
from edge_server.identity import hub_clients, hub_groups
from edge_server.identity.hub import Group, Hub, HubToken, HubUnavailable, Visitor
from edge_server.identity.hub_identity import GROUPS_KEPT, HubIdentity, hub_of
from edge_server.identity.kinds import OwnTokens

from .launched import CREATED

ACCESS = "access:services!service=api"
VIEWER = "edge-app-lab-viewer"
LOGIN = f"access:services!service={VIEWER}"
VALUE = "0123456789abcdef"
DIGEST = hashlib.sha256(VALUE.encode()).hexdigest()
CODES = {401: "unauthenticated", 403: "forbidden", 500: "internal", 503: "identity_unavailable"}
NEW_TOKEN = "make a new token on the hub's Token page"


class Words(Hub):
    """A hub that says what a test has it say.

    Attributes:
        visitor_of: what it says of any token.
        client: which client has any token; None if it does not know the token.
        listed: its groups.
        lists: how often they were listed.
        while_listing: what happens meanwhile.
    """

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9/hub/api", "token-of-the-service", "api")
        self.visitor_of: Visitor | None = visitor()
        self.client: str | None = "JupyterHub"
        self.listed: list[Group] = []
        self.lists = 0
        self.while_listing: Callable[[], None] = lambda: None
        self.tokens_read: list[tuple[str, str]] = []
        self.values: list[str] = []

    def visitor(self, token: str) -> Visitor | None:
        self.values.append(token)
        return self.visitor_of

    def token(self, user_name: str, token_id: str) -> HubToken | None:
        self.tokens_read.append((user_name, token_id))
        if self.client is None:
            return None
        created = clock.now()
        return HubToken(token_id, frozenset(), None, created, None, None, self.client)

    def groups(self) -> list[Group]:
        self.lists += 1
        self.while_listing()
        return self.listed


def visitor(**changes: Any) -> Visitor:
    values = {
        "kind": "user",
        "name": "ada",
        "admin": False,
        "groups": frozenset({"lab"}),
        "scopes": frozenset({ACCESS}),
        "token_id": "a1",
        "is_login": False,
    }
    return Visitor(**{**values, **changes})  # type: ignore[arg-type]


class Place:
    """An identity at such a hub, and what it has told the accounts.

    Attributes:
        admitted: with which digest, as whom and for which organization alone.
        dismissed: digests.
        seen: the applications that somebody had to see.
    """

    def __init__(self) -> None:
        self.hub = Words()
        self.identity = HubIdentity(self.hub, lambda: 16)
        self.admitted: list[tuple[str, Visitor, str | None]] = []
        self.dismissed: list[str] = []
        self.seen: list[tuple[str, str]] = []
        self.identity.admit = lambda *admission: self.admitted.append(admission)
        self.identity.dismiss = self.dismissed.append
        place = self

        class Registered:
            def organization_of(self, name: str) -> str:
                return {VIEWER: "lab"}[name]

            def require_seen(self, name: str, user_name: str) -> None:
                place.seen.append((name, user_name))

        self.identity.logins = Registered()

    def refused(self, status: int) -> str:
        """The sentence by which the token is refused."""
        with pytest.raises(Refusal) as raised:
            self.identity.digest_of(VALUE)
        assert (raised.value.status, raised.value.code) == (status, CODES[status])
        assert VALUE not in raised.value.detail
        return raised.value.detail


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the clock shows, to be set."""
    moment = [1000.0]
    monkeypatch.setattr(clock, "_monotonic", lambda: moment[0])
    return moment


def test_a_users_token_with_the_scope_is_good(place: Place) -> None:
    assert place.identity.digest_of(VALUE) == DIGEST
    assert place.admitted == [(DIGEST, place.hub.visitor_of, None)]
    assert place.hub.values == [VALUE]
    assert place.hub.tokens_read == [], "the hub is not asked for what the scopes say"
    assert not place.dismissed
    assert place.identity.digest_of(VALUE) == DIGEST
    assert len(place.hub.values) == 1
    for _ in range(2):
        place.identity.forget(DIGEST)  # which may be forgotten already
    assert place.identity.digest_of(VALUE) == DIGEST
    assert len(place.hub.values) == 2


@pytest.mark.parametrize("value", ["x" * 7, "x" * 513, "with a blank", "with\ta-tab", "ümlaut-of-a-token", ""])
def test_what_can_be_no_token_is_not_sent_to_the_hub(place: Place, value: str) -> None:
    with pytest.raises(Refusal, match="mistyped or cut off; copy it again, or make a new token") as raised:
        place.identity.digest_of(value)
    assert (raised.value.status, place.hub.values) == (401, [])


@pytest.mark.parametrize("value", ["x" * 8, "x" * 512, "!~" * 4])
def test_what_can_be_a_token_is_sent_to_the_hub(place: Place, value: str) -> None:
    place.identity.digest_of(value)
    assert place.hub.values == [value]


def test_a_token_of_this_servers_own_is_of_before(place: Place) -> None:
    with pytest.raises(Refusal, match=f"of the time before this server took those of its JupyterHub; {NEW_TOKEN}"):
        place.identity.digest_of("edg_" + "0" * 40)
    assert place.hub.values == []


@pytest.mark.parametrize(
    ("whose", "status", "sentence"),
    [
        (None, 401, f"the hub does not know the API token, or no more; {NEW_TOKEN}"),
        (visitor(kind="service", name="cull"), 403, "this is the token of the hub's service cull, and only users are"),
        (
            visitor(scopes=frozenset({"self"})),
            403,
            f"the token lacks the hub's scope {ACCESS}; {NEW_TOKEN} that has it",
        ),
        (
            visitor(scopes=frozenset({f"{ACCESS}2"})),
            403,
            f"the token lacks the hub's scope {ACCESS}; {NEW_TOKEN} that has it, or have the hub's operator give it to "
            "users and, by server_token_scopes, to their servers",
        ),
    ],
)
def test_any_other_token_is_refused_and_what_it_has_signed_ends(
    place: Place, whose: Visitor | None, status: int, sentence: str
) -> None:
    place.hub.visitor_of = whose
    assert place.refused(status).startswith(sentence)
    assert place.dismissed == [DIGEST]
    assert place.admitted == []
    assert place.refused(status).startswith(sentence)
    assert len(place.hub.values) == 1, "what is refused is kept as well"


def test_a_refusal_that_is_kept_is_what_it_was(place: Place) -> None:
    place.hub.visitor_of = None
    for _ in range(2):
        with pytest.raises(Refusal) as raised:
            place.identity.digest_of(VALUE)
        assert (raised.value.status, raised.value.code) == (401, "unauthenticated")
        assert raised.value.headers == {"WWW-Authenticate": "Bearer"}
        assert raised.value.detail.startswith("the hub does not know the API token")


@pytest.mark.parametrize("refusal", [Refusal(403, "forbidden", "no"), Refusal(401, "unauthenticated", "no")])
def test_who_may_not_come_in_has_nothing_that_goes_on(place: Place, refusal: Refusal) -> None:
    def admit(*_: object) -> None:
        raise refusal

    place.identity.admit = admit
    assert place.refused(refusal.status) == "no"
    assert place.dismissed == [DIGEST]


@pytest.mark.parametrize("refusal", [HubUnavailable("it is away"), Refusal(500, "internal", "no")])
def test_a_hub_that_does_not_say_ends_nothing(place: Place, refusal: Refusal) -> None:
    def admit(*_: object) -> None:
        raise refusal

    place.identity.admit = admit
    place.refused(refusal.status)
    assert place.dismissed == []


def test_the_scope_of_all_services_is_as_good(place: Place) -> None:
    place.hub.visitor_of = visitor(scopes=frozenset({"access:services"}))
    assert place.identity.digest_of(VALUE) == DIGEST


# --- logins to external applications


@pytest.mark.parametrize("is_login", [True, False])
def test_a_login_is_for_the_organization_of_its_application(place: Place, is_login: bool) -> None:
    place.hub.visitor_of = visitor(scopes=frozenset({ACCESS, LOGIN}), is_login=is_login)
    place.hub.client = f"JupyterHub service {VIEWER}"
    place.identity.digest_of(VALUE)
    assert place.admitted == [(DIGEST, place.hub.visitor_of, "lab")]
    assert place.seen == [(VIEWER, "ada")]
    assert place.hub.tokens_read == [("ada", "a1")]


@pytest.mark.parametrize(
    ("scopes", "client"),
    [({ACCESS, LOGIN}, "JupyterHub"), ({ACCESS}, "JupyterHub"), ({ACCESS}, "Server at /user/ada/")],
)
def test_a_token_that_is_no_applications_is_for_all_organizations(place: Place, scopes: set[str], client: str) -> None:
    place.hub.visitor_of = visitor(scopes=frozenset(scopes), is_login=True)
    place.hub.client = client
    place.identity.digest_of(VALUE)
    assert place.admitted == [(DIGEST, place.hub.visitor_of, None)]
    assert place.seen == []


def test_a_login_ends_with_the_right_to_log_in(place: Place) -> None:
    place.hub.visitor_of = visitor(is_login=True)
    place.hub.client = f"JupyterHub service {VIEWER}"
    assert place.refused(403) == (
        f"the hub does not let ada log in to service-{VIEWER} any more; have its operator give them {LOGIN}, and log "
        "in again"
    )


def test_a_login_whose_application_the_hub_does_not_tell_is_refused(place: Place) -> None:
    place.hub.visitor_of = visitor(scopes=frozenset({ACCESS, LOGIN}))
    place.hub.client = "something else"
    assert place.refused(403).startswith("the hub does not tell which application this login is for; make a new token")


@pytest.mark.parametrize("token_id", ["a1", None])
def test_a_login_of_which_the_hub_does_not_tell_waits(place: Place, token_id: str | None) -> None:
    place.hub.visitor_of = visitor(is_login=True, token_id=token_id)
    place.hub.client = None if token_id else "JupyterHub"
    with pytest.raises(HubUnavailable) as raised:
        place.identity.digest_of(VALUE)
    assert raised.value.why == "it does not tell of a token of the user ada"
    assert place.dismissed == []


@pytest.mark.parametrize("ask", ["organization", "seen"])
def test_without_applications_no_login_is_good(ask: str) -> None:
    logins = HubIdentity(Words(), lambda: 16).logins
    asks: dict[str, Callable[[], object]] = {
        "organization": lambda: logins.organization_of(VIEWER),
        "seen": lambda: logins.require_seen(VIEWER, "ada"),
    }
    with pytest.raises(Refusal) as raised:
        asks[ask]()
    assert raised.value.detail == (
        f"this login is for the application service-{VIEWER}, which is not registered, or not any more; have its "
        "developer register it, and log in again"
    )
    assert raised.value.status == 401


@pytest.mark.parametrize("whose", [None, visitor()])
def test_without_accounts_nobody_is_let_in(whose: Visitor | None) -> None:
    hub = Words()
    hub.visitor_of = whose
    with pytest.raises(RuntimeError, match="^nothing keeps the accounts of this server's users$"):
        HubIdentity(hub, lambda: 16).digest_of(VALUE)


def test_a_client_is_called_by_its_service() -> None:
    assert hub_clients.client_id(VIEWER) == f"service-{VIEWER}"
    assert hub_clients.name_of(f"service-{VIEWER}") == VIEWER
    for description in (f"JupyterHub service {VIEWER}", f"service-{VIEWER}", VIEWER):
        assert hub_clients.application_of(description) == VIEWER
    assert hub_clients.application_of("JupyterHub service cull") is None


# --- the hub itself


def test_the_hub_is_known_by_the_services_token(place: Place) -> None:
    assert place.identity.is_hub("token-of-the-service")
    assert not place.identity.is_hub("token-of-the-servic")
    assert not place.identity.is_hub("token-of-\ud800")


def test_a_hub_is_not_mistaken_for_own_tokens(place: Place) -> None:
    assert hub_of(place.identity) is place.identity
    assert hub_of(OwnTokens()) is None


def test_the_answer_of_the_hub_is_handed_on(place: Place) -> None:
    assert place.identity.ask(lambda: CREATED) is CREATED


# --- groups


def group(name: str, *users: str, **properties: Any) -> Group:
    return Group(name, frozenset(users), properties)


def test_groups_are_listed_again_after_seconds_or_for_a_new_name(place: Place, now: list[float]) -> None:
    place.hub.listed = [group("lab"), group("crew")]
    assert place.identity.groups(["lab"]) == place.hub.listed
    now[0] += GROUPS_KEPT
    assert place.identity.groups(["lab", "crew"]) == place.hub.listed
    assert place.identity.groups([]) == place.hub.listed
    assert place.hub.lists == 1
    now[0] += 0.1
    assert place.identity.groups([]) == place.hub.listed
    assert place.hub.lists == 2
    place.identity.groups(["lab", "new"])
    assert place.hub.lists == 3
    now[0] += GROUPS_KEPT
    place.identity.groups(["lab"])
    assert place.hub.lists == 3, "counted from the listing before"


@pytest.mark.parametrize(("took", "kept"), [(0.1, 2.0), (0.15, 3.0), (1.0, 20.0), (1.5, 30.0), (4.0, 30.0)])
def test_groups_that_take_long_to_list_are_listed_less_often(
    place: Place, now: list[float], took: float, kept: float
) -> None:
    began = now[0]

    def take() -> None:
        now[0] += took

    place.hub.while_listing = take
    place.identity.groups([])
    now[0] = began + kept - 0.01
    place.identity.groups([])
    assert place.hub.lists == 1
    now[0] = began + kept + 0.01
    place.identity.groups([])
    assert place.hub.lists == 2


def test_an_organizations_groups_are_those_that_name_it(place: Place) -> None:
    groups = [group("a", edge_organization="lab"), group("lab"), group("b", edge_organization="lab2"), group("c", x=1)]
    assert hub_groups.groups_of("lab", groups) == [groups[0]]


@pytest.mark.parametrize(
    ("own", "roles"),
    [
        ([group("a", "bob")], None),
        ([], None),
        ([group("a", "ada")], []),
        (
            [group("a", "ada", edge_roles=["developer"]), group("b", "ada", edge_roles=["admin"])],
            ["admin", "developer"],
        ),
        ([group("a", "ada", edge_roles="admin"), group("b", "ada", edge_roles=[["admin"], 1, "owner"])], []),
        ([group("a", "ada", edge_roles=["developer"]), group("b", "bob", edge_roles=["admin"])], ["developer"]),
    ],
)
def test_roles_are_those_of_all_groups_of_a_user(own: list[Group], roles: list[str] | None) -> None:
    assert hub_groups.roles_of("ada", own) == roles
