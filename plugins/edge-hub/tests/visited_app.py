"""An application behind the app proxy that says what it gets."""

from __future__ import annotations

import asyncio
import os

from aiohttp import web

from edge_core.session import EdgeSession


async def show(request: web.Request) -> web.StreamResponse:
    return web.json_response(
        {
            "path": request.raw_path,
            "headers": dict(request.headers),
            "cookies": dict(request.cookies),
            "variables": {
                name: value for name, value in os.environ.items() if name.startswith(("JUPY", "JPY", "EDGE"))
            },
            "folder": os.getcwd(),
        }
    )


async def redirect(request: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": request.query["to"]})


async def cookies(request: web.Request) -> web.StreamResponse:
    answer = web.Response(text="set")
    answer.set_cookie("theme", "dark", path="/")
    answer.set_cookie("jupyterhub-session-id", "mine", path="/")
    return answer


async def token(request: web.Request) -> web.StreamResponse:
    return web.Response(text=os.environ["JUPYTERHUB_API_TOKEN"])


async def file(request: web.Request) -> web.StreamResponse:
    """What the owner of the server has in Edge."""

    def read() -> str:
        with EdgeSession(retries=20) as edge:
            content: str = edge.files.open("hello.txt", open_with="text")
            return f"{edge.whoami().user_name} of {edge.organization}: {content}"

    return web.Response(text=await asyncio.to_thread(read))


async def talk(request: web.Request) -> web.StreamResponse:
    connection = web.WebSocketResponse()
    await connection.prepare(request)
    async for message in connection:
        await connection.send_str(f"{request.headers['X-Forwarded-User']}: {message.data}")
    return connection


def main() -> None:
    app = web.Application()
    app.router.add_get("/redirect", redirect)
    app.router.add_get("/cookies", cookies)
    app.router.add_get("/token", token)
    app.router.add_get("/file", file)
    app.router.add_get("/talk", talk)
    app.router.add_route("*", "/{path:.*}", show)
    web.run_app(app, host="127.0.0.1", port=int(os.environ["EDGE_APP_PORT"]), print=None)


if __name__ == "__main__":
    main()
