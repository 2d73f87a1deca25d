"""The OpenAPI document, and /docs, which shows it without scripts or other hosts."""

from __future__ import annotations

import re
from html import escape
from itertools import groupby

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse

from driftline.serving.operations.registry import OPERATIONS, Operation, about, marker_of

ABOUT = (
    "Monitoring of models in production: what was captured, judged, and whom it woke. "
    "Every error has one form, `Error`; times are RFC 3339 in UTC. Lists come in pages of `limit` "
    "items: `next_token` of an answer asks for the next page, and is null on the last. Each item "
    "comes once, whatever is added or deleted meanwhile."
)
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>driftline: programming interface</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code{font:14px/1.5 ui-monospace,monospace}
section{border-top:1px solid #8884;padding:.6rem 0}
h2{margin:2rem 0 .5rem}h3{font-size:1rem;margin:0}p{margin:.2rem 0}ul{margin:.2rem 0}
b{display:inline-block;min-width:4.5rem}
</style></head><body><h1>driftline: programming interface</h1>
<p>Everything is JSON unless an operation says otherwise; errors are
<code>{"error": {"code": …, "message": …}}</code>. With the types of parameters and answers, for
generated clients: <a href="/openapi.json">openapi.json</a>.</p>
"""


def add_pages(api: FastAPI, dashboard_url: str) -> None:
    """Add the pages, which are for whoever is known."""

    def document(_: Request) -> JSONResponse:
        # Made in a thread, once: it takes as long as many invocations.
        return JSONResponse(api.openapi())

    def docs(_: Request) -> HTMLResponse:
        by_tag = groupby(OPERATIONS.values(), key=lambda one: one.tag)
        parts = [f"<h2>{tag}</h2>{''.join(map(_section, found))}" for tag, found in by_tag]
        return HTMLResponse("".join([_HEAD, *parts, "</body></html>\n"]))

    def dashboard(request: Request) -> RedirectResponse:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{dashboard_url}/{request.path_params['path']}{query}")

    api.add_route("/openapi.json", document, include_in_schema=False)
    api.add_route("/docs", docs, include_in_schema=False)
    api.add_route("/ui/{path:path}", dashboard, include_in_schema=False)


def _section(one: Operation) -> str:
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(one.about)).replace("\n\n", "<p>")
    items = "".join(
        f"<li><code>{getattr(marker_of(parameter), 'alias', None) or name}</code> "
        f"{escape(about(parameter.annotation))}"
        for name, parameter in one.parameters.items()
        if about(parameter.annotation)
    )
    path = escape(one.path.replace(":path", ""))
    return (
        f'<section id="{one.id}"><h3><b>{one.method}</b> <code>{path}</code></h3>'
        f"<p>{text}<ul>{items}</ul></section>\n"
    )
