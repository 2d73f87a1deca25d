"""The page /docs: every route of the programming interface, from its OpenAPI document.

One page without scripts and without anything from another host; the usual viewers load themselves
from elsewhere and show nothing on a machine without a way out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>driftline: programming interface</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code{font:14px/1.5 ui-monospace,monospace}
section{border-top:1px solid #8884;padding:.6rem 0}
h2{font-size:1rem;margin:0}p{margin:.2rem 0}small{opacity:.75}
b{display:inline-block;min-width:4.5rem}
</style></head><body><h1>driftline: programming interface</h1>
<p>Everything is JSON; errors are <code>{"error": {"code": …, "message": …}}</code>. Predictions:
<code>POST /endpoints/{name}/invocations</code> with <code>text/csv</code> (rows without header),
<code>application/json</code> (<code>{"instances": […]}</code>, a list of rows, or one row) or
<code>application/jsonlines</code>. The same as a document:
<a href="/openapi.json">openapi.json</a>.</p>
"""


def render(document: Mapping[str, Any]) -> str:
    """Write the page for an OpenAPI document."""
    return _HEAD + "\n".join(_sections(document)) + "\n</body></html>\n"


def _sections(document: Mapping[str, Any]) -> Iterator[str]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            names = ", ".join(one["name"] for one in operation.get("parameters", []))
            parameters = f"<p><small>parameters: {escape(names)}</small></p>" if names else ""
            yield (
                f"<section><h2><b>{escape(method.upper())}</b> <code>{escape(path)}</code></h2>"
                f"<p>{escape(operation.get('description', ''))}</p>{parameters}</section>"
            )
