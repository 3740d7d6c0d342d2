"""The app proxy, between a real client and a real application."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import aiohttp
import pytest
from aiohttp import web

from edge_core.errors import ConfigurationError
from edge_hub.app_proxy import proxy as proxy_module
from edge_hub.app_proxy.proxy import AppProxy
from edge_hub.app_proxy.visitors import Visitor

ADA = Visitor("ada", "Ada Lovelace", ("lab",))


async def as_ada(_request: web.BaseRequest) -> Visitor:
    return ADA


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Running(NamedTuple):
    """An application, and what the tests have to know of it."""

    port: int
    stream_has_ended: asyncio.Event


@contextlib.asynccontextmanager
async def application(port: int = 0) -> AsyncIterator[Running]:
    """An application that answers with what it got."""

    async def echo(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        return web.json_response(
            {
                "method": request.method,
                "path": request.raw_path,
                "headers": [list(pair) for pair in request.headers.items()],
                "body": body.decode("latin-1"),
            }
        )

    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": f"http://127.0.0.1:{own_port[0]}/there"})

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"x" * 10)
        assert request.transport is not None
        request.transport.close()
        return response

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            while True:
                await response.write(b"data: 1\n\n")
                await asyncio.sleep(0.01)
        finally:
            stream_has_ended.set()

    async def websocket(request: web.Request) -> web.StreamResponse:
        connection = web.WebSocketResponse(protocols=["bokeh"], max_msg_size=0)
        await connection.prepare(request)
        await connection.send_str(request.headers["X-Forwarded-User"])
        async for message in connection:
            if message.data == "close":
                await connection.close(code=4001, message=b"enough")
            elif message.type is aiohttp.WSMsgType.TEXT:
                await connection.send_str(message.data)
            else:
                await connection.send_bytes(message.data)
        return connection

    async def forbidden(request: web.Request) -> web.StreamResponse:
        return web.Response(status=403)

    app = web.Application(client_max_size=1 << 30)
    app.router.add_get("/redirect", redirect)
    app.router.add_get("/half", half)
    app.router.add_get("/stream", stream)
    app.router.add_get("/ws", websocket)
    app.router.add_get("/forbidden", forbidden)
    app.router.add_route("*", "/{path:.*}", echo)
    own_port = [port]
    stream_has_ended = asyncio.Event()
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    own_port[0] = runner.addresses[0][1]
    try:
        yield Running(own_port[0], stream_has_ended)
    finally:
        await runner.cleanup()


Scenario = Callable[[aiohttp.ClientSession, str], Awaitable[None]]


@contextlib.asynccontextmanager
async def ready() -> AsyncIterator[tuple[Running, aiohttp.ClientSession, str]]:
    """An application that is ready, a client, and the address of the proxy between them."""
    async with application() as running:
        proxy = AppProxy(("127.0.0.1", running.port), as_ada)
        async with proxy.serving("127.0.0.1", 0) as address, aiohttp.ClientSession() as client:
            await proxy.wait_until_ready()
            yield running, client, address


def behind_the_proxy(scenario: Scenario) -> None:
    """Run a scenario with a client and the address of a proxy whose application is ready."""

    async def run() -> None:
        async with ready() as (_, client, address):
            await scenario(client, address)

    asyncio.run(run())


def test_an_application_gets_the_request_as_it_was_sent_with_who_sent_it() -> None:
    async def scenario(client: aiohttp.ClientSession, address: str) -> None:
        headers = {
            "X-Forwarded-User": "mallory",
            "x_forwarded_user": "mallory",
            "Cookie": "jupyterhub-session-id=s; a=b",
        }
        url = address + "/a%2Fb/../c?x=%20&y=1"
        async with client.put(aiohttp.client.URL(url, encoded=True), data=b"\x00\xff", headers=headers) as answer:
            echo = await answer.json()
        got = {name.lower(): value for name, value in echo["headers"]}
        assert (echo["method"], echo["path"], echo["body"]) == ("PUT", "/a%2Fb/../c?x=%20&y=1", "\x00\xff")
        assert got["x-forwarded-user"] == "ada"
        assert got["x-forwarded-display-name"] == "Ada%20Lovelace"
        assert got["cookie"] == "a=b"
        assert got["host"] == address.removeprefix("http://")
        assert "mallory" not in str(echo["headers"])

    behind_the_proxy(scenario)


def test_a_large_body_goes_through_in_pieces_and_an_encoded_body_as_it_is() -> None:
    async def scenario(client: aiohttp.ClientSession, address: str) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(64):
                yield b"a" * (256 << 10)

        async with client.post(address, data=pieces()) as answer:
            assert len((await answer.json())["body"]) == 16 << 20
        # An application that takes no encoded bodies has to see that this one is.
        async with client.post(address, data=b"\x1f\x8b not gzip", headers={"Content-Encoding": "x-none"}) as answer:
            assert (await answer.json())["body"] == "\x1f\x8b not gzip"

    behind_the_proxy(scenario)


def test_a_redirect_leads_to_the_proxy_and_is_not_followed_by_it() -> None:
    async def scenario(client: aiohttp.ClientSession, address: str) -> None:
        async with client.get(address + "/redirect", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, address + "/there")

    behind_the_proxy(scenario)


def test_a_head_request_has_the_headers_alone() -> None:
    async def scenario(client: aiohttp.ClientSession, address: str) -> None:
        async with client.head(address) as answer:
            assert answer.status == 200
            assert int(answer.headers["Content-Length"]) > 0
            assert await answer.read() == b""

    behind_the_proxy(scenario)


def test_half_an_answer_is_not_taken_for_the_whole() -> None:
    async def scenario(client: aiohttp.ClientSession, address: str) -> None:
        with pytest.raises(aiohttp.ClientError):
            async with client.get(address + "/half") as answer:
                await answer.read()

    behind_the_proxy(scenario)


def test_a_stream_ends_at_the_application_when_its_visitor_leaves() -> None:
    async def run() -> None:
        async with ready() as (running, client, address):
            async with client.get(address + "/stream") as answer:
                assert await answer.content.readline() == b"data: 1\n"
                answer.close()
            await running.stream_has_ended.wait()

    asyncio.run(run())


def test_a_websocket_goes_both_ways_with_its_protocol_and_the_reason_of_its_end() -> None:
    async def scenario(client: aiohttp.ClientSession, address: str) -> None:
        origin = {"Origin": address, "X_FORWARDED_USER": "mallory"}
        async with client.ws_connect(
            address + "/ws", protocols=["other", "bokeh"], headers=origin, max_msg_size=0
        ) as connection:
            assert connection.protocol == "bokeh"
            assert await connection.receive_str() == "ada"
            await connection.send_str("zoë")
            assert await connection.receive_str() == "zoë"
            await connection.send_bytes(b"\x00" * (5 << 20))
            assert await connection.receive_bytes() == b"\x00" * (5 << 20)
            await connection.send_str("close")
            closing = await connection.receive()
            assert (closing.type, closing.data, closing.extra) == (aiohttp.WSMsgType.CLOSE, 4001, "enough")

    behind_the_proxy(scenario)


def test_what_lasts_ends_when_the_visitor_may_not_visit_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_module, "RECHECK_INTERVAL", 0.01)
    known: list[Visitor | int] = [ADA]

    async def identify(_request: web.BaseRequest) -> Visitor | web.StreamResponse:
        return web.Response(status=known[0]) if isinstance(known[0], int) else known[0]

    async def run() -> None:
        async with application() as running:
            proxy = AppProxy(("127.0.0.1", running.port), identify)
            async with proxy.serving("127.0.0.1", 0) as address, aiohttp.ClientSession() as client:
                await proxy.wait_until_ready()
                async with client.ws_connect(address + "/ws") as connection, client.get(address + "/stream") as stream:
                    assert await connection.receive_str() == "ada"
                    for still in (503, Visitor("ada", "Ada", ("plant",))):
                        known[0] = still
                        await connection.send_str("still")
                        assert await connection.receive_str() == "still"
                        await stream.content.readline()
                    known[0] = Visitor("bob", "Bob")
                    closing = await connection.receive()
                    assert (closing.type, closing.data) == (aiohttp.WSMsgType.CLOSE, 1008)
                    with pytest.raises(aiohttp.ClientError):
                        await stream.content.read()

    asyncio.run(run())


def test_below_a_prefix_the_application_gets_what_is_left_of_a_path() -> None:
    async def run() -> None:
        async with application() as running:
            proxy = AppProxy(("127.0.0.1", running.port), as_ada, prefix="/user/a%40b/viz/")
            async with proxy.serving("127.0.0.1", 0) as address, aiohttp.ClientSession() as client:
                await proxy.wait_until_ready()
                for path, got in {
                    "/user/a%40b/viz/": "/",
                    "/user/a@b/viz/%2F?c=%20": "/%2F?c=%20",
                    "/user/a@b/viz//x": "//x",
                }.items():
                    async with client.get(aiohttp.client.URL(address + path, encoded=True)) as answer:
                        assert (await answer.json())["path"] == got
                for path in ("/", "/user/a@b/", "/user/a@b/viz2/", "/user/bob/viz/"):
                    async with client.get(address + path) as answer:
                        assert answer.status == 404
                url = f"{address}/user/a@b/viz?x=1"
                async with client.get(url, allow_redirects=False) as answer:
                    assert (answer.status, answer.headers["Location"]) == (302, "/user/a%40b/viz/?x=1")

    asyncio.run(run())


def test_to_a_hub_an_application_is_starting_for_a_while() -> None:
    async def refuse(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=403)

    async def run() -> None:
        for patience, status in ((1000.0, 503), (0.0, 403)):
            proxy = AppProxy(("127.0.0.1", free_port()), refuse, patience=patience)
            async with (
                proxy.serving("127.0.0.1", 0) as address,
                aiohttp.ClientSession() as client,
                client.get(address) as answer,
            ):
                assert answer.status == status

    asyncio.run(run())


def test_a_websocket_that_the_application_refuses_is_refused() -> None:
    async def scenario(client: aiohttp.ClientSession, address: str) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(address + "/forbidden")
        assert refused.value.status == 403

    behind_the_proxy(scenario)


def test_a_page_of_another_site_can_neither_change_anything_nor_open_a_websocket() -> None:
    async def scenario(client: aiohttp.ClientSession, address: str) -> None:
        foreign = {"Origin": "https://evil.org"}
        async with client.post(address, headers=foreign) as answer:
            assert answer.status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(address + "/ws", headers=foreign)
        assert refused.value.status == 403
        # A name of its own that leads to loopback makes the page one of the same site to a browser.
        async with client.get(address, headers={"Host": "evil.org"}) as answer:
            assert answer.status == 421

    behind_the_proxy(scenario)


def test_it_is_no_proxy_to_other_servers() -> None:
    async def scenario(client: aiohttp.ClientSession, address: str) -> None:
        host, port = address.removeprefix("http://").split(":")
        for target in (f"http://{host}:{port}/", "*"):
            reader, writer = await asyncio.open_connection(host, int(port))
            method = "OPTIONS" if target == "*" else "GET"
            writer.write(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
            writer.close()
            await writer.wait_closed()

    behind_the_proxy(scenario)


def test_an_application_is_waited_for_with_a_page_before_it_listens_and_after_it_has_ended() -> None:
    async def run() -> None:
        port = free_port()
        proxy = AppProxy(("127.0.0.1", port), as_ada)
        browser = {"Accept": "text/html"}
        async with proxy.serving("127.0.0.1", 0) as address, aiohttp.ClientSession() as client:
            async with client.get(address, headers=browser) as answer:
                page = await answer.text()
                assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
                assert "The application is starting" in page
                assert 'http-equiv="refresh"' in page
            async with client.post(address, data=b"x") as answer:
                assert (answer.status, answer.content_type) == (503, "text/plain")
            async with application(port):
                await proxy.wait_until_ready()
                async with client.get(address, headers=browser) as answer:
                    assert answer.status == 200
            async with client.get(address, headers=browser) as answer:
                assert answer.status == 503
            async with application(port):
                await proxy.wait_until_ready()
                async with client.get(address) as answer:
                    assert answer.status == 200

    asyncio.run(run())


def test_who_is_not_known_gets_the_answer_of_who_asks_and_the_application_nothing() -> None:
    async def login(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "/hub/login"})

    async def run() -> None:
        async with application() as running:
            proxy = AppProxy(("127.0.0.1", running.port), login, hosts=None)
            async with proxy.serving("127.0.0.1", 0) as address, aiohttp.ClientSession() as client:
                await proxy.wait_until_ready()
                async with client.get(address, headers={"Host": "apps.lab.org"}, allow_redirects=False) as answer:
                    assert (answer.status, answer.headers["Location"]) == (302, "/hub/login")
                assert proxy.last_activity is None

    asyncio.run(run())


def test_a_port_in_use_is_a_sentence() -> None:
    async def run() -> None:
        async with application() as running:
            port = running.port
            proxy = AppProxy(("127.0.0.1", free_port()), as_ada)
            with pytest.raises(ConfigurationError, match=f"port {port} of 127.0.0.1 cannot be had"):
                async with proxy.serving("127.0.0.1", port):
                    pass

    asyncio.run(run())
