"""`ServiceClient`: what namespaces call, which knows their base path and their name."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

from edge_core.http.answers import Answer, read_body
from edge_core.installed import version_of
from edge_core.paging import Pages

if TYPE_CHECKING:
    from edge_core.http.client import Body, HttpClient
    from edge_core.http.environment import Route
    from edge_core.records import Record

_R = TypeVar("_R", bound="Record")
_T = TypeVar("_T")


class ServiceClient:
    """What a namespace calls: JSON in, JSON out, below its own base path.

    Every method raises what `HttpClient.send` does.
    """

    def __init__(self, client: HttpClient, base_path: str = "", package: str | None = None) -> None:
        self._client = client
        self._base_path = base_path
        distribution = package.replace("_", "-") if package else None
        self._agent = f"{distribution}/{version_of(distribution)}" if distribution else None

    @property
    def _base(self) -> str:
        base = self._base_path
        return base.replace("{organization}", self._client.organization) if "{organization}" in base else base

    def get(self, path: str, *, params: Mapping[str, Any] | None = None) -> Any:
        with self._json("GET", path, params=params) as answer:
            return answer.json()

    def post(self, path: str, *, json: Any = None, timeout: float | None = None) -> Any:
        with self._json("POST", path, json, timeout=timeout) as answer:
            return answer.json()

    def put(self, path: str, *, json: Any = None) -> Any:
        with self._json("PUT", path, json) as answer:
            return answer.json()

    def patch(self, path: str, *, json: Any = None) -> Any:
        with self._json("PATCH", path, json) as answer:
            return answer.json()

    def delete(self, path: str, *, params: Mapping[str, Any] | None = None) -> Any:
        with self._json("DELETE", path, params=params) as answer:
            return answer.json()

    @overload
    def items(
        self, path: str, *, params: Mapping[str, Any] | None = None, max_items: int | None = None
    ) -> Pages[Any]: ...
    @overload
    def items(
        self,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        make: Callable[[Any], _T],
        max_items: int | None = None,
    ) -> Pages[_T]: ...
    def items(
        self,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        make: Callable[[Any], Any] = lambda raw: raw,
        max_items: int | None = None,
    ) -> Pages[Any]:
        """A list, page after page, as its items are iterated over.

        Args:
            path: address of the list.
            params: query parameters, such as ``limit``, the size of a page.
            make: turns one item's JSON into what is handed out; the JSON itself without it.
            max_items: the most items to hand out; None for all.
        """
        query = dict(params or {})
        return Pages(lambda cursor: self.get(path, params={**query, "cursor": cursor}), make, max_items=max_items)

    def get_record(self, kind: type[_R], path: str, *, params: Mapping[str, Any] | None = None) -> _R:
        """A record, which remembers the version of the object it came from."""
        with self._json("GET", path, params=params) as answer:
            return kind.from_answer(answer.json(), etag=answer.headers.get("ETag"))

    def update_record(self, record: _R, path: str) -> _R:
        """Send what was set on `record` as a merge patch (RFC 7396), and return the object as it is then.

        Raises:
            Conflict: the object was changed since the record came from the server.
        """
        headers = {"Content-Type": "application/merge-patch+json"}
        if record._etag is not None:
            headers["If-Match"] = record._etag
        with self._json("PATCH", path, record.changes(), headers=headers) as answer:
            return type(record).from_answer(answer.json(), etag=answer.headers.get("ETag"))

    def fetch(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Send a request and read the whole answer, so that one that breaks off is fetched again.

        Args:
            method: HTTP method, in upper case.
            path: path below the base path.
            params: query parameters; those that are None are left out.
            headers: headers beside the usual ones.
            body: bytes, or something that can be read and rewound.
            timeout: seconds between bytes, instead of the session's.
        """
        agent = self._agent
        call = self._client.call(
            method, self._base + path, params=params, headers=headers, body=body, timeout=timeout, agent=agent
        )
        return self._client.send(call, read_body)

    def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Send a request whose answer the caller reads and closes; arguments as of `fetch`."""
        agent = self._agent
        call = self._client.call(
            method, self._base + path, params=params, headers=headers, body=body, timeout=timeout, agent=agent
        )
        return self._client.send(call)

    def stream_or_redirect(
        self, path: str, *, params: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """GET an answer that the caller reads and closes; a redirect is not followed but handed out as it is."""
        call = self._client.call("GET", self._base + path, params=params, headers=headers, agent=self._agent)
        call.redirects = 0
        return self._client.send(call)

    def signed(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Send a request to a signed address, without the token; the caller reads and closes the answer.

        Args:
            method: HTTP method, in upper case.
            url: the address, absolute or relative to the service URL.
            headers: headers beside the usual ones, such as those that the signature names.
            body: bytes, or something that can be read and rewound.
            timeout: seconds between bytes, instead of the session's.
        """
        agent = self._agent
        call = self._client.signed_call(method, url, headers=headers, body=body, timeout=timeout, agent=agent)
        return self._client.send(call)

    def fetch_signed(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Send a request to a signed address and read the whole answer; arguments as of `signed`."""
        agent = self._agent
        call = self._client.signed_call(method, url, headers=headers, body=body, timeout=timeout, agent=agent)
        return self._client.send(call, read_body)

    def absolute(self, url: str) -> str:
        return self._client.absolute(url)

    def route(self, url: str) -> Route:
        """Proxies and CA certificates for any address, with the session's CA bundle."""
        return self._client._route(url)

    def transferred(self, direction: str, path: str, done: int, total: int | None, *, finished: bool = False) -> None:
        """Let the hooks hear how far a file has come; call it at most ten times a second, and at the file's end.

        Args:
            direction: ``"upload"`` or ``"download"``.
            path: path of the file.
            done: bytes that went so far.
            total: bytes in all; None if that is not known.
            finished: whether all of it has arrived and was checked.
        """
        hooks = self._client._hooks()
        if hooks is not None:
            hooks.transfer(direction, path, done, total, finished=finished)

    def _json(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """The answer to a request in JSON, which is read whole."""
        own = {"Accept": "application/json"}
        body = None
        if json is not None:
            body = jsonlib.dumps(json).encode()
            own["Content-Type"] = "application/json"
        if headers:
            own.update(headers)
        call = self._client.call(
            method,
            self._base + path,
            params=params,
            headers=own,
            body=body,
            timeout=timeout,
            agent=self._agent,
        )
        return self._client.send(call, read_body)
