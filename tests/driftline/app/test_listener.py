"""What a listener believes of a request, asked over a real connection."""

import asyncio
import threading

import httpx

from driftline.app.listener import Server, listen


def test_nobody_says_by_a_header_from_which_address_they_ask() -> None:
    seen = []

    async def app(scope, _receive, send) -> None:
        seen.append((scope["client"][0], scope["scheme"]))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    listener = listen("test", "127.0.0.1", 0)
    server = Server(app, lifespan="off", grace_s=1)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    try:
        port = listener.getsockname()[1]
        headers = {"x-forwarded-for": "10.9.9.9", "x-forwarded-proto": "https"}
        httpx.get(f"http://127.0.0.1:{port}/", headers=headers)
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()

    assert seen == [("127.0.0.1", "http")]
