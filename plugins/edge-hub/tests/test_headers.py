"""What an application learns of its visitor, and what a visitor cannot make it believe."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from edge_core.session import EdgeSession
from edge_hub.app_proxy.headers import for_application, for_visitor, is_own_origin
from edge_hub.app_proxy.visitors import Visitor, session_user

ADA = Visitor("ada", "Ada Lovelace", ("lab", "lab:admin"))


def headers(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


def passed(*pairs: tuple[str, str], visitor: Visitor = ADA) -> CIMultiDict[str]:
    return for_application(headers(*pairs), visitor.headers(), host="127.0.0.1:9000", scheme="http", remote="127.0.0.1")


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-User",
        "x-forwarded-user",
        "X-FORWARDED-DISPLAY-NAME",
        "X_Forwarded_User",
        "x_forwarded-Groups",
        "X.Forwarded.User",
        "X-Forwarded-Email",
        "X-Forwarded-Access-Token",
        "X-Forwarded-Preferred-Username",
        "Forwarded",
        "X-Real-IP",
        "Remote-User",
        "REMOTE_USER",
        "X-Remote-Group",
        "X-Auth-Request-User",
        "X-WEBAUTH-USER",
        "X-CDSDASHBOARDS-JH-USER",
        "X-JupyterHub-User",
        "X-Edge-User",
        "X-Script-Name",
        "X-Forwarded-Prefix",
    ],
)
def test_a_visitor_cannot_say_who_they_are(name: str) -> None:
    application_gets = passed((name, "mallory"), ("Host", "127.0.0.1:9000"), ("Accept", "text/html"))

    assert "mallory" not in application_gets.values()
    assert application_gets.getall("X-Forwarded-User") == ["ada"]
    assert application_gets["Accept"] == "text/html"


def test_names_of_any_language_arrive_and_a_comma_makes_no_second_group() -> None:
    visitor = Visitor("zoë@lab.org", "Zoë 李\r\nX-Admin: 1", ("a,b", "c"))

    application_gets = passed(visitor=visitor)

    assert all(value.isascii() and value.isprintable() for value in application_gets.values())
    assert unquote(application_gets["X-Forwarded-User"]) == visitor.user_name
    assert unquote(application_gets["X-Forwarded-Display-Name"]) == visitor.display_name
    assert tuple(map(unquote, application_gets["X-Forwarded-Groups"].split(","))) == visitor.groups


def test_cookies_of_the_hub_are_kept_from_the_application() -> None:
    application_gets = passed(
        ("Cookie", 'theme=dark; jupyterhub-session-id=s3cret; JupyterHub-user-ada="x y"'),
        ("Cookie", "jupyterhub-hub-login=s3cret;lang=en"),
    )

    assert application_gets.getall("Cookie") == ["theme=dark; lang=en"]
    assert "Cookie" not in passed(("Cookie", "jupyterhub-session-id=s3cret"))


def test_an_application_sets_its_own_cookies_and_none_of_the_hub() -> None:
    answer = headers(("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", " JUPYTERHUB-session-id=x"), ("Set-Cookie", "b=2"))

    sent = for_visitor(answer, application="http://127.0.0.1:9001", origin="http://127.0.0.1:9000")

    assert sent.getall("Set-Cookie") == ["a=1; Path=/", "b=2"]


def test_below_a_prefix_nothing_of_the_application_reaches_beyond_it() -> None:
    cookies = ("a=1; Path=/; Secure", "b=2; Domain=lab.org; path=/b", "c=3; Path=/user/ada/viz/c", "d=4; Path=x")
    answer = headers(
        *[("Set-Cookie", cookie) for cookie in (*cookies, "__Host-jupyterhub-user-bob=x")],
        ("Service-Worker-Allowed", "/"),
        ("Clear-Site-Data", "*"),
        ("Location", "//evil.org/"),
    )

    sent = for_visitor(
        answer, application="http://127.0.0.1:9001", origin="https://hub.lab.org", prefix="/user/ada/viz/"
    )

    assert sent.getall("Set-Cookie") == [
        "a=1; Path=/user/ada/viz/; Secure",
        "b=2; Path=/user/ada/viz/b",
        "c=3; Path=/user/ada/viz/c",
        "d=4",
    ]
    assert not {"Service-Worker-Allowed", "Clear-Site-Data"} & set(sent)
    assert sent["Location"] == "//evil.org/", "which is no address of this host"


def test_headers_of_a_single_connection_stay_on_it() -> None:
    application_gets = passed(
        ("Connection", "keep-alive, X-Hop"), ("X-Hop", "1"), ("Upgrade", "h2c"), ("TE", "trailers"), ("X-End", "2")
    )

    assert not {"Connection", "X-Hop", "Upgrade", "TE"} & set(application_gets)
    assert application_gets["X-End"] == "2"


@pytest.mark.parametrize(
    ("location", "sent"),
    [
        ("/login?next=%2F", "/login?next=%2F"),
        ("http://127.0.0.1:9001/login", "https://apps.lab.org/login"),
        ("http://127.0.0.1:9001//evil.org", "https://apps.lab.org//evil.org"),
        ("http://127.0.0.1:9001", "https://apps.lab.org"),
        ("http://127.0.0.1:9001@evil.org/", "http://127.0.0.1:9001@evil.org/"),
        ("http://127.0.0.1:90011/", "http://127.0.0.1:90011/"),
        ("https://example.org/", "https://example.org/"),
        ("page", "page"),
    ],
)
def test_a_redirect_to_where_only_the_proxy_reaches_leads_to_the_proxy(location: str, sent: str) -> None:
    answer = for_visitor(
        headers(("Location", location)), application="http://127.0.0.1:9001", origin="https://apps.lab.org"
    )

    assert answer["Location"] == sent


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        (None, True),
        ("http://127.0.0.1:9000", True),
        ("http://127.0.0.1:9001", False),
        ("https://evil.org", False),
        ("null", False),
        ("http://127.0.0.1:9000.evil.org", False),
    ],
)
def test_pages_of_others_are_known_by_their_origin(origin: str | None, own: bool) -> None:
    assert is_own_origin(origin, "127.0.0.1:9000") is own


def test_the_user_of_a_session_is_its_visitor(edge_session: EdgeSession) -> None:
    user = edge_session.whoami()

    visitor = session_user(edge_session)

    assert visitor.user_name == user.user_name
    assert visitor.display_name
    assert visitor.groups[0] == edge_session.organization
    assert f"{edge_session.organization}:admin" in visitor.groups
