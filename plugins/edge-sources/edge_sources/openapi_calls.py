"""Sends the calls of a generated client, and reads the answers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from edge_core.errors import BadEntry, BadResponse, ConnectionFailed, error_from
from edge_core.redaction import bare
from edge_sources.connection import parts_of
from edge_sources.openapi_values import is_json

if TYPE_CHECKING:
    import requests

    from edge_core.http import Route

TIMEOUT = (5.0, 60.0)
"""Time limits in seconds: to connect, and between bytes."""

_ADVICE = "check spec and server_url of the connector"


class DescribedService(Protocol):
    """A service with an API description, and the credentials for it; `OpenAPIConnection` is the class for it."""

    @property
    def spec(self) -> str: ...
    @property
    def server_url(self) -> str | None: ...
    @property
    def token(self) -> str | None: ...
    @property
    def username(self) -> str | None: ...
    @property
    def password(self) -> str | None: ...
    def route(self, url: str) -> Route: ...


@contextlib.contextmanager
def exchange(
    connection: DescribedService,
    method: str,
    url: str,
    *,
    params: Any = None,
    headers: Mapping[str, str] | None = None,
    content: Any = None,
    timeout: tuple[float, float] = TIMEOUT,
) -> Iterator[requests.Response]:
    """Send a request to an address of a service; the answer's content is still to be read.

    It takes the proxies and CA certificates of the session.

    Args:
        connection: the service.
        method: HTTP method.
        url: absolute address.
        params: query parameters.
        headers: request headers, credentials among them.
        content: request body.
        timeout: time limits in seconds: to connect, and between bytes.

    Raises:
        BadEntry: the request is not valid.
        ConnectionFailed: no answer came, or it broke off.
    """
    import requests

    from edge_core.http.failures import FAILURES, sentence_of

    parts_of(url)
    shown = bare(url)
    try:
        with requests.Session() as session:
            session.trust_env = False  # a .netrc entry would replace the credentials
            with session.request(
                method,
                url,
                params=params,
                headers=dict(headers or {}),
                data=content,
                timeout=timeout,
                stream=True,
                # Credentials in a service's own headers would be sent along to any host.
                allow_redirects=False,
                **connection.route(url),
            ) as answer:
                yield answer
    except (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidHeader,
        requests.exceptions.InvalidSchema,
        UnicodeError,
    ) as error:
        raise BadEntry(
            f"{shown}: this cannot be sent ({type(error).__name__}); check server_url and the parameters"
        ) from None
    except FAILURES as error:
        raise ConnectionFailed(f"{shown}: {sentence_of(error, url, _ADVICE)}") from None
    except ValueError as error:
        raise ConnectionFailed(f"{shown} gave no answer ({type(error).__name__}); try again") from None


def send(
    connection: DescribedService,
    method: str,
    url: str,
    *,
    params: Any = None,
    headers: Mapping[str, str] | None = None,
    content: Any = None,
    timeout: tuple[float, float] = TIMEOUT,
) -> requests.Response:
    """Send a request to an address of a service, and return the answer whole; see `exchange`."""
    with exchange(connection, method, url, params=params, headers=headers, content=content, timeout=timeout) as answer:
        _ = answer.content  # is read while the connection is open
        return answer


def parsed(answer: requests.Response) -> Any:
    """Return the content of an answer: parsed if it is JSON, else a str or bytes; None if it is empty.

    Raises:
        NotFound, Unauthenticated, Forbidden, Conflict, ServerError, ApiError: the service refused the request.
        BadResponse: the answer redirects, or is labelled as JSON but is not.
    """
    status, url = answer.status_code, bare(answer.url)
    method = answer.request.method or "GET"
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if status >= 400:
        reason = ""
        if is_json(kind):
            try:
                problem = answer.json()
            except ValueError:
                problem = None
            if isinstance(problem, dict):
                reason = next((str(problem[key]) for key in ("detail", "message", "title") if problem.get(key)), "")
        detail = f"{method} {url} was refused with status {status}" + (f": {clipped(reason)}" if reason else "")
        raise error_from(status=status, method=method, url=url, problem={"detail": detail}, request_id=None)
    if status >= 300:
        raise BadResponse(f"{url} redirects, and credentials are not sent to other addresses; correct server_url")
    if not answer.content:
        return None
    if is_json(kind):
        try:
            return answer.json()
        except ValueError:
            raise BadResponse(f"{url} sent an answer that is labelled as JSON but is not; try again") from None
    return answer.text if kind.startswith("text/") else answer.content


def clipped(text: str) -> str:
    r"""Return the first line of a text of others, at most 200 characters of it, to be quoted in an error.

    >>> clipped("\x1b[2Jcleared")
    '\\x1b[2Jcleared'
    """
    line = text.partition("\n")[0][:200]
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in line
    )
